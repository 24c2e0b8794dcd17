# SPDX-License-Identifier: GPL-3.0-or-later
"""Real live systems on a USB stick (SYSTEMS): Debian with live-boot and systemd, and others.

    partition 1  FAT, the boot medium: live/filesystem.squashfs or where the system has it
    partition 2  LUKS2, ext4 within, label persistence: /home and /srv are bound from it into the union

The kernel and initramfs are handed to QEMU directly; everything else goes live-boot's own way, the unlocking of the
persistence too: its askpass is a script that takes the passphrase from QEMU's fw_cfg, where no guest RAM holds it.

Nothing here needs device-mapper, loop devices or mounts on the host: file systems are filled by mke2fs and mtools, and
cryptsetup's offline re-encryption turns ext4 into LUKS2 and back in user space.
"""

import os
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lab

PASSPHRASE = "correct horse battery staple"
MEDIUM_LABEL = "LETHE-LIVE"
PERSISTENCE_MIB, FILE_SYSTEM_MIB = 256, 64
PERSISTENT = {"home/amnesia/notes": "what was there before\n", "srv/data": "x" * 100_000}

# All kinds that plant can plant in it, so that one end after the other can be compared.
KINDS = ["rw", "shm", "run", "heap", "cache", "names", "pipe", "unlinked", "mapped", "memfd", "sealed", "sysv", "mqueue",
         "hugetlb", "keyring", "links", "xattrs", "environ", "stack", "registers", "socket"]

PACKAGES = ("linux-image-amd64", "cryptsetup-bin", "udev", "e2fsprogs", "kexec-tools", "kmod", "zstd")
LIVE_BOOT = (*PACKAGES, "live-boot", "live-boot-initramfs-tools")
SYSTEMD = ("systemd-sysv", "dbus")
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
# It would ask for the passphrase itself, and nobody is there to type it.
QUIT_PLYMOUTH = '#!/bin/sh\n[ "$1" = prereqs ] || { plymouth quit; rm /bin/plymouth; }\n'
INITRAMFS_TOOLS = {"etc/initramfs-tools/conf.d/lab": INITRAMFS_CONF, "etc/initramfs-tools/hooks/lab": INITRAMFS_HOOK}

# The persistence is none of dracut's: a unit unlocks it.
DRACUT = {"etc/dracut.conf.d/lab.conf": f"""hostonly="no"
compress="zstd"
add_dracutmodules+=" dmsquash-live "
drivers+=" {" ".join(MODULES)} "
""", "etc/systemd/system/lab-persistence.service": """[Unit]
Before=lab-shell.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'modprobe qemu_fw_cfg; mkdir -p /mnt/persistence; \
    cryptsetup open --key-file /sys/firmware/qemu_fw_cfg/by_name/opt/lethe.passphrase/raw /dev/disk/by-partlabel/persistence persistence; \
    mount /dev/mapper/persistence /mnt/persistence; for i in home srv; do mount --bind /mnt/persistence/$i /$i; done'
[Install]
WantedBy=multi-user.target
"""}

# The pieces of Tails 7's shutdown that docs/tails.md speaks of, all still there. Its watchdog is a program of its own.
TAILS = {"etc/systemd/system/run-initramfs.mount": """[Unit]
DefaultDependencies=no
Before=initramfs-shutdown.service local-fs.target
[Mount]
What=tmpfs
Where=/run/initramfs
Type=tmpfs
Options=mode=755
[Install]
WantedBy=local-fs.target
""", "etc/systemd/system/initramfs-shutdown.service": """[Unit]
ConditionPathExists=!/run/initramfs/bin/sh
Before=lab-shell.service
[Service]
RemainAfterExit=yes
Type=oneshot
ExecStart=unmkinitramfs /run/live/medium/live/initrd.img /run/initramfs
[Install]
WantedBy=multi-user.target
""", "etc/systemd/system/udev-watchdog.service": """[Unit]
After=memlockd.service
[Service]
ExecStart=/bin/sh -c 'while [ -e /sys/dev/block/$$(mountpoint -d /run/live/medium) ]; do sleep 1; done; exec systemctl --force poweroff'
[Install]
WantedBy=multi-user.target
""", "etc/systemd/system/lethe-arm.service.d/tails.conf": """[Service]
ExecStart=
ExecStart=/usr/sbin/lethe arm --take-over
""", "etc/memlockd.d/lab.cfg": "+/bin/mountpoint\n+/bin/sh\n+/bin/sleep\n+/bin/systemctl\n+/lib/systemd/systemd-shutdown\n"}

