# SPDX-License-Identifier: GPL-3.0-or-later
"""A small live system that boots in seconds: what a live system is to Lethe, without systemd and all the rest.

    /dev/vda  ext4, the boot medium: filesystem.squashfs, mounted through a loop as live-boot does it; elsewhere with start=
    /dev/vdb  LUKS2 with an ext4 in it, for the cases that ask for it

Its root is an overlay: the squashfs below, a tmpfs above. PID 1 is a shell that does what it is told on ttyS1. When told
`handover VERB …` it takes the part of systemd-shutdown in its last step: kills all but those who ask to be spared, pivots to
/run/initramfs with the mounts as systemd 252 leaves them (test/data/debian12-live-after-pivot) and execs /shutdown.
"""

import os
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import lab
from layouts import LAYOUTS

KERNEL, KERNEL_13 = lab.MACHINE.cache / "kernel/cloud", lab.MACHINE.cache / "kernel/cloud-13"  # of Debian 12, 6.1, and of Debian 13, 6.12
KERNEL_16K = lab.MACHINE.cache / "kernel/16k"  # of Debian 13, for arm64 alone
KERNELS = [KERNEL, *(kernel for kernel in [KERNEL_13 if lab.MACHINE is lab.Amd64 else KERNEL_16K] if kernel.exists())]
BOOT_MODULES = ["virtio_pci", "virtio_blk", "loop", "squashfs", "overlay"]
MORE_MODULES = ["dm_mod", "dm_crypt", "xts", lab.MACHINE.aes, "af_alg", "algif_skcipher", "algif_hash", "zram", "brd", "softdog",
                "qemu_fw_cfg", "lzo_rle"]
PROGRAMS = ["/usr/sbin/cryptsetup", "/usr/sbin/dmsetup", "/usr/sbin/mke2fs", "/usr/bin/chattr"]
# What the stacks (stacks.py) are set up with.
TOOL_MODULES = ["dm_snapshot", "dm_verity", "dm_integrity", "raid1", "fuse", "btrfs", "xfs", "isofs", "nbd", "autofs4", "authenc", "hmac",
                "sha256_generic", "dm_thin_pool", "dm_cache", "dm_cache_smq", "bcache", "vfat", "nls_cp437", "nls_ascii",
                "sr_mod", "sd_mod", "virtio_scsi", "dm_multipath", "dm_round_robin", "virtio_net", "nfs", "nfsv3", "nfsv4", "tcp_diag",
                "wireguard", "macsec", "dummy", "xfrm_user", "esp4", "cbc", "echainiv", "drbg", "jitterentropy_rng", "sha512_generic", "gcm"]
TOOLS = ["/usr/sbin/lvm", "/usr/sbin/mdadm", "/usr/sbin/veritysetup", "/usr/sbin/integritysetup", "/usr/bin/fuse-overlayfs", "/usr/bin/unionfs",
         "/usr/bin/mergerfs", "/usr/sbin/mkfs.btrfs", "/usr/bin/btrfs", "/usr/sbin/mkfs.xfs", "/usr/sbin/xfs_repair", "/usr/sbin/e2fsck",
         "/usr/sbin/sfdisk", "/usr/sbin/mkfs.fat", "/usr/sbin/nbd-client", "/usr/sbin/mkfs.f2fs", "/usr/sbin/fsck.f2fs", "/usr/sbin/make-bcache",
         "/usr/bin/sshfs", "/usr/bin/wg", "/bin/ip", "/usr/sbin/mdmon", "/usr/bin/ntfs-3g", "/usr/sbin/mkntfs"]

