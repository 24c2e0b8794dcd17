# SPDX-License-Identifier: GPL-3.0-or-later
"""The stacks that live systems are built from, each as the shell lines that set it up in the small system (small.py).

Both capture.py, which makes test/data of them, and test_stacks.py, which takes them apart, set them up from here. What a stack is for
its user is mounted at /mnt; `plants` are what is planted there before the end, `check` are lines for a second guest with the same disks,
which print nothing where the file systems on them are clean.
"""

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import live
import servers
import small

HELPERS = """export DM_DISABLE_UDEV=1
fw=/sys/firmware/qemu_fw_cfg/by_name
modprobe -a qemu_fw_cfg dm_mod dm_crypt xts algif_skcipher aesni_intel loop
lvm() { /usr/sbin/lvm "$@" --config 'global{locking_dir="/run/lvm" thin_check_executable="" cache_check_executable=""} backup{backup=0 archive=0}
    activation{udev_sync=0 udev_rules=0 monitoring=0}' >/dev/null 2>&1; }
luks_format() { type=$1; shift; cryptsetup luksFormat -q --type $type --pbkdf-force-iterations 1000 --volume-key-file $fw/opt/lethe.key/raw \\
    --key-size 512 --key-file $fw/opt/lethe.passphrase/raw "$@"; }
luks_open() { cryptsetup open --key-file $fw/opt/lethe.passphrase/raw "$@"; }
raid() { modprobe raid1; mdadm --quiet "$@"; }
union() { mkdir -p $1/up $1/work $2; mount -t overlay -o lowerdir=/run/live/rootfs,upperdir=$1/up,workdir=$1/work union $2; }
check_ext4() { e2fsck -fn $1 >/tmp/e2fsck 2>&1 && ! grep -i journal /tmp/e2fsck || cat /tmp/e2fsck; }
network() { modprobe virtio_net; ip link set eth0 up; ip address add 10.0.2.15/24 dev eth0; }
mount_nfs() { modprobe nfs; mount -t nfs -o vers=3,proto=tcp,port=$port,mountproto=tcp,mountport=$port,nolock,addr=10.0.2.2 10.0.2.2:/ $1; }
mount_nfs4() { modprobe nfsv4; mount -t nfs4 -o vers=4.2,proto=tcp,port=$port,addr=10.0.2.2,clientaddr=10.0.2.15 10.0.2.2:/share $1; }
mount_sshfs() { modprobe fuse; echo 'echo $$ >/tmp/ssh.pid; exec -a @/busybox /bin/busybox nc 10.0.2.2 $port' >/tmp/ssh
    (exec -a @sshfs /bin/sshfs -o ssh_command="sh /tmp/ssh" host: $1); }
freeze_sshfs() { mount -t cgroup2 cgroup /sys/fs/cgroup; mkdir /sys/fs/cgroup/frozen
    for p in $(cat /tmp/ssh.pid) $(pidof sshfs); do echo $p >/sys/fs/cgroup/frozen/cgroup.procs; done; echo 1 >/sys/fs/cgroup/frozen/cgroup.freeze; }
crypt_file() { truncate -s 24M $1/container; losetup /dev/loop5 $1/container; cryptsetup open --type plain -c aes-xts-plain64 -s 512 \\
    --key-file $fw/opt/lethe.key/raw /dev/loop5 home; mkfs.ext4 -q /dev/mapper/home; mount /dev/mapper/home $2; }
open_nbd() { modprobe nbd nbds_max=1; nbd-client 10.0.2.2 $port /dev/nbd0 -b 4096 >/tmp/nbd-client 2>&1 || { cat /tmp/nbd-client; false; }; }
mkdir -p /run/lvm /mnt
"""


# What the full kernel is given in its initramfs, for the modules of the small system are the small kernel's.
FULL_MODULES = ["ext4", "f2fs", "qemu_fw_cfg", "dm_mod", "dm_crypt", "xts", "algif_skcipher", "aesni_intel"]