SHELL = f"""#!/bin/sh
export PS1= PS2= PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
stty raw -echo
[ -d /dev/hugepages ] || {{ mkdir /dev/hugepages; mount -t hugetlbfs hugetlbfs /dev/hugepages; }}
echo "{lab.READY}"
exec sh
"""
SHELL_UNIT = """[Unit]
Description=Root shell of the test laboratory
After=multi-user.target
[Service]
Type=idle
ExecStart=/usr/local/bin/lab-shell
KillSignal=SIGHUP
StandardInput=tty-force
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
KillMode=process
[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class System:
    """What lies on a stick, and how it is booted from there."""
    suite: str
    init: str = "systemd"
    packages: tuple = (*LIVE_BOOT, *SYSTEMD)
    files: tuple = tuple(INITRAMFS_TOOLS.items())  # there before the packages are installed
    squashfs: str = "live/filesystem.squashfs"  # its place on the medium
    medium: str = "/run/live/medium"
    arguments: str = "boot=live persistence persistence-encryption=luks noeject"
    selinux: bool = False  # its files are labelled
    in_files: bool = False  # its persistence is a file in an ext4, and it has a second squashfs
    ends_with: str = ""  # what its console shows at a clean end before Lethe's
    ext4: bool = False  # its root is an ext4 in the squashfs, for a dm-snapshot
    units: tuple = ("lab-shell.service", "lab-persistence.service")  # that are enabled, where they are there
    holds: str = "true"  # a command that must succeed in the running system


SYSTEMS = {
    "bookworm": System("bookworm"),  # Debian 12: systemd 252, Linux 6.1
    "trixie": System("trixie"),  # Debian 13: systemd 257, Linux 6.12
    "forky": System("forky"),  # the one that is being made
    "trixie-dracut": System("trixie", packages=(*PACKAGES, *SYSTEMD, "dracut", "dracut-live"), files=tuple(DRACUT.items()),
                            squashfs="LiveOS/squashfs.img", medium="/run/initramfs/live",
                            arguments=f"root=live:LABEL={MEDIUM_LABEL} rd.live.image rd.live.overlay.overlayfs=1"),
    "trixie-snapshot": System("trixie", packages=(*PACKAGES, *SYSTEMD, "dracut", "dracut-live"), files=tuple(DRACUT.items()),
                              squashfs="LiveOS/squashfs.img", medium="/run/initramfs/live", ext4=True,
                              arguments=f"root=live:LABEL={MEDIUM_LABEL} rd.live.image rd.live.overlay.size=4096"),
    "trixie-files": System("trixie", packages=(*LIVE_BOOT, "systemd-sysv"), in_files=True,
                           arguments="boot=live persistence persistence-encryption=none,luks persistence-storage=file noeject"),
    "trixie-plymouth": System("trixie", "systemd", (*LIVE_BOOT, *SYSTEMD, "plymouth", "plymouth-themes", "live-tools"),
                              (*INITRAMFS_TOOLS.items(), ("etc/initramfs-tools/scripts/live-realpremount/lab", QUIT_PLYMOUTH)),
                              arguments="boot=live persistence persistence-encryption=luks splash", ends_with="Show Plymouth"),
    "trixie-tails": System("trixie", "systemd", (*LIVE_BOOT, *SYSTEMD, "memlockd"), (*INITRAMFS_TOOLS.items(), *TAILS.items()),
                           arguments=System.arguments + " slub_debug=FZ slab_nomerge page_alloc.shuffle=1 lockdown=integrity",
                           units=(*System.units, "run-initramfs.mount", "initramfs-shutdown.service", "udev-watchdog.service"),
                           holds="systemctl is-active memlockd run-initramfs.mount udev-watchdog && grep -q 'VmLck:.* [1-9]' /proc/$(pidof memlockd)/status && "
                                 "[ $(systemctl show -P ConditionResult initramfs-shutdown) = no ] && ! [ -e /run/initramfs/conf ] && "
                                 "[ $(grep -c ' /run/initramfs ' /proc/self/mountinfo) = 2 ]"),
    "trixie-session": System("trixie", packages=(*LIVE_BOOT, *SYSTEMD, "libpam-systemd", "polkitd")),
    "trixie-desktop": System("trixie", packages=(*LIVE_BOOT, *SYSTEMD, "libpam-systemd", "polkitd", "plymouth", "plymouth-themes", "usbguard",
                             "xserver-xorg-core", "xserver-xorg-input-libinput", "i3lock", "weston", "greetd")),
    "trixie-build": System("trixie", "", ("build-essential", "debhelper", "meson", "musl-tools", "linux-libc-dev", "pkgconf", "systemd-dev", "python3", "lintian"), ()),  # no live system
    "trixie-selinux": System("trixie", packages=(*LIVE_BOOT, *SYSTEMD, "selinux-policy-default", "policycoreutils"), selinux=True,
                             arguments=System.arguments + " security=selinux enforcing=1 sysctl.kernel.printk_ratelimit=0"),
    "trixie-sysvinit": System("trixie", "sysvinit", (*LIVE_BOOT, "sysvinit-core", "sysv-rc", "procps", "psmisc")),
    "trixie-runit": System("trixie", "runit", (*LIVE_BOOT, "runit-init", "procps", "psmisc")),
    "trixie-openrc": System("trixie", "openrc", (*LIVE_BOOT, "sysvinit-core", "openrc", "procps", "psmisc")),
}
MAIN = "trixie"

# Commands by PID 1: what fires when the stick is pulled out, and what takes Lethe from a running system.
WATCH = {"systemd": "systemctl start lethe-watch", "": "setsid lethe watch </dev/null >/dev/null 2>&1 & sleep 10"}
SCRIPTS = "update-rc.d -f lethe-arm remove; lethe disarm"
REMOVE = {"systemd": "systemctl disable --now lethe-arm; lethe disarm; true", "sysvinit": SCRIPTS, "runit": SCRIPTS,
          "openrc": "rc-update del lethe-end off; lethe disarm"}


def say(text):
    print(f"live: {text}", flush=True)


def sh(*command, **options):
    return subprocess.run([str(c) for c in command], check=True, **options)


def mirrors(suite):
    """deb lines for a release, from the archives that this machine's own apt uses."""
    shown = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"],
                           capture_output=True, text=True).stdout
    host = subprocess.run(["sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME"], capture_output=True, text=True).stdout.strip()
    archives = {tuple(line.split()) for line in shown.splitlines()}
    lines = [f"deb {uri} {release.replace(host, suite)} main" for uri, release in sorted(archives) if release.startswith(host)]
    return lines or [f"deb http://deb.debian.org/debian {suite} main"]