INIT = """#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /run /root
mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t devtmpfs -o nosuid,mode=755 udev /dev
while read module; do insmod $module; done </modules
mount -t tmpfs -o nosuid,nodev,noexec,mode=755 tmpfs /run
mkdir -p /run/live/medium /run/live/rootfs /run/live/overlay
medium=/run/live/medium rootfs=/run/live/rootfs overlay=/run/live/overlay
case $start in
    '') disk=/dev/vda ;;
    disc) disk=/dev/sr0 ;;
    *) disk=/dev/sda ;;
esac
while [ ! -b $disk ]; do usleep 50000; done
if [ -f "/layouts/$start" ]; then
    root=/root
    . /layouts/$start
    for place in run proc sys dev; do mount --move /$place $root/$place; done
    cd /
    exec switch_root $root /sbin/init
fi
case $start in
    disc) mount -r -t iso9660 $disk $medium ;;
    iso)
        mkdir /run/live/stick
        mount -r -t ext4 $disk /run/live/stick
        mount -r -t iso9660 -o loop /run/live/stick/live.iso $medium
        ;;
    toram)
        mount -r -t ext4 $disk /mnt
        mount -t tmpfs tmpfs $medium
        cp /mnt/filesystem.squashfs $medium
        umount /mnt
        ;;
    *) mount -r -t ext4 $disk $medium ;;
esac
mount -r -t squashfs -o loop $medium/filesystem.squashfs $rootfs
mount -t tmpfs -o noatime,mode=755 tmpfs $overlay
mkdir $overlay/rw $overlay/work
mount -t overlay -o noatime,lowerdir=$rootfs,upperdir=$overlay/rw,workdir=$overlay/work overlay /root
for place in run proc sys dev; do mount --move /$place /root/$place; done
exec switch_root /root /sbin/init
"""

SHELL = f"""#!/bin/sh
export PATH=/sbin:/bin HOME=/root
mkdir -p /dev/pts /dev/shm /dev/mqueue /dev/hugepages
mount -t devpts -o nosuid,noexec,gid=5,mode=620,ptmxmode=000 devpts /dev/pts
mount -t tmpfs -o nosuid,nodev tmpfs /dev/shm
mount -t mqueue -o nosuid,nodev,noexec mqueue /dev/mqueue
mount -t hugetlbfs -o pagesize=2M hugetlbfs /dev/hugepages
mount -t tmpfs -o nosuid,nodev tmpfs /tmp
mkdir /run/lock
mount -t tmpfs -o nosuid,nodev,noexec,size=5120k tmpfs /run/lock
end() {{ exec lethe end poweroff; }} # which makes status call it ready
exec </dev/{lab.MACHINE.shell} >/dev/{lab.MACHINE.shell} 2>&1
stty raw -echo
echo "{lab.READY}"
exec sh >/dev/null 2>&1 # with a terminal for its output it would be interactive
"""

# SKIP names what is not bound into the new root, ROOT=rw leaves the old one writable, LAYOUT=new is how systemd 256 does it. With UNMOUNT it
# unmounts what is not in use first, as systemd does.
HANDOVER = """#!/bin/sh
exec </dev/console >/dev/console 2>&1
cd /
for process in /proc/[0-9]*; do
    pid=${process#/proc/}
    case $(head -c 1 $process/cmdline 2>/dev/null) in
        '@' | '') ;;
        *) [ $pid = 1 ] || kill -9 $pid 2>/dev/null ;;
    esac
done
for path in $([ -z "$UNMOUNT" ] || awk '{ print $5 }' /proc/self/mountinfo | tac); do
    case $path in
        / | /usr | /run | /run/initramfs | /run/initramfs/* | /proc | /proc/* | /sys | /sys/* | /dev | /dev/*) ;;
        *) umount $path 2>/dev/null ;;
    esac
done
[ "$ROOT" = rw ] || mount -o remount,ro /
mount --bind /run/initramfs /run/initramfs
mount --make-rprivate /
if [ "$LAYOUT" = new ]; then
    bind=rbind
    mkdir -p /run/shutdown/mounts/0123456789abcdef
    mount --move /mnt /run/shutdown/mounts/0123456789abcdef
fi
cd /run/initramfs
mkdir -p oldroot
for place in sys dev proc run; do
    [ $place != run ] || bind=bind
    mkdir -p $place
    case " $SKIP " in *" $place "*) ;; *) mount --${bind:-bind} /$place $place ;; esac
done
pivot_root . oldroot
[ ! -c dev/kmsg ] || echo '<3>lab: hands over' >dev/kmsg
exec chroot . /shutdown "$@"
"""