@dataclass
class Stack:
    name: str
    about: str
    setup: str
    disks: int = 0
    plants: tuple = ()
    check: str = ""
    key: bool = False  # a LUKS device with the key that is handed in
    iso: bool = False  # /dev/vdb is small.iso_disk()
    optical: bool = False  # /dev/sr0 is small.iso()
    full: bool = False  # with Debian's full kernel
    server: str = ""  # of servers.py: the guest's $port at 10.0.2.2 is its, and guest.server

    def images(self):
        return [small.iso_disk()] if self.iso else [small.blank_disk()] * self.disks

    @contextmanager
    def start(self, lethe, **options):
        """The small system with its kernel and tools."""
        kernel = {"kernel": live.base("bookworm"), "load": FULL_MODULES} if self.full else {}
        with small.booted(lethe, tools=True, ram="768M", **kernel, **options) as guest:
            guest.run("modprobe() { :; }") if self.full else None
            yield guest

    @contextmanager
    def boot(self, lethe, **options):
        args = ["-device", "virtio-scsi-pci", "-drive", f"if=none,id=disc,media=cdrom,readonly=on,format=raw,file={small.iso()}",
                "-device", "scsi-cd,drive=disc"] if self.optical else []
        serve = {"nbd": lambda: servers.nbd(small.blank_disk()), "nfs": servers.nfs, "nfs4": servers.nfs4, "sftp": servers.sftp, "": nullcontext}[self.server]
        with serve() as server:
            args += server.args if server else []
            with self.start(lethe, disks=self.images(), args=args, **options) as guest:
                guest.server = server
                guest.run(f"export port={server.port}") if server else None
                yield guest