def write_files(root, files):
    """Each a script when it begins like one. What is there is replaced, never written to."""
    for name, text in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)


def base(name=MAIN):
    """A system without anything of Lethe's: a folder, cached by what goes into it."""
    system = SYSTEMS[name]

    def build(path):
        say(f"building {name} with mmdebstrap (minutes, once)")
        with tempfile.TemporaryDirectory() as tmp:
            write_files(Path(tmp), system.files)
            log = path.with_name(path.name + ".log")
            result = subprocess.run(
                ["mmdebstrap", "--mode=root", "--variant=minbase", "--aptopt=Acquire::Check-Valid-Until false",
                 "--dpkgopt=force-unsafe-io", *(f"--dpkgopt=path-exclude=/usr/share/{d}/*" for d in ("doc", "man", "locale")),
                 "--include=" + ",".join(system.packages), f"--essential-hook=cp -a {tmp}/. $1/", "--essential-hook=chmod 755 $1",
                 "--customize-hook=echo live >$1/etc/hostname",
                 *(["--customize-hook=systemctl --root=$1 disable apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer"]
                   if system.init == "systemd" else []),
                 system.suite, str(path), *mirrors(system.suite)],
                stdin=subprocess.DEVNULL, stdout=open(log, "w"), stderr=subprocess.STDOUT)
            if result.returncode:
                raise lab.Failure("mmdebstrap failed:\n" + log.read_text()[-3000:])

    recipe = (system.suite, *system.packages, *(text for _, text in system.files))
    return lab.cached(f"live/base-{name}-{lab.digest(*recipe)}", build)


