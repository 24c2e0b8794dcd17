# SPDX-License-Identifier: GPL-3.0-or-later
"""A real live system on a USB stick: Debian 12 with live-boot, systemd all the way down.

    partition 1  FAT, the boot medium: live/filesystem.squashfs
    partition 2  LUKS2, ext4 within, label persistence: /home and /srv are bound from it into the union

The kernel and initramfs are handed to QEMU directly; everything else goes live-boot's own way, the unlocking of the
persistence too: its askpass is a script that takes the passphrase from QEMU's fw_cfg, where no guest RAM holds it.

Nothing here needs device-mapper, loop devices or mounts on the host: file systems are filled by mke2fs and mtools, and
cryptsetup's offline re-encryption turns ext4 into LUKS2 and back in user space.
"""

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import lab

PASSPHRASE = "correct horse battery staple"
MEDIUM_LABEL = "LETHE-LIVE"
PERSISTENCE_MIB = 256
PERSISTENT = {"home/amnesia/notes": "what was there before\n", "srv/data": "x" * 100_000}

# All kinds that plant can plant in it, so that one end after the other can be compared.
KINDS = ["rw", "shm", "run", "heap", "cache", "names", "pipe", "unlinked", "mapped", "memfd", "sealed", "sysv", "mqueue",
         "hugetlb", "keyring", "links", "xattrs", "environ", "stack", "registers", "socket"]

SUITE = "bookworm"
PACKAGES = ["linux-image-amd64", "systemd-sysv", "live-boot", "live-boot-initramfs-tools", "cryptsetup-bin", "udev", "dbus",
            "e2fsprogs", "kexec-tools", "kmod", "zstd"]
MODULES = ["xhci_pci", "usb_storage", "uas", "sd_mod", "vfat", "nls_cp437", "nls_ascii", "nls_utf8", "nls_iso8859_1", "ext4",
           "overlay", "squashfs", "loop", "dm_mod", "dm_crypt", "xts", "aesni_intel", "sha256_generic", "qemu_fw_cfg"]

INITRAMFS_CONF = "MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=1\n"
INITRAMFS_HOOK = f"""#!/bin/sh
[ "$1" != prereqs ] || exit 0
. /usr/share/initramfs-tools/hook-functions
for module in {" ".join(MODULES)}; do manual_add_modules $module; done
copy_exec /sbin/cryptsetup
copy_exec /sbin/dmsetup
copy_libgcc "$(dirname "$(ldd /sbin/cryptsetup | awk '/libc.so/ {{ print $3 }}')")"
mkdir -p "$DESTDIR/lib/cryptsetup"
printf '#!/bin/sh\\nmodprobe -q qemu_fw_cfg\\nexec cat /sys/firmware/qemu_fw_cfg/by_name/opt/lethe.passphrase/raw\\n' \
    >"$DESTDIR/lib/cryptsetup/askpass"
chmod 755 "$DESTDIR/lib/cryptsetup/askpass"
"""

SHELL_UNIT = f"""[Unit]
Description=Root shell of the test laboratory
After=multi-user.target
[Service]
Type=idle
Environment=PS1= PS2=
ExecStart=/bin/sh -c 'stty raw -echo; echo "{lab.READY}"; exec sh'
KillSignal=SIGHUP
StandardInput=tty-force
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
KillMode=process
[Install]
WantedBy=multi-user.target
"""


def say(text):
    print(f"live: {text}", flush=True)


def sh(*command, **options):
    return subprocess.run([str(c) for c in command], check=True, **options)


def mirrors():
    """deb lines for the release of the live system, from the archives that this machine's own apt uses."""
    shown = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"],
                           capture_output=True, text=True).stdout
    host = subprocess.run(["sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME"], capture_output=True, text=True).stdout.strip()
    archives = {tuple(line.split()) for line in shown.splitlines()}
    lines = [f"deb {uri} {release.replace(host, SUITE)} main" for uri, release in sorted(archives) if release.startswith(host)]
    return lines or [f"deb http://deb.debian.org/debian {SUITE} main"]