PASSPHRASE = "correct horse battery staple"
DISK_FILES = {"notes": "what was there before\n", "many/lines": "a line\n" * 10_000}
HEADER_MIB, DATA_MIB = 32, 32


def sh(*command, **options):
    return subprocess.run([str(c) for c in command], check=True, **options)


def modules(root, kernel, names):
    """Put modules of this kernel and all that they need into `root`, where the guest's modprobe finds them. The names of those that this
    kernel has no more are passed by."""
    version = next((kernel / "lib/modules").iterdir()).name
    folder = root / "lib/modules" / version
    folder.mkdir(parents=True)
    for index in (kernel / "lib/modules" / version).glob("modules.[bo]*"):
        shutil.copy(index, folder)
    for name in names:
        shown = subprocess.run(["modprobe", "-d", kernel, "-S", version, "--show-depends", name], capture_output=True, text=True)
        if shown.returncode and kernel == KERNEL and lab.MACHINE is lab.Amd64:
            raise lab.Failure(f"{kernel} has no module {name}")
        for line in shown.stdout.splitlines():
            if line.startswith("insmod "):
                shutil.copy(line.split()[1], folder)
    sh("depmod", "-b", root, version)


def medium(lethe, tools=False):
    """The boot medium's image with this build of Lethe's, cached; with `tools` for all kinds of stacks."""
    helpers = {name: lab.compiled(name, static=True) for name in ("plant", "adapter", "pass", "remote", "mounts", "splash", "confine")}
    kind = "tools" if tools else "medium"
    programs = PROGRAMS + TOOLS if tools else PROGRAMS

    def build(path):
        for old in sorted(path.parent.glob(f"{kind}-*[0-9a-f]"), key=lambda p: p.stat().st_mtime)[:-3]:
            old.unlink()
        with tempfile.TemporaryDirectory() as tmp:
            root, files = Path(tmp) / "root", Path(tmp) / "medium"
            files.mkdir()
            for place in ("bin", "sbin", "dev", "proc", "sys", "run", "tmp", "mnt", "root", "etc", "var/tmp", "home"):
                (root / place).mkdir(parents=True)
            tree = {"/sbin/lethe": lethe, "/bin/busybox": lab.MACHINE.files("/bin/busybox")["/bin/busybox"]} | {f"/bin/{n}": path for n, path in helpers.items()}
            for program in programs:
                tree |= lab.MACHINE.files(program)
            for name, source in tree.items():
                target = root / name.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
            for program in programs:
                name = root / "bin" / Path(program).name.replace("mke2fs", "mkfs.ext4")  # not an applet
                if not name.exists():
                    name.symlink_to(program)
            for applet in sh("busybox", "--list", capture_output=True, text=True).stdout.split():
                if not (root / "bin" / applet).exists() and not (root / "bin" / applet).is_symlink():
                    (root / "bin" / applet).symlink_to("busybox")
            (root / "sbin/modprobe").symlink_to("/bin/busybox")  # where the kernel looks for it
            for name, text in {"sbin/init": SHELL, "sbin/handover": HANDOVER}.items():
                (root / name).write_text(text)
                (root / name).chmod(0o755)
            for kernel in KERNELS:
                modules(root, kernel, MORE_MODULES + TOOL_MODULES if tools else MORE_MODULES)
            sh("mksquashfs", root, files / "filesystem.squashfs", "-all-root", "-noI", "-noD", "-noF", "-noX", "-quiet",
               "-no-progress", stdout=subprocess.DEVNULL)
            sh("truncate", "-s", "128M" if tools else "64M", path)
            sh("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", files, path)

    # All that goes into the image: this file has the scripts and the lists, and a kernel's build is told by its vmlinuz.
    recipe = [Path(__file__), lethe, *(p.name for p in helpers.values()), *lab.MACHINE.installed(), *(kernel / "vmlinuz" for kernel in KERNELS)]
    return lab.cached(f"small/{kind}-{lab.digest(*recipe)}", build)