def kernel_and_initrd(name=MAIN):
    boot = base(name) / "boot"
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


def persistence_file(folder):
    """The partition of a persistence that is a file."""
    (folder / "files").mkdir()
    os.link(persistence() / "image", folder / "files/persistence")
    sh("truncate", "-s", f"{PERSISTENCE_MIB + FILE_SYSTEM_MIB}M", folder / "partition")
    sh("mke2fs", "-q", "-t", "ext4", "-E", "root_owner=0:0", "-d", folder / "files", folder / "partition")
    return folder / "partition"


def left_persistence(guest, folder):
    """The persistence as the guest has left it, turned back from LUKS2 to plain ext4: an image in the folder."""
    stick, image = folder / "stick", folder / "ext4"
    guest.stick.export(stick)
    begin, size = subprocess.run(["sfdisk", "-qlo", "start,size", "--bytes", stick], check=True, capture_output=True, text=True).stdout.split()[-2:]
    sh("dd", f"if={stick}", f"of={image}", "bs=1M", f"skip={int(begin) // 2048}", f"count={int(size) // 2**20}", "conv=sparse", "status=none")
    stick.unlink()
    if guest.in_files:
        image.rename(folder / "partition")
        sh("debugfs", "-R", f"dump persistence {image}", folder / "partition", stderr=subprocess.DEVNULL)
    lab.decrypt(image, persistence())
    return image


def installed(build, folder):
    """What `meson install` of a build puts on a system, in a folder."""
    sh("meson", "install", "-C", Path(build).resolve(), "--no-rebuild", "--quiet", "--destdir", folder)
    return folder


def put_shell(root, init, units=System.units):
    """A root shell on the second serial port, and a place for huge pages, which only systemd sees to."""
    files = {"usr/local/bin/lab-shell": SHELL}
    tty = "#!/bin/sh\nexec /usr/local/bin/lab-shell <>/dev/ttyS1 >&0 2>&0\n"
    if init == "systemd":
        files["etc/systemd/system/lab-shell.service"] = SHELL_UNIT
    elif init == "runit":
        files["etc/sv/lab-shell/run"] = tty
        (root / "etc/runit/runsvdir/default/lab-shell").symlink_to("/etc/sv/lab-shell")
    else:
        files["usr/local/bin/lab-tty"] = tty
        files["etc/inittab"] = (root / "etc/inittab").read_text() + "T1:2345:once:/usr/local/bin/lab-tty\n"
    write_files(root, files.items())
    for unit in units:
        if (root / f"etc/systemd/system/{unit}").exists():
            sh("systemctl", f"--root={root}", "enable", "--quiet", unit)