STACKS = [
    Stack("brd-branch", "the union's writable branch is an ext4 on a ramdisk (brd)", """
modprobe brd rd_nr=1 rd_size=32768
mkfs.ext4 -q /dev/ram0; mkdir /run/branch; mount /dev/ram0 /run/branch; union /run/branch /mnt""", plants=("file+brd:4M:/mnt",)),

    Stack("zram-branch", "the union's writable branch is an ext4 on zram", """
modprobe zram num_devices=1; echo 32M >/sys/block/zram0/disksize
mkfs.ext4 -q /dev/zram0; mkdir /run/branch; mount /dev/zram0 /run/branch; union /run/branch /mnt""", plants=("file+zram:4M:/mnt",)),

    Stack("snapshot-branch", "a dm-snapshot of the medium whose COW file lies on a tmpfs", """
modprobe dm_snapshot; mkfs.ext4 -q /dev/vdb
mkdir /run/cow; mount -t tmpfs cow /run/cow; truncate -s 32M /run/cow/file; losetup /dev/loop6 /run/cow/file
echo "0 $(cat /sys/block/vdb/size) snapshot /dev/vdb /dev/loop6 N 8" | dmsetup create --noudevsync live
mount /dev/mapper/live /mnt""", disks=1, plants=("file+cow:4M:/mnt",)),

    Stack("ramfs-branch", "the union's writable branch is a ramfs", """
mkdir /run/branch; mount -t ramfs branch /run/branch; union /run/branch /mnt""", plants=("file+ramfs:4M:/mnt",)),

    Stack("disk-branch", "the union's writable branch is a plain partition of a disk", """
mkfs.ext4 -q /dev/vdb; mkdir /run/branch; mount /dev/vdb /run/branch; union /run/branch /mnt""",
          disks=1, plants=("cache+disk:4M:/mnt",), check="check_ext4 /dev/vdb"),

    Stack("toram-copy", "a copy of the live system in RAM: a squashfs in a file of a tmpfs", """
mkdir -p /run/toram /run/copy /run/branch; mount -t tmpfs toram /run/toram; cp /run/live/medium/filesystem.squashfs /run/toram
mount -r -t squashfs -o loop /run/toram/filesystem.squashfs /run/copy
mount -t tmpfs branch /run/branch; mkdir /run/branch/up /run/branch/work
mount -t overlay -o lowerdir=/run/copy,upperdir=/run/branch/up,workdir=/run/branch/work live /mnt""",
          plants=("file+toram:4M:/mnt", "file+beside:1M:/run/toram")),

    Stack("iso-loop", "an ISO image that lies as a file on another file system, and a squashfs in that", """
modprobe isofs; mkdir -p /run/stick /run/iso /run/squash /run/branch; mount -r -t ext4 /dev/vdb /run/stick
losetup -r /dev/loop5 /run/stick/live.iso; mount -r -t iso9660 /dev/loop5 /run/iso
losetup -r /dev/loop6 /run/iso/filesystem.squashfs; mount -r -t squashfs /dev/loop6 /run/squash
mount -t tmpfs branch /run/branch; mkdir /run/branch/up /run/branch/work
mount -t overlay -o lowerdir=/run/squash,upperdir=/run/branch/up,workdir=/run/branch/work live /mnt; grep -q image /mnt/motd""",
          iso=True, plants=("file+iso:4M:/mnt",), check="check_ext4 /dev/vdb"),

    Stack("partition", "the medium is a partition, the persistence another one of the same disk", """
modprobe -a vfat nls_cp437 nls_ascii; printf 'size=32M\\nsize=64M\\n' | sfdisk -q /dev/vdb 2>/dev/null; sleep 1; mkdir /run/stick
mkfs.fat /dev/vdb1 >/dev/null 2>&1; mount -r -t vfat /dev/vdb1 /run/stick; mkfs.ext4 -q /dev/vdb2; mount /dev/vdb2 /mnt; mkdir -p /mnt/user /home/user
mount --bind /mnt/user /home/user; ln -s /mnt/user /home/link""", disks=1, plants=("cache+part:4M:/mnt",), check="check_ext4 /dev/vdb2"),

    Stack("optical", "a medium on an optical drive, a squashfs in it", """
modprobe -a virtio_scsi sr_mod isofs; i=0; until [ -e /dev/sr0 ] || [ $((i += 1)) = 20 ]; do sleep 0.2; done
mkdir -p /run/disc /run/squash; mount -r -t iso9660 /dev/sr0 /run/disc; losetup -r /dev/loop6 /run/disc/filesystem.squashfs
mount -r -t squashfs /dev/loop6 /run/squash; mount -t tmpfs branch /mnt; mkdir /mnt/up /mnt/work /run/root
mount -t overlay -o lowerdir=/run/squash,upperdir=/mnt/up,workdir=/mnt/work live /run/root""", optical=True, plants=("file+disc:2M:/run/root",)),

    Stack("verity", "a medium that dm-verity checks", """
modprobe dm_verity; truncate -s 8M /tmp/data /tmp/hash; mkfs.ext4 -q -b 4096 /tmp/data
losetup /dev/loop5 /tmp/data; losetup /dev/loop6 /tmp/hash
root=$(veritysetup format /dev/loop5 /dev/loop6 | sed -n 's/^Root hash:[[:space:]]*//p')
veritysetup open /dev/loop5 medium /dev/loop6 $root; mount -r -t ext4 /dev/mapper/medium /mnt"""),

    Stack("nbd", "a medium on the network (nbd), and what is written to it", """
network; open_nbd; mkfs.ext4 -q /dev/nbd0; mkdir /run/medium; mount -t ext4 /dev/nbd0 /run/medium
mkdir /run/branch; mount -t tmpfs branch /run/branch; mkdir /run/branch/up /run/branch/work
mount -t overlay -o lowerdir=/run/medium,upperdir=/run/branch/up,workdir=/run/branch/work live /mnt""",
          server="nbd", plants=("cache+remote:4M:/run/medium", "file+branch:1M:/mnt")),

    Stack("nbd-luks", "a persistence on the network: LUKS2 on nbd", """
network; open_nbd; luks_format luks2 --pbkdf pbkdf2 /dev/nbd0; luks_open /dev/nbd0 home; mkfs.ext4 -q /dev/mapper/home
mkdir /run/medium; mount /dev/mapper/home /run/medium""", server="nbd", plants=("cache+remote:4M:/run/medium",), key=True),

    Stack("nfs-crypt", "a persistence on the network: plain dm-crypt in a file on NFS", """
network; mkdir /run/share /run/medium; mount_nfs /run/share; crypt_file /run/share /run/medium""",
          server="nfs", plants=("cache+remote:4M:/run/medium",), key=True),

    Stack("nfs", "a medium on the network (NFS), and what is written to it", """
network; mkdir /run/medium; mount_nfs /run/medium
mkdir /run/branch; mount -t tmpfs branch /run/branch; mkdir /run/branch/up /run/branch/work
mount -t overlay -o lowerdir=/run/medium,upperdir=/run/branch/up,workdir=/run/branch/work live /mnt""",
          server="nfs", plants=("cache+remote:4M:/run/medium", "file+branch:1M:/mnt")),

    Stack("sshfs", "files on another machine (sshfs)", "network; mkdir /run/medium; mount_sshfs /run/medium",
          server="sftp", plants=("cache+remote:4M:/run/medium",)),

    Stack("nfs4", "a share of NFS version 4", "network; mkdir /run/medium; mount_nfs4 /run/medium", server="nfs4", plants=("cache+remote:2M:/run/medium",)),

    Stack("nested", "two overlays on one overlay (the kernel takes no third storey), all branches on one tmpfs", """
mkdir /run/branches /run/one /run/two; mount -t tmpfs branches /run/branches; cd /run/branches; mkdir a b c; union /run/branches/a /run/one
mkdir b/up b/work c/up c/work 'c/with blank, comma:colon'
mount -t overlay -o lowerdir=/run/one:/run/live/rootfs,upperdir=b/up,workdir=b/work,metacopy=on,volatile two /run/two
mount -t overlay -o 'lowerdir=/run/branches/c/with blank\\, comma\\:colon:/run/one,upperdir=/run/branches/./c//up,workdir=/run/branches/c/work' three /mnt
cd /""", plants=("file+one:2M:/run/one", "file+two:2M:/run/two", "file+three:2M:/mnt")),

    Stack("fuse-overlayfs", "fuse-overlayfs with its branch on a tmpfs", """
modprobe fuse; b='/run/br,an\\ch'; mkdir "$b"; mount -t tmpfs branch "$b"; mkdir "$b/up" "$b/work"; b='/run/br\\,an\\\\ch'
fuse-overlayfs -o "lowerdir=/run/live/rootfs,upperdir=$b/up,workdir=$b/work" /mnt""", plants=("file+fuse:2M:/mnt",)),

    Stack("unionfs-fuse", "unionfs-fuse with its branch on a tmpfs", """
modprobe fuse; mkdir -p /run/branch; mount -t tmpfs branch /run/branch; unionfs -o cow /run/branch=RW:/run/live/rootfs=RO /mnt""",
          plants=("file+fuse:2M:/mnt",)),

    Stack("mergerfs", "mergerfs over two tmpfs and the squashfs", """
modprobe fuse; mkdir -p /run/one /run/two; mount -t tmpfs one /run/one; mount -t tmpfs two /run/two
mergerfs -o minfreespace=0 /run/one=RW:/run/two=RW:/run/live/rootfs=RO /mnt; mkdir /run/one/one /run/two/two""", plants=("file+fuse:2M:/mnt/two",)),

    Stack("luks-lvm-md", "LUKS2 on LVM on MD RAID1, swap on plain dm-crypt beside it", """
raid --create /dev/md0 --level=1 --raid-devices=2 --metadata=1.2 --run --assume-clean /dev/vdb /dev/vdc
lvm pvcreate /dev/md0; lvm vgcreate vg0 /dev/md0; lvm lvcreate -L 64M -n home vg0; lvm lvcreate -L 32M -n swap vg0
luks_format luks2 --pbkdf pbkdf2 /dev/mapper/vg0-home; luks_open /dev/mapper/vg0-home home; mkfs.ext4 -q /dev/mapper/home; mount /dev/mapper/home /mnt
cryptsetup open --type plain -c aes-xts-plain64 -s 256 --key-file /dev/urandom /dev/mapper/vg0-swap swap; mkswap /dev/mapper/swap; swapon /dev/mapper/swap""",
          disks=2, plants=("cache+luks:4M:/mnt",), key=True, check="""
raid --assemble --run /dev/md0 /dev/vdb /dev/vdc; lvm vgchange -ay vg0; luks_open -r /dev/mapper/vg0-home home; check_ext4 /dev/mapper/home
grep -q active /proc/mdstat || cat /proc/mdstat; mdadm --detail /dev/md0 | grep -i 'State : .*\\(dirty\\|resync\\)' || true"""),

    Stack("named-md", "an MD RAID1 array with a name of its own instead of a number", """
modprobe md_mod; echo "CREATE names=yes" >/tmp/mdadm.conf
raid --create /dev/md/home --config=/tmp/mdadm.conf --level=1 --raid-devices=2 --metadata=1.2 --run --assume-clean /dev/vdb /dev/vdc
i=0; until [ -e /dev/md_home ] || [ $((i += 1)) = 20 ]; do sleep 0.2; done; mkfs.ext4 -q /dev/md_home; mount /dev/md_home /mnt""",
          disks=2, plants=("cache+md:4M:/mnt",), check="""
raid --assemble --run /dev/md0 /dev/vdb /dev/vdc; check_ext4 /dev/md0; mdadm --detail /dev/md0 | grep -i 'State : .*\\(dirty\\|resync\\)' || true"""),

    Stack("lvm-luks2", "LVM on LUKS2: a home and a swap on it", """
luks_format luks2 --pbkdf pbkdf2 /dev/vdb; luks_open /dev/vdb pv; lvm pvcreate /dev/mapper/pv; lvm vgcreate vg1 /dev/mapper/pv
lvm lvcreate -L 64M -n home vg1; lvm lvcreate -L 32M -n swap vg1; mkfs.ext4 -q /dev/mapper/vg1-home; mount /dev/mapper/vg1-home /mnt
mkswap /dev/mapper/vg1-swap; swapon /dev/mapper/vg1-swap""",
          disks=1, plants=("cache+lvm:4M:/mnt",), key=True,
          check="luks_open /dev/vdb pv; lvm vgchange -ay vg1; check_ext4 /dev/mapper/vg1-home"),

    Stack("thin-cache", "a thin volume and a cached one of LVM on LUKS2 on MD RAID1 on two LUKS2 devices", """
modprobe -a dm_thin_pool dm_cache dm_cache_smq; for d in vdb vdc; do luks_format luks2 --pbkdf pbkdf2 /dev/$d; luks_open /dev/$d luks-$d; done
raid --create /dev/md0 --level=1 --raid-devices=2 --metadata=1.2 --run --assume-clean /dev/mapper/luks-vdb /dev/mapper/luks-vdc
luks_format luks2 --pbkdf pbkdf2 /dev/md0; luks_open /dev/md0 pv; lvm pvcreate /dev/mapper/pv; lvm vgcreate vg2 /dev/mapper/pv
lvm lvcreate -L 100M -T vg2/pool -V 64M -n thin; lvm lvcreate -L 40M -n cached vg2; lvm lvcreate -L 20M --type cache-pool -n cache vg2
lvm lvconvert -y --type cache --cachemode writeback --cachepool vg2/cache vg2/cached; mkdir /run/cached
for v in thin cached; do mkfs.ext4 -q /dev/mapper/vg2-$v; done; mount /dev/mapper/vg2-thin /mnt; mount /dev/mapper/vg2-cached /run/cached""",
          disks=2, plants=("cache+thin:2M:/mnt", "cache+cached:2M:/run/cached"), key=True, check="""
modprobe -qa dm_thin_pool dm_cache dm_cache_smq; for d in vdb vdc; do luks_open /dev/$d luks-$d; done
raid --assemble --run /dev/md0 /dev/mapper/luks-vdb /dev/mapper/luks-vdc; mdadm --detail /dev/md0 | grep -i 'State : .*\\(dirty\\|resync\\)' || true
luks_open /dev/md0 pv; lvm vgchange -ay vg2; check_ext4 /dev/mapper/vg2-thin; check_ext4 /dev/mapper/vg2-cached"""),

    Stack("bcache", "a bcache on one LUKS2 device, cached by another one for writing too", """
modprobe bcache; for d in vdb vdc; do luks_format luks2 --pbkdf pbkdf2 /dev/$d; luks_open /dev/$d luks-$d; done
make-bcache -B /dev/mapper/luks-vdb -C /dev/mapper/luks-vdc --writeback >/dev/null; for d in vdb vdc; do echo /dev/mapper/luks-$d >/sys/fs/bcache/register; done
i=0; until [ -e /sys/block/bcache0/bcache/cache ] || [ $((i += 1)) = 50 ]; do sleep 0.2; done; mkfs.ext4 -q /dev/bcache0; mount -t ext4 /dev/bcache0 /mnt""",
          disks=2, plants=("cache+bcache:4M:/mnt",), key=True, check="""
modprobe bcache; for d in vdb vdc; do luks_open /dev/$d luks-$d; echo /dev/mapper/luks-$d >/sys/fs/bcache/register; done
i=0; until [ -e /sys/block/bcache0/bcache/cache ] || [ $((i += 1)) = 50 ]; do sleep 0.2; done; check_ext4 /dev/bcache0"""),

    Stack("luks1-file", "LUKS1 in a file on a disk, and a swap file beside it", """
mkfs.ext4 -q /dev/vdb; mkdir /run/disk; mount /dev/vdb /run/disk; truncate -s 64M /run/disk/container; losetup /dev/loop5 /run/disk/container
luks_format luks1 /dev/loop5; luks_open /dev/loop5 home; mkfs.ext4 -q /dev/mapper/home; mount /dev/mapper/home /mnt
dd if=/dev/zero of=/run/disk/swap bs=1M count=16; mkswap /run/disk/swap; swapon /run/disk/swap""",
          disks=1, plants=("cache+luks:4M:/mnt",), key=True,
          check="check_ext4 /dev/vdb; mount -r -t ext4 /dev/vdb /mnt; losetup -r /dev/loop5 /mnt/container; luks_open -r /dev/loop5 home; check_ext4 /dev/mapper/home"),

    Stack("luks2-integrity", "LUKS2 with integrity: dm-integrity below dm-crypt", """
modprobe -a dm_integrity authenc hmac sha256_generic
cryptsetup luksFormat -q --type luks2 --integrity hmac-sha256 --integrity-no-wipe --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --sector-size 4096 \\
    --key-file $fw/opt/lethe.passphrase/raw /dev/vdb
luks_open /dev/vdb home; dd if=/dev/zero of=/dev/mapper/home bs=1M count=64 oflag=direct; mkfs.ext4 -q /dev/mapper/home 60M; mount /dev/mapper/home /mnt""",
          disks=1, plants=("cache+luks:4M:/mnt",),
          check="modprobe -a dm_integrity authenc hmac sha256_generic; luks_open /dev/vdb home; check_ext4 /dev/mapper/home"),

    Stack("btrfs", "a btrfs with subvolumes, mounted each for itself, and a bind of a directory", """
modprobe btrfs; mkfs.btrfs -q /dev/vdb; mkdir -p /run/top /home/user; mount -t btrfs /dev/vdb /run/top; btrfs -q subvolume create /run/top/home
btrfs -q subvolume create /run/top/data; mount -t btrfs -o subvol=home /dev/vdb /home; mount -t btrfs -o subvol=data /dev/vdb /mnt
mkdir /home/anna /home/documents; mount --bind /home/anna /home/documents""", disks=1, plants=("cache+btrfs:4M:/mnt",),
          check="modprobe btrfs; btrfs check --readonly /dev/vdb >/tmp/check 2>&1 || cat /tmp/check"),

    Stack("btrfs-raid", "a btrfs RAID1 over two LUKS2 devices, a third one added later, and on it a home in a file: LUKS2 in a loop", """
modprobe btrfs; for d in vdb vdc vdd; do luks_format luks2 --pbkdf pbkdf2 /dev/$d; luks_open /dev/$d luks-$d; done
mkfs.btrfs -q -m raid1 -d raid1 /dev/mapper/luks-vdb /dev/mapper/luks-vdc >/dev/null 2>&1; mkdir /run/top /run/home; mount -t btrfs /dev/mapper/luks-vdb /run/top
btrfs -q device add -f /dev/mapper/luks-vdd /run/top; btrfs -q subvolume create /run/top/home; mount -t btrfs -o subvol=home /dev/mapper/luks-vdb /run/home
truncate -s 64M /run/home/anna.home; losetup /dev/loop5 /run/home/anna.home; luks_format luks2 --pbkdf pbkdf2 /dev/loop5; luks_open /dev/loop5 home-anna
mkfs.ext4 -q /dev/mapper/home-anna; mount /dev/mapper/home-anna /mnt""", disks=3, plants=("cache+raid:2M:/run/top", "cache+home:4M:/mnt"), key=True, check="""
modprobe btrfs; for d in vdb vdc vdd; do luks_open /dev/$d luks-$d; done; btrfs check --readonly /dev/mapper/luks-vdb >/tmp/check 2>&1 || cat /tmp/check
btrfs device scan >/tmp/check 2>&1 || cat /tmp/check; mount -r -t btrfs /dev/mapper/luks-vdb /mnt; losetup -r /dev/loop5 /mnt/home/anna.home
luks_open -r /dev/loop5 home-anna; check_ext4 /dev/mapper/home-anna"""),

    Stack("journals", "an ext4 with its journal on another LUKS2 device, an xfs with its log on another one", """
modprobe xfs; for d in vdb vdc vdd vde; do luks_format luks2 --pbkdf pbkdf2 /dev/$d; luks_open /dev/$d luks-$d; done
mkfs.ext4 -q -b 4096 -O journal_dev /dev/mapper/luks-vdb; mkfs.ext4 -q -b 4096 -J device=/dev/mapper/luks-vdb /dev/mapper/luks-vdc; mount /dev/mapper/luks-vdc /mnt
mkfs.xfs -q -l logdev=/dev/mapper/luks-vdd,size=64m /dev/mapper/luks-vde; mkdir /run/xfs; mount -t xfs -o logdev=/dev/mapper/luks-vdd /dev/mapper/luks-vde /run/xfs""",
          disks=4, plants=("cache+ext4:2M:/mnt", "cache+xfs:2M:/run/xfs"), key=True, check="""
modprobe xfs; for d in vdb vdc vdd vde; do luks_open /dev/$d luks-$d; done; check_ext4 /dev/mapper/luks-vdc
xfs_repair -n -l /dev/mapper/luks-vdd /dev/mapper/luks-vde >/tmp/check 2>&1 && ! grep -i 'log.*dirty' /tmp/check || cat /tmp/check"""),

    Stack("union-file", "a file system in a file that lies on the union", """
truncate -s 32M /root/container; losetup /dev/loop5 /root/container; mkfs.ext4 -q /dev/loop5; mount -t ext4 /dev/loop5 /mnt""", plants=("file+inside:4M:/mnt",)),

    Stack("xfs", "an xfs", "modprobe xfs; mkfs.xfs -q /dev/vdb; mount -t xfs /dev/vdb /mnt", disks=1, plants=("cache+xfs:4M:/mnt",),
          check="xfs_repair -n /dev/vdb >/tmp/check 2>&1 && ! grep -i 'log.*dirty' /tmp/check || cat /tmp/check"),

    Stack("f2fs", "a persistence with f2fs on LUKS2", """
luks_format luks2 --pbkdf pbkdf2 /dev/vdb; luks_open /dev/vdb home; mkfs.f2fs /dev/mapper/home >/tmp/mkfs; mount -t f2fs /dev/mapper/home /mnt""",
          disks=1, plants=("cache+f2fs:4M:/mnt",), key=True, full=True, check="""
luks_open -r /dev/vdb home; fsck.f2fs --dry-run /dev/mapper/home >/tmp/check 2>&1 || true
grep -q 'checkpoint state.* unmount' /tmp/check && ! grep -i 'fail' /tmp/check || cat /tmp/check"""),

    Stack("swaps", "swap on zram, in a file on a disk, on a loop over a tmpfs, on a disk", """
modprobe zram num_devices=1; echo 16M >/sys/block/zram0/disksize; mkfs.ext4 -q /dev/vdb; mount /dev/vdb /mnt; dd if=/dev/zero of='/mnt/swap file' bs=1M count=12
truncate -s 8M /run/s; losetup /dev/loop7 /run/s; for s in /dev/zram0 '/mnt/swap file' /dev/loop7 /dev/vdc; do mkswap "$s"; swapon "$s"; done""",
          disks=2, plants=("shm:8M",), check="check_ext4 /dev/vdb"),

    Stack("containers", "two containers, each with a mount namespace of its own that holds a tmpfs and the persistence, and one kept by a file", """
mkfs.ext4 -q /dev/vdb; mount /dev/vdb /mnt; mount --make-rshared /; mkdir -p /run/ns /srv; mount --bind /run/ns /run/ns; mount --make-private /run/ns
cat >/tmp/container <<'END'
mount --make-rprivate /; mount -t tmpfs $1 /srv; plant file+$1:2M:/srv; mount --bind /mnt /home; : >/home/$1; exec -a @/busybox /bin/busybox sleep 10000
END
for c in one two; do
    (exec -a @/busybox /bin/busybox unshare -m sh /tmp/container $c) >/dev/null 2>&1 &
done
touch /run/ns/kept; unshare --mount=/run/ns/kept sh -c 'mount -t tmpfs kept /srv; plant file+kept:1M:/srv; mount --bind /mnt /home'
i=0; until [ -e /mnt/one ] && [ -e /mnt/two ]; do sleep 0.5; [ $((i += 1)) -lt 20 ]; done""",
          disks=1, plants=("cache+ns:2M:/mnt",), check="check_ext4 /dev/vdb"),

    Stack("stacked", "mounts on mounts, a bind of a part of a RAM file system and of one deleted file, moved mounts, autofs, a mount over the way", """
mkdir -p /run/a/b/c /run/shutdown/mounts/0123456789abcdef /run/auto; mount -t tmpfs low /run/a/b/c; mount -t tmpfs mid /run/a/b; mount -t tmpfs top /run/a
mount -t tmpfs again /run/a; mount -t tmpfs moved /mnt; mount --move /mnt /run/shutdown/mounts/0123456789abcdef
mkdir /run/part /run/part.of; mount -t tmpfs part /run/part.of; mkdir -p /run/part.of/shown/in; mount --bind /run/part.of/shown /run/part
plant file+part:1M:/run/part; plant file+alone:1M:/run/part.of; touch /run/alone; mount --bind /run/part.of/lethe-file+alone /run/alone
rm /run/part.of/lethe-file+alone; umount -l /run/part.of
modprobe autofs4; mkfifo /run/pipe; (exec 3<>/run/pipe; mount -t autofs -o fd=3,pgrp=$$,minproto=5,maxproto=5,direct auto /run/auto) || true"""),

    Stack("shared", "mounts that appear in two peers and a slave of theirs, some of them hidden or taken away there", """
mkdir -p /run/peer /run/other /run/slave; mount -t tmpfs peer /run/peer; mount --make-shared /run/peer; mkdir /run/peer/in /run/peer/disk
mount --bind /run/peer /run/other; mount --bind /run/peer /run/slave; mount --make-slave /run/slave
mkfs.ext4 -q /dev/vdb; mount /dev/vdb /run/peer/disk; mount -t tmpfs in /run/peer/in; mkdir /run/other/in/deeper; mount -t tmpfs deeper /run/other/in/deeper
mount -t tmpfs over /run/slave/disk; umount /run/slave/in/deeper""",
          disks=1, plants=("cache+peer:2M:/run/other/disk", "file+in:1M:/run/slave/in", "file+deeper:1M:/run/peer/in/deeper", "file+over:1M:/run/slave/disk"),
          check="check_ext4 /dev/vdb"),

    Stack("plain-crypt", "a persistence on plain dm-crypt, with a bind and a symbolic link from it, and swap on LUKS2", """
cryptsetup open --type plain -c aes-xts-plain64 -s 512 --key-file $fw/opt/lethe.key/raw /dev/vdb home; mkfs.ext4 -q /dev/mapper/home
mount /dev/mapper/home /mnt; mkdir /mnt/anna /home/anna; mount --bind /mnt/anna /home/anna; ln -s /mnt/anna /home/link
mkdir /mnt/anna/in; mount -t tmpfs in /home/link/in; luks_format luks2 --pbkdf pbkdf2 --volume-key-file /dev/urandom /dev/vdc
luks_open /dev/vdc swap; mkswap /dev/mapper/swap; swapon /dev/mapper/swap""",
          disks=2, plants=("cache+plain:4M:/mnt", "file+in:1M:/mnt/anna/in"), key=True,
          check="cryptsetup open -r --type plain -c aes-xts-plain64 -s 512 --key-file $fw/opt/lethe.key/raw /dev/vdb home; check_ext4 /dev/mapper/home"),

    Stack("lost-layers", "several overlays on one tmpfs, with user xattrs; the tmpfs and a lower layer are detached, so that their paths lead nowhere", """
mkdir /run/branches /run/one /run/two /run/low; mount -t tmpfs branches /run/branches; mount -t tmpfs low /run/low; mkdir /run/low/sub
for n in one two; do
    mkdir -p /run/branches/$n/up /run/branches/$n/work
    mount -t overlay -o lowerdir=/run/low/sub:/run/live/rootfs,upperdir=/run/branches/$n/up,workdir=/run/branches/$n/work,userxattr $n /run/$n
done
plant file+low:1M:/run/low/sub; umount -l /run/branches; umount -l /run/low; rmdir /run/branches /run/low""",
          plants=("file+one:2M:/run/one", "file+two:2M:/run/two")),

    Stack("sandboxes", "a service with a /tmp of its own, a sandbox with a root of its own, and in it a directory that is removed outside", """
mkfs.ext4 -q /dev/vdb; mount /dev/vdb /mnt; mount --make-rshared /; mkdir -p /tmp/systemd-private-0123-some.service/tmp /run/sandbox /srv/gone
cat >/tmp/service <<'END'
mount --make-rslave /; mount --bind /tmp/systemd-private-0123-some.service/tmp /tmp; plant file+service:1M:/tmp; : >/mnt/service
exec -a @/busybox /bin/busybox sleep 10000
END
cat >/tmp/sandbox <<'END'
mount --make-rslave /; mount -t tmpfs sandbox /run/sandbox; cd /run/sandbox; mkdir old usr home srv gone; mount --rbind / usr; mount --bind /mnt home
mount --bind /srv/gone gone; plant file+sandbox:1M:/run/sandbox; : >/mnt/sandbox
pivot_root . old; exec -a @/busybox /usr/bin/busybox sleep 10000
END
for c in service sandbox; do
    (exec -a @/busybox /bin/busybox unshare -m sh /tmp/$c) >/dev/null 2>&1 &
done
i=0; until [ -e /mnt/service ] && [ -e /mnt/sandbox ]; do sleep 0.5; [ $((i += 1)) -lt 20 ]; done; sleep 0.5; rmdir /srv/gone""",
          disks=1, plants=("cache+mnt:2M:/mnt",), check="check_ext4 /dev/vdb"),

    Stack("deep", "a mount at a path longer than PATH_MAX, with a mount on it", """
name=$(printf '%0250d' 0); cd /run; for i in $(seq 18); do mkdir $name; cd -P $name; done; mount -t tmpfs deep .; cd -P ../$name
plant file+deep:1M:.; mkdir in; mount -t tmpfs deeper in; cd -P in; plant file+deeper:1M:.; cd /"""),
]


def named(name):
    return next(stack for stack in STACKS if stack.name == name)