def blank_disk():
    return lab.cached("small/blank-400M", lambda path: sh("truncate", "-s", "400M", path))


def iso():
    """An ISO image with a squashfs in it."""
    def build(path):
        with tempfile.TemporaryDirectory() as tmp:
            tree, files = Path(tmp) / "tree", Path(tmp) / "files"
            tree.mkdir()
            files.mkdir()
            (tree / "motd").write_text("from the image\n")
            sh("mksquashfs", tree, files / "filesystem.squashfs", "-all-root", "-quiet", "-no-progress", stdout=subprocess.DEVNULL)
            sh("xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", path, files, stderr=subprocess.DEVNULL)

    return lab.cached("small/live.iso", build)


def disc(lethe):
    """The boot medium as an ISO image."""
    source = medium(lethe)

    def build(path):
        for old in sorted(path.parent.glob("disc-*[0-9a-f]"), key=lambda p: p.stat().st_mtime)[:-3]:
            old.unlink()
        with tempfile.TemporaryDirectory() as tmp:
            sh("debugfs", "-R", f"dump filesystem.squashfs {tmp}/filesystem.squashfs", source, stderr=subprocess.DEVNULL)
            sh("xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", path, tmp, stderr=subprocess.DEVNULL)

    return lab.cached(f"small/{source.name.replace('medium', 'disc')}", build)


def iso_disk(image=None):
    """An ext4 with an ISO image as live.iso on it, as a stick for many systems has it."""
    image = image or iso()

    def build(path):
        with tempfile.TemporaryDirectory() as tmp:
            shutil.copy(image, Path(tmp) / "live.iso")
            sh("truncate", "-s", "64M", path)
            sh("mke2fs", "-q", "-t", "ext4", "-d", tmp, path)

    return lab.cached(f"small/{image.stem}-64M", build)


def initrd(kernel, more):
    names = BOOT_MODULES + list(more)

    def build(path):
        lab.initramfs(path, {"init": INIT} | {f"layouts/{name}": lines for name, lines in LAYOUTS.items()}, names, kernel)

    version = next((kernel / "lib/modules").iterdir()).name
    return lab.cached(f"small/initrd-{lab.digest(INIT, str(LAYOUTS), Path(lab.__file__), names, str(kernel), version)}", build)