def printed_commands(init, running=False):
    """What docs/systems.md tells a user of this PID 1 to enter in a chroot, or in the running system."""
    rows = {"systemd": "systemd", "sysvinit": "sysvinit, runit on Debian", "runit": "sysvinit, runit on Debian", "openrc": "OpenRC on Debian",
            "busybox": "busybox init"}
    text = (lab.HERE.parent.parent / "docs/systems.md").read_text()
    row = re.search(rf"(?m)^\| {rows[init]} \| (.*) \|$", text)[1]
    commands = re.findall("`(.*?)`", row if running else row.split("; in a running system also")[0])
    if not 1 <= len(commands) <= 3 + running:
        raise lab.Failure(f"docs/systems.md: {commands}")
    if init == "systemd" and f"chroot /path/to/chroot {commands[0]}\n" not in (lab.HERE.parent.parent / "README.md").read_text():
        raise lab.Failure("README.md says something else than docs/systems.md")
    return commands


def put_lethe(root, init, lethe):
    """What `DESTDIR=lethe meson install` has put there, and what a user enters then: at most three commands."""
    sh("cp", "-a", "--remove-destination", f"{lethe}/.", root)
    for command in printed_commands(init):
        sh("chroot", root, "sh", "-c", command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def label(root):
    """Gives the files their SELinux labels, as fixfiles would in the running system."""
    sh("chroot", root, "setfiles", "-F", "/etc/selinux/default/contexts/files/file_contexts", "/")


def in_ext4(root, outer):
    """A folder with the file system that dracut makes a dm-snapshot of."""
    shutil.rmtree(root / "boot")
    image = outer / "LiveOS/rootfs.img"
    image.parent.mkdir(parents=True)
    sh("truncate", "-s", "768M", image)
    sh("mke2fs", "-q", "-t", "ext4", "-d", root, image)
    return outer


def install_disk(lethe):
    """What `DESTDIR=lethe meson install` has put there, on a disk that a running system copies it from."""
    def build(path):
        for old in path.parent.glob("install-*[0-9a-f]"):
            old.unlink()
        sh("truncate", "-s", "16M", path)
        sh("mke2fs", "-q", "-t", "ext4", "-L", "INSTALL", "-E", "root_owner=0:0", "-d", lethe, path)

    return lab.cached(f"live/install-{lab.digest(lethe)}", build)


def install(guest, init):
    """Puts Lethe into a running system, and enters what is printed for that."""
    guest.run("mount -r LABEL=INSTALL /mnt && cp -R /mnt/usr / && umount /mnt", timeout=60)
    for command in printed_commands(init, running=True):
        guest.run(command, timeout=120)


def install_packages(guest):
    """Installs Lethe's Debian packages in a running system, and once more while it is armed and its watcher runs, as an upgrade does."""
    guest.run("mount -r LABEL=INSTALL /mnt", timeout=60)
    for _ in range(2):
        guest.run("dpkg -i /mnt/lethe_*.deb /mnt/lethe-watch_*.deb", timeout=300)
        guest.run("systemctl is-active lethe-arm lethe-watch && cmp /usr/sbin/lethe /usr/lib/systemd/systemd-shutdown", timeout=60)
    guest.run("umount /mnt")


def put_on_medium(image, files):
    """Copies files to places on a FAT file system."""
    for place, file in files.items():
        folder = str(Path(place).parent)
        subprocess.run(["mmd", "-D", "s", "-i", image, f"::{folder}"], stdin=subprocess.DEVNULL, capture_output=True)
        sh("mcopy", "-i", image, file, f"::{place}")


def write_stick(path, root, system, kernel_and_initrd, tmp):
    """The image of a stick from a root and what boots it, by way of a folder."""
    squashfs, medium, (kernel, initrd) = tmp / "squashfs", tmp / "medium", kernel_and_initrd
    sh("mksquashfs", root, squashfs, "-comp", "zstd", "-Xcompression-level", "1", "-quiet", "-no-progress",
       "-e", "boot", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    size = squashfs.stat().st_size // 2**20 + 80
    sh("truncate", "-s", f"{size}M", medium)
    sh("mkfs.vfat", "-F", "32", "-n", MEDIUM_LABEL, medium, stdout=subprocess.DEVNULL)
    put_on_medium(medium, {system.squashfs: squashfs, "live/vmlinuz": kernel, "live/initrd.img": initrd})
    kept, kept_mib = persistence() / "image", PERSISTENCE_MIB
    if system.in_files:
        (tmp / "second").mkdir()
        (tmp / "second/second").touch()
        sh("mksquashfs", tmp / "second", tmp / "second.squashfs", "-quiet", "-no-progress", stdout=subprocess.DEVNULL)
        put_on_medium(medium, {"live/second.squashfs": tmp / "second.squashfs"})
        kept, kept_mib = persistence_file(tmp), PERSISTENCE_MIB + FILE_SYSTEM_MIB
    sh("truncate", "-s", f"{1 + size + kept_mib + 1}M", path)
    sh("sfdisk", "-q", path, input=f"label: gpt\nstart=1MiB, size={size}MiB, name=medium\n"
       f"start={1 + size}MiB, size={kept_mib}MiB, name=persistence\n", text=True)
    for image, at in ((medium, 1), (kept, 1 + size)):
        sh("dd", f"if={image}", f"of={path}", "bs=1M", f"seek={at}", "conv=notrunc,sparse", "status=none")


def stick(lethe=None, name=MAIN):
    """A system's stick as an image, cached: with nothing of Lethe's, or with what `DESTDIR=lethe meson install` has put there."""
    plant = lab.compiled("plant", static=True)
    system = SYSTEMS[name]

    def build(path):
        say(f"making the stick of {name} {'with' if lethe else 'without'} Lethe")
        for old in sorted(path.parent.glob("stick-*[0-9a-f]"), key=lambda p: p.stat().st_mtime)[:-8]:
            old.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as tmp:
            tmp = Path(tmp)
            root = tmp / "root"
            # Hard links but for what the commands below may write to: whatever else is put there replaces a file of the base.
            sh("cp", "-al", base(name), root)
            for written in ("etc", "var"):
                shutil.rmtree(root / written)
                sh("cp", "-a", base(name) / written, root)
            if lethe:
                put_lethe(root, system.init, lethe)
            sh("cp", "--remove-destination", plant, root / "usr/local/bin/plant")
            put_shell(root, system.init, system.units)
            if system.selinux:
                label(root)
            if system.ext4:
                root = in_ext4(root, tmp / "outer")
            write_stick(path, root, system, kernel_and_initrd(name), tmp)

    recipe = [base(name).name, persistence().name, plant.name, SHELL, SHELL_UNIT, repr(system), *([lethe, str(printed_commands(system.init))] if lethe else [])]
    return lab.cached(f"live/stick-{name}-{lab.digest(*recipe)}", build)


def wait_started(guest):
    guest.wait_ready(900)  # a hang limit: three systems on a busy host take minutes
    guest.run("udevadm settle", timeout=180, check=False)  # else a module may just be loading when the machine ends


@contextmanager
def booted(image, arguments="", sticks=(), name=MAIN, initrd=None, ready=wait_started, boot=None, **options):
    """A live system started from its stick's image, ready for commands; the stick's device is 'stick'. `sticks` are more of them,
    `boot` is a kernel and an initramfs that are not the system's."""
    kernel, own = boot or kernel_and_initrd(name)
    cmdline = (f"{SYSTEMS[name].arguments} console=ttyS0 systemd.show_status=0 "
               f"systemd.log_target=kmsg printk.devkmsg=on {arguments}")
    device = lab.Stick(image)
    with lab.Guest(kernel, initrd or own, cmdline, sticks=[device, *sticks],
                   fw_cfg={"opt/lethe.passphrase": persistence() / "passphrase"}, **options) as guest:
        guest.stick, guest.in_files = device, SYSTEMS[name].in_files
        ready(guest)
        yield guest


def add_option(parser, default=MAIN):
    parser.add_argument("--suite", choices=SYSTEMS, default=default, help=f"the system, of live.py ({default})")