def base():
    """The system without anything of Lethe's: a folder, cached."""
    def build(path):
        say("building the base system with mmdebstrap (minutes, once)")
        with tempfile.TemporaryDirectory() as tmp:
            for name, text, mode in (("conf", INITRAMFS_CONF, 0o644), ("hook", INITRAMFS_HOOK, 0o755)):
                (Path(tmp) / name).write_text(text)
                (Path(tmp) / name).chmod(mode)
            log = lab.CACHE / "mmdebstrap.log"
            result = subprocess.run(
                ["mmdebstrap", "--mode=root", "--variant=minbase", "--aptopt=Acquire::Check-Valid-Until false",
                 "--dpkgopt=force-unsafe-io", *(f"--dpkgopt=path-exclude=/usr/share/{d}/*" for d in ("doc", "man", "locale")),
                 "--include=" + ",".join(PACKAGES),
                 "--essential-hook=mkdir -p $1/etc/initramfs-tools/conf.d $1/etc/initramfs-tools/hooks",
                 f"--essential-hook=cp {tmp}/conf $1/etc/initramfs-tools/conf.d/lab",
                 f"--essential-hook=cp {tmp}/hook $1/etc/initramfs-tools/hooks/lab",
                 "--customize-hook=echo live >$1/etc/hostname",
                 "--customize-hook=systemctl --root=$1 disable apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer",
                 SUITE, str(path), *mirrors()],
                stdin=subprocess.DEVNULL, stdout=open(log, "w"), stderr=subprocess.STDOUT)
            if result.returncode:
                raise lab.Failure("mmdebstrap failed:\n" + log.read_text()[-3000:])

    return lab.cached(f"live/base-{lab.digest(SUITE, *PACKAGES, INITRAMFS_CONF, INITRAMFS_HOOK)}", build)


def kernel_and_initrd():
    boot = base() / "boot"
    return next(boot.glob("vmlinuz-*")), next(boot.glob("initrd.img-*"))


def persistence():
    """The LUKS2 partition's image and, beside it, its volume key and passphrase: a folder, cached."""
    def build(path):
        say("making the persistence")
        path.mkdir()
        (path / "passphrase").write_text(PASSPHRASE)
        (path / "key").write_bytes(os.urandom(64))
        root = path / "root"
        for name, text in {**PERSISTENT, "persistence.conf": "/home bind\n/srv bind\n"}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        image = path / "image"
        sh("truncate", "-s", f"{PERSISTENCE_MIB - 32}M", image)
        sh("mke2fs", "-q", "-t", "ext4", "-L", "persistence", "-E", "root_owner=0:0", "-d", root, image)
        sh("truncate", "-s", f"{PERSISTENCE_MIB}M", image)  # the last 32 MiB become the header's place, in two halves
        sh("cryptsetup", "reencrypt", "-q", "--encrypt", "--type", "luks2", "--reduce-device-size", "32M", "--label", "persistence",
           "--key-size", "512", "--volume-key-file", path / "key", "--key-file", path / "passphrase",
           "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", image)

    return lab.cached(f"live/persistence-{lab.digest(PERSISTENCE_MIB, PASSPHRASE, str(PERSISTENT))}", build)


def left_persistence(guest, folder):
    """The persistence as the guest has left it, turned back from LUKS2 to plain ext4: an image in the folder."""
    stick, image = folder / "stick", folder / "ext4"
    guest.stick.export(stick)
    begin = stick.stat().st_size // 2**20 - PERSISTENCE_MIB - 1  # the last partition, 1 MiB before the end
    sh("dd", f"if={stick}", f"of={image}", "bs=1M", f"skip={begin}", f"count={PERSISTENCE_MIB}", "conv=sparse", "status=none")
    stick.unlink()
    lab.decrypt(image, persistence())
    return image