def encrypted_disk():
    """A folder, cached: `image`, LUKS2 with an ext4 in it, and beside it its `key` and `passphrase`."""
    def build(path):
        path.mkdir()
        (path / "passphrase").write_text(PASSPHRASE)
        (path / "key").write_bytes(os.urandom(64))
        for name, text in DISK_FILES.items():
            (path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
            (path / "root" / name).write_text(text)
        image = path / "image"
        sh("truncate", "-s", f"{DATA_MIB}M", image)
        sh("mke2fs", "-q", "-t", "ext4", "-E", "root_owner=0:0", "-d", path / "root", image)
        sh("truncate", "-s", f"{DATA_MIB + HEADER_MIB}M", image)
        sh("cryptsetup", "reencrypt", "-q", "--encrypt", "--type", "luks2", "--reduce-device-size", f"{HEADER_MIB}M",
           "--key-size", "512", "--volume-key-file", path / "key", "--key-file", path / "passphrase",
           "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", image)

    return lab.cached(f"small/disk-{lab.digest(PASSPHRASE, str(DISK_FILES), HEADER_MIB, DATA_MIB)}", build)


def decrypted(disk, folder):
    """What the guest left on the encrypted disk, as a plain ext4 image: only once the guest has ended."""
    image = folder / "disk"
    disk.export(image)
    lab.decrypt(image, encrypted_disk())
    return image


class Small(lab.Guest):
    """A small system with what the cases ask of it."""

    def hand_over(self, *arguments, before=""):
        """As systemd-shutdown: exec /shutdown with these arguments, and 252's more."""
        self.send(f"{before}\nexec handover {' '.join(arguments)} --timeout=90000000us --log-level=6 --log-target=kmsg")

    def do(self, script, timeout=30):
        """Run lines of shell, all of which have to succeed."""
        return self.run(f"( set -e\n{script}\n)", timeout)

    def arm(self):
        self.run("lethe arm")

    def become_busybox_init(self, *lines):
        """PID 1, which is a shell, becomes busybox init, which gives a new shell."""
        inittab = ["::sysinit:/bin/true", f"{lab.MACHINE.shell}::once:/bin/sh -c 'stty raw -echo; echo \"$READY\"; exec sh >/dev/null 2>&1'",
                   "tty9::respawn:/bin/sleep 1000", *lines]
        self.run("rm -f /etc/inittab; cat >/etc/inittab <<'END'\n" + "\n".join(inittab) + "\nEND")
        self.send(f"export READY='{lab.READY}'; exec /bin/busybox init")
        self.wait_ready(60)
        self.send(f"exec >/dev/{lab.MACHINE.shell} 2>&1")

    @property
    def said(self):
        """The lines that Lethe put on the console, each without its time stamp and its "lethe: ". Its last word is the last one: steps come
        another way to the console, and may be overtaken."""
        lines = [line.partition("lethe: ")[2].strip() for line in self.console.splitlines() if "lethe: " in line]
        return sorted(lines, key=lambda line: bool(re.match(r"\w+ after [\d.]+ s[ :]", line)))


@contextmanager
def booted(lethe, arguments="", *, memory="init_on_free=1", log="printk.devkmsg=on", ram="512M", disk=False, kernel=KERNEL, load=(), tools=False, disks=(),
           start="", args=(), **options):
    """A small system, ready for commands; with `disk` the encrypted disk is its /dev/vdb and `guest.disk`.

    `disks` are images for its /dev/vdb and on, kept in `guest.disks`, beside `guest.medium`; the passphrase and the key of LUKS are handed in all the same.

    `memory` is what the kernel is told about clearing memory. `kernel` is a folder with another kernel than the small one and
    its lib/modules; of these the initramfs loads `load` too. `start` is what it starts from, where that is not /dev/vda: a stick
    ("stick"), an ISO image on one ("iso"), a drive with a disc ("disc"), or RAM, copied from a stick ("toram"); with a name of
    layouts.py a stick, whose system is set up as those systems do it.
    """
    if start == "disc":
        devices = []
        args = [*args, *lab.disc_args(disc(lethe))]
    else:
        devices = [lab.Stick(iso_disk(disc(lethe)) if start == "iso" else medium(lethe, tools), "medium",
                             *([] if start else ["virtio-blk-pci"]))]
    devices += [lab.Stick(image, f"disk{i}", "virtio-blk-pci") for i, image in enumerate(disks)]
    fw_cfg = {}
    if tools:
        fw_cfg = {f"opt/lethe.{name}": encrypted_disk() / name for name in ("passphrase", "key")}
    if disk:
        devices.append(lab.Stick(encrypted_disk() / "image", "disk", "virtio-blk-pci"))
        fw_cfg["opt/lethe.passphrase"] = encrypted_disk() / "passphrase"
    image = next(path for pattern in ("vmlinuz", "boot/vmlinuz-*") for path in kernel.glob(pattern) if path.is_file())
    with Small(image, initrd(kernel, load), f"console={lab.MACHINE.console} loglevel=6 cryptomgr.notests {log} lethe.show=0 {memory} {arguments}"
               + (f" start={start}" if start else ""), ram=ram, sticks=devices, fw_cfg=fw_cfg, args=args, **options) as guest:
        guest.disk = devices[-1] if disk else None
        guest.medium, *guest.disks = devices if start != "disc" else (None, *devices)
        guest.wait_ready(600 if options.get("counted") else 120)
        guest.send(f"exec >/dev/{lab.MACHINE.shell} 2>&1")
        yield guest
