# SPDX-License-Identifier: GPL-3.0-or-later
"""How live systems lay out what their root is made from, for the small system (small.py): each as its initramfs does it.

The lines are run by the small system's initramfs once /proc, /sys, /dev and /run are mounted. $disk is the medium's device, an ext4 with
filesystem.squashfs. They end in the start of the system: by switch_root, or by a pivot that keeps the initramfs."""

LAYOUTS = {
    # Ubuntu and Mint: of the layers only one is shown, at /rofs; their branch stays in the initramfs.
    "casper": """
mkdir /cdrom /minimal.squashfs /minimal.standard.squashfs /cow
mount -r -t ext4 $disk /cdrom
for layer in minimal minimal.standard; do mount -r -t squashfs -o loop /cdrom/filesystem.squashfs /$layer.squashfs; done
mount -t tmpfs tmpfs /cow
mkdir /cow/upper /cow/work
mount -t overlay -o upperdir=/cow/upper,lowerdir=/minimal.standard.squashfs:/minimal.squashfs,workdir=/cow/work /cow /root
mkdir /root/rofs /root/cdrom
mount --move /minimal.squashfs /root/rofs
mount --move /cdrom /root/cdrom
""",
    # Arch: all of it is below /run.
    "archiso": """
mkdir -p /run/archiso/bootmnt /run/archiso/cowspace /run/archiso/airootfs
mount -r -t ext4 $disk /run/archiso/bootmnt
mount -t tmpfs -o size=256M,mode=0755 cowspace /run/archiso/cowspace
cow=/run/archiso/cowspace/persistent_ARCH/x86_64
mkdir -p -m 700 $cow $cow/upperdir $cow/workdir
mount -r -t squashfs -o loop /run/archiso/bootmnt/filesystem.squashfs /run/archiso/airootfs
mount -t overlay -o lowerdir=/run/archiso/airootfs,upperdir=$cow/upperdir,workdir=$cow/workdir airootfs /root
""",
    # NixOS: "/" is a tmpfs, and the union only where the programs are. Here these are elsewhere, so links lead there.
    "nixos": """
mkdir /mnt-root
mount -t tmpfs -o mode=0755 tmpfs /mnt-root
cd /mnt-root
mkdir -p iso nix/.ro-store nix/.rw-store nix/store proc sys dev run tmp mnt etc root home var/tmp
mount -r -t ext4 $disk iso
mount -r -t squashfs -o loop iso/filesystem.squashfs nix/.ro-store
mount -t tmpfs -o mode=0755 tmpfs nix/.rw-store
mkdir nix/.rw-store/store nix/.rw-store/work
mount -t overlay -o lowerdir=/mnt-root/nix/.ro-store,upperdir=/mnt-root/nix/.rw-store/store,workdir=/mnt-root/nix/.rw-store/work overlay nix/store
for place in bin sbin lib lib64 usr; do ln -s nix/store/$place $place; done
root=/mnt-root
""",
    # openSUSE and others of kiwi's: all of it is below a tmpfs in /run, which is the branch, too.
    "kiwi": """
base=/run/overlay
mkdir $base
mount -t tmpfs -o size=50% tmpfs $base
mkdir -p $base/live $base/squashfs_container $base/rootfsbase $base/overlayfs/rw $base/overlayfs/work
mount -r -t ext4 $disk $base/live
mount -r -t squashfs -o loop $base/live/filesystem.squashfs $base/squashfs_container
mount --bind $base/squashfs_container $base/rootfsbase
mount -t overlay -o lowerdir=$base/rootfsbase,upperdir=$base/overlayfs/rw,workdir=$base/overlayfs/work overlayfs /root
""",
    # Porteus, Slax and others of the Linux Live Kit's, with overlayfs: the initramfs lives on, as a tmpfs at /mnt/live.
    "porteus": """
mkdir /m
mount -t tmpfs -o size=100% tmpfs /m
cp -a /bin /layouts /m
for place in proc sys dev run; do mkdir /m/$place; mount --move /$place /m/$place; done
exec switch_root -c /dev/console /m /layouts/porteus.second
""",
    "porteus.second": """#!/bin/sh
export PATH=/bin
cd /
memory=/memory layers=
mkdir -p $memory/changes $memory/images /mnt/sda1 /union
mount -r -t ext4 /dev/sda /mnt/sda1
mount -t tmpfs -o size=60% tmpfs $memory/changes
mkdir $memory/changes/upper $memory/changes/work
for layer in 000-kernel.xzm 001-core.xzm 002-xorg.xzm; do
    mkdir $memory/images/$layer
    mount -r -t squashfs -o loop /mnt/sda1/filesystem.squashfs $memory/images/$layer
    layers=$memory/images/$layer${layers:+:$layers}
done
mount -t overlay -o lowerdir=$layers,upperdir=$memory/changes/upper,workdir=$memory/changes/work,xino=auto,redirect_dir=on overlay /union
mkdir -p /union/mnt/sda1 /union/mnt/live
mount --move /mnt/sda1 /union/mnt/sda1
for place in proc sys dev run; do mount --move /$place /union/$place; done
cd /union
pivot_root . mnt/live
exec chroot . /sbin/init <dev/console >dev/console 2>&1
""",
    # Puppy without a save file, with overlayfs: what stood in the initramfs is moved below /initrd; the medium is mounted for writing.
    "puppy": """
mkdir -p /mnt/pdrv /mnt/tmpfs /pup_ro2 /pup_new
mount -t ext4 -o noatime $disk /mnt/pdrv
mount -t tmpfs tmpfs /mnt/tmpfs
mkdir /mnt/tmpfs/pup_rw /mnt/tmpfs/pup_work
mount -r -t squashfs -o noatime,loop /mnt/pdrv/filesystem.squashfs /pup_ro2
mount -t overlay -o lowerdir=/pup_ro2,upperdir=/mnt/tmpfs/pup_rw,workdir=/mnt/tmpfs/pup_work,xino=on unionfs /pup_new
mkdir -p /pup_new/initrd/pup_ro2 /pup_new/initrd/mnt/pdrv /pup_new/initrd/mnt/tmpfs
for place in pup_ro2 mnt/pdrv mnt/tmpfs; do mount --move /$place /pup_new/initrd/$place; done
root=/pup_new
""",
}