def installed(build, folder):
    """What `meson install` of a build puts on a system, in a folder."""
    sh("meson", "install", "-C", Path(build).resolve(), "--no-rebuild", "--quiet", "--destdir", folder)
    return folder


def stick(lethe=None):
    """The stick's image, cached: with nothing of Lethe's, or with what `DESTDIR=lethe meson install` has put there."""
    plant = lab.compiled("plant", static=True)

    def build(path):
        say(f"making the stick {'with' if lethe else 'without'} Lethe")
        for old in sorted(path.parent.glob("stick-*[0-9a-f]"), key=lambda p: p.stat().st_mtime)[:-8]:
            old.unlink()
        with tempfile.TemporaryDirectory(dir=path.parent) as tmp:
            tmp = Path(tmp)
            root, squashfs, medium = tmp / "root", tmp / "filesystem.squashfs", tmp / "medium"
            sh("cp", "-al", base(), root)  # hard links: files of the base are replaced below, never written to
            if lethe:
                sh("cp", "-a", "--remove-destination", f"{lethe}/.", root)
                for preset in sorted((lethe / "usr/lib/systemd/system-preset").glob("*lethe*")):
                    units = [line.split()[1] for line in preset.read_text().splitlines() if line.startswith("enable ")]
                    sh("systemctl", f"--root={root}", "preset", "--quiet", *units)
            shutil.copy(plant, root / "usr/local/bin/plant")
            (root / "etc/systemd/system/lab-shell.service").write_text(SHELL_UNIT)
            sh("systemctl", f"--root={root}", "enable", "--quiet", "lab-shell.service")
            sh("mksquashfs", root, squashfs, "-comp", "zstd", "-Xcompression-level", "1", "-quiet", "-no-progress",
               "-e", "boot", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            size = squashfs.stat().st_size // 2**20 + 80
            sh("truncate", "-s", f"{size}M", medium)
            sh("mkfs.vfat", "-F", "32", "-n", MEDIUM_LABEL, medium, stdout=subprocess.DEVNULL)
            sh("mmd", "-i", medium, "::live")
            sh("mcopy", "-i", medium, squashfs, "::live/")
            for name, file in zip(("vmlinuz", "initrd.img"), kernel_and_initrd()):
                sh("mcopy", "-i", medium, file, f"::live/{name}")
            sh("truncate", "-s", f"{1 + size + PERSISTENCE_MIB + 1}M", path)
            sh("sfdisk", "-q", path, input=f"label: gpt\nstart=1MiB, size={size}MiB, name=medium\n"
               f"start={1 + size}MiB, size={PERSISTENCE_MIB}MiB, name=persistence\n", text=True)
            for image, at in ((medium, 1), (persistence() / "image", 1 + size)):
                sh("dd", f"if={image}", f"of={path}", "bs=1M", f"seek={at}", "conv=notrunc,sparse", "status=none")

    return lab.cached(f"live/stick-{lab.digest(base().name, persistence().name, plant.name, SHELL_UNIT, *([lethe] if lethe else []))}",
                      build)


@contextmanager
def booted(image, arguments="", sticks=(), **options):
    """A live system started from the stick's image, ready for commands; the stick's device is 'stick'. `sticks` are more of them."""
    kernel, initrd = kernel_and_initrd()
    cmdline = ("boot=live persistence persistence-encryption=luks noeject console=ttyS0 systemd.show_status=0 "
               f"systemd.log_target=kmsg printk.devkmsg=on {arguments}")
    device = lab.Stick(image)
    with lab.Guest(kernel, initrd, cmdline, sticks=[device, *sticks],
                   fw_cfg={"opt/lethe.passphrase": persistence() / "passphrase"}, **options) as guest:
        guest.stick = device
        guest.wait_ready()
        guest.run("udevadm settle", timeout=180, check=False)  # else a module may just be loading when the machine ends
        yield guest
