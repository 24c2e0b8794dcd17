#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory that nobody frees, in the small system: test_pools.py [--lethe FILE] [--list] [CASE...]

What lives in the kernel after its owner has gone: keys of network links, buffers of modules, of zswap, of devices.
"""

import base64
import functools
import secrets
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import lab
import live
import small
import stacks
import test_small as t

t.CASES.clear()
t.LONG.clear()
H = stacks.HELPERS


def with_tools(boot, disks=1, **options):
    return boot(tools=True, ram="768M", disks=[small.blank_disk()] * disks, **options)


@contextmanager
def handed_in(**contents):
    """QEMU's arguments that hand these in as opt/lethe.NAME, in files of the folder that comes with them."""
    with tempfile.TemporaryDirectory() as folder:
        args = []
        for name, data in contents.items():
            file = Path(folder) / name
            file.write_bytes(data)
            args += ["-fw_cfg", f"name=opt/lethe.{name},file={file}"]
        yield Path(folder), args


# -- keys that no process owns ----------------------------------------------------------------------------------------------------


@t.long_case
def link_keys(boot):
    """the keys of WireGuard (in a network namespace, too), of MACsec and of IPsec's states, all of which outlive every process"""
    keys = [bytearray(secrets.token_bytes(32)) for _ in range(5)]
    for key in keys[:2]:  # as Curve25519 wants them
        key[0] &= 248
        key[31] = key[31] & 127 | 64
    private, elsewhere, shared, ipsec, macsec = map(bytes, keys)
    contents = {name: base64.b64encode(key) + b"\n" for name, key in [("wg", private), ("wg2", elsewhere), ("psk", shared)]}
    contents |= {"ipsec": b"0x" + ipsec.hex().encode(), "macsec": macsec[:16].hex().encode()}
    with handed_in(**contents) as (folder, args):
        (folder / "key").write_bytes(private + elsewhere + shared + ipsec + macsec[:16])
        with with_tools(boot, 0, args=args) as guest:
            guest.do(H + """
modprobe -a wireguard xfrm_user esp4 cbc hmac sha256_generic authenc echainiv sha512_generic drbg macsec gcm dummy
own=$fw/opt/lethe
ip() { /bin/ip "$@"; } # busybox has one of its own
wg_up() { ip link add $1 type wireguard; wg set $1 private-key $own.$2/raw listen-port $3
wg set $1 peer xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg= preshared-key $own.psk/raw allowed-ips 10.9.0.0/24
ip link set $1 up; }
wg_up wg0 wg 51820
mkdir -p /run/netns; ip netns add other; wg_up wg1 wg2 51821; ip link set wg1 netns other
ip xfrm state add src 10.1.0.1 dst 10.1.0.2 proto esp spi 1 mode tunnel enc 'cbc(aes)' $(cat $own.ipsec/raw) auth 'hmac(sha256)' 0x00112233
[ -e /sys/class/net/dummy0 ] || ip link add dummy0 type dummy; ip link add link dummy0 macsec0 type macsec
ip macsec add macsec0 tx sa 0 pn 1 on key 00 $(cat $own.macsec/raw)""", timeout=60)
            guest.arm()
            found = guest.scan([], key=folder / "key")["key"]
            t.want(found >= 9, f"only {found} pieces of the keys are in RAM before")
            guest.hand_over("poweroff")
            t.want_clean_end(guest)
            t.want_gone(guest, [], key=folder / "key")


def with_an_adapter(boot, steps):
    """Ends a system that leaves these steps out: how many keys there were, and are. The adapter is a process, and would take its keys along."""
    with boot("", kernel=live.base("bookworm"), load=["ext4", "hci_vhci"], ram="768M") as guest:
        guest.do("[ -e /dev/vhci ] || mknod /dev/vhci c 10 137; (exec -a @adapter /bin/adapter bluetooth)", timeout=60)
        guest.arm()
        before = guest.scan(["bluetooth"])["bluetooth"]
        guest.hand_over("poweroff", before=f"export LETHE_SKIP={steps}")
        t.want_end(guest, "poweroff")
        return before, guest.scan(["bluetooth"])["bluetooth"]


@t.long_case
def bluetooth(_boot):
    """the keys of paired devices, which the adapter keeps: they are replaced by none"""
    boot = functools.partial(small.booted, t.skipping)
    before, left = with_an_adapter(boot, "stop-processes")
    t.want(before >= 48 and not left, f"of {before} keys {left} are left")
    before, left = with_an_adapter(boot, "stop-processes,delete-links")
    t.want(left >= 48, f"nobody deletes them, and of {before} keys {left} are left")


# -- freed objects of the kernel's -------------------------------------------------------------------------------------------------

OBJECTS = ["messages", "names", "links:500", "xattrs:500", "keyring", "socket"]


def objects(boot, kernel):
    with boot(memory="", kernel=kernel) as guest:
        guest.arm()
        t.plant(guest, *OBJECTS)
        guest.hand_over("poweroff")
        t.want_clean_end(guest, timeout=200, says="nothing else is known to be left")
        t.want_gone(guest, t.kinds_of(OBJECTS))


@t.case
def objects_12(boot):
    """names, links, attributes, messages, keys on a default kernel of Debian 12: their caches are filled until they grow"""
    objects(boot, small.KERNEL)


@t.case
def objects_13(boot):
    """the same on Debian 13's, where messages have caches of their own"""
    objects(boot, small.KERNEL_13)


# -- buffers that live as long as a module or a processor -------------------------------------------------------------------------


@t.case
def btrfs_compression(boot):
    """files that btrfs has compressed: its workspaces stay as long as the module is loaded"""
    with with_tools(boot) as guest:
        guest.do(H + "modprobe btrfs; mkfs.btrfs -q /dev/vdb; mount -t btrfs -o compress-force=zlib /dev/vdb /mnt", timeout=60)
        guest.arm()
        t.plant(guest, "cache+z:4M:/mnt", "shm:1M")
        guest.run("sync; echo 3 >/proc/sys/vm/drop_caches; cat /mnt/lethe-cache+z >/dev/null; cp /mnt/lethe-cache+z /mnt/again; sync", timeout=60)
        guest.hand_over("poweroff")
        t.want_clean_end(guest)
        t.want_gone(guest, ["cache+z", "shm"])


@t.case
def module_stays(boot):
    """the same where modules can't be unloaded any more: it is told"""
    with with_tools(boot) as guest:
        guest.do(H + "modprobe btrfs; echo 1 >/proc/sys/kernel/modules_disabled")
        guest.arm()
        guest.hand_over("poweroff")
        t.want_end(guest, "poweroff")
        t.want(any("the module btrfs" in line for line in guest.said) and "NOT all is gone" in guest.said[-1], f"it said: {guest.said}", guest)


def with_a_sound_card(boot, steps):
    """Ends a system that has played something and leaves these steps out: how much of it is left, and what it said."""
    with boot(kernel=live.base("bookworm"), load=["ext4", "snd_intel8x0", "snd_pcm_oss"], ram="768M", args=["-audiodev", "none,id=none", "-device", "AC97,audiodev=none"]) as guest:
        guest.run("[ -e /dev/dsp ] || mknod /dev/dsp c 14 3")
        guest.arm()
        t.plant(guest, "sound")
        guest.hand_over("poweroff", before=f"export LETHE_SKIP={steps}")
        t.want_end(guest, "poweroff")
        return guest.scan(["sound"])["sound"], guest.said


@t.long_case
def sound(_boot):
    """what was played last, in the buffer of a sound card: it is given back; where it is not, that is told"""
    boot = functools.partial(small.booted, t.skipping)
    left, said = with_a_sound_card(boot, "none")
    t.want(not left and said[-1].endswith("nothing is left"), f"left in RAM: {left}, and it said: {said}")
    left, said = with_a_sound_card(boot, "free-sound")
    t.want(left and "NOT all is gone" in said[-1] and any("streams of sound" in line for line in said), f"left in RAM: {left}, and it said: {said}")


@t.long_case
def zswap(boot):
    """pages that zswap has compressed on their way to a disk: each processor's buffers keep the last ones"""
    with boot("zswap.enabled=1 zswap.max_pool_percent=50", kernel=live.base("bookworm"), load=["ext4"], ram="768M", disk=True) as guest:
        guest.do("mkswap /dev/vdb; swapon /dev/vdb; echo 200 >/proc/sys/vm/swappiness; mkdir -p /run/cg; mount -t cgroup2 x /run/cg", timeout=60)
        guest.arm()
        t.plant(guest, "shm:32M", "heap:8M")
        guest.run("for i in $(seq 12); do echo 4M >/run/cg/memory.reclaim || true; done", timeout=60)
        t.want(int(guest.run("grep zswpout /proc/vmstat").split()[1]) > 1000, "too little has gone through zswap")
        guest.hand_over("poweroff")
        t.want_clean_end(guest)
        t.want_gone(guest, ["shm", "heap"])


# -- bounce buffers ---------------------------------------------------------------------------------------------------------------


def through_bounce_buffers(boot, controller, modules, size, ram, arguments=""):
    """A stick whose transfers go through them, then an end: (what was left of its content, what the end said)."""
    with tempfile.TemporaryDirectory() as folder:
        stick = Path(folder) / "stick"
        small.sh("truncate", "-s", "64M", stick)
        small.sh("mke2fs", "-q", "-t", "ext4", stick)
        args = [*controller, "-drive", f"if=none,id=us,format=raw,file={stick}"]
        with boot(arguments, kernel=live.base("bookworm"), load=["ext4", *modules], args=args, ram=ram) as guest:
            guest.arm()
            guest.run("i=0; until [ -b /dev/sda ] || [ $((i+=1)) = 200 ]; do usleep 100000; done; mkdir -p /mnt; mount -t ext4 /dev/sda /mnt", timeout=60)
            t.plant(guest, f"cache+usb:{size}:/mnt", "shm:1M")
            guest.run("sync; echo 3 >/proc/sys/vm/drop_caches; cat /mnt/lethe-cache+usb >/dev/null", timeout=200)
            told = guest.run("lethe status", check=False)
            t.want("bounce buffers (swiotlb)" in told, f"status says: {told}")
            guest.hand_over("poweroff")
            t.want_end(guest, "poweroff", 200)
            t.want_gone(guest, ["shm"])
            return guest.scan(["cache+usb"])["cache+usb"], guest.said


def want_overwritten_or_told(left, said):
    told = any("in bounce buffers" in line for line in said) and "NOT all is gone" in said[-1]
    print(f"     left: {left}, said: {said}", flush=True) if t.verbose else None
    t.want(told or (not left and said[-1].endswith("nothing is left")), f"left in RAM: {left}, and it said: {said}")


@t.long_case
def bounce(boot):
    """swiotlb=force: what went through the pool is overwritten by the same way, and what is not is told with its size"""
    want_overwritten_or_told(*through_bounce_buffers(boot, ["-device", "usb-storage,bus=xhci.0,drive=us"], ["xhci_pci", "usb_storage", "sd_mod"],
                                                     "4M", "768M", "swiotlb=force"))


@t.long_case
def bounce_left_out(boot):
    """the same where nothing is overwritten, as if it were: it is told"""
    left, said = through_bounce_buffers(functools.partial(small.booted, t.skipping), ["-device", "usb-storage,bus=xhci.0,drive=us"],
                                        ["xhci_pci", "usb_storage", "sd_mod"], "4M", "768M", "swiotlb=force lethe.skip=read-disks")
    t.want(left and "NOT all is gone" in said[-1] and any("in bounce buffers" in line for line in said), f"left in RAM: {left}, and it said: {said}")


# -- the kernel's log -------------------------------------------------------------------------------------------------------------


def with_a_log(boot):
    with boot() as guest:
        guest.arm()
        t.plant(guest, "printk", "shm:1M")
        guest.hand_over("poweroff")
        t.want_end(guest, "poweroff")
        t.want_gone(guest, ["shm"])
        return guest.scan(["printk"])["printk"], guest.said


@t.case
def kernels_log(boot):
    """names in the kernel's log are overwritten; where the log may not be written to, that is told"""
    left, said = with_a_log(boot)
    t.want(not left and said[-1].endswith("nothing is left"), f"left in RAM: {left}, and it said: {said}")
    with boot(log="printk.devkmsg=off") as guest:
        guest.arm()
        guest.hand_over("poweroff")
        t.want_end(guest, "poweroff")
        t.want("NOT all is gone" in guest.said[-1], f"it said: {guest.said}")


@t.case
def audit_records(boot):
    """records of audit that the kernel keeps for a daemon, of which there is none"""
    with boot("audit=1") as guest:
        guest.arm()
        t.plant(guest, "audit", "shm:1M")
        guest.hand_over("poweroff")
        t.want_clean_end(guest)
        t.want_gone(guest, ["audit", "shm"])


# -- displays ---------------------------------------------------------------------------------------------------------------------


def with_a_display(boot):
    return boot("console=tty0", kernel=live.base("bookworm"), load=["ext4", "virtio_gpu"], args=["-device", "virtio-gpu-pci"], ram="768M")


@t.long_case
def display_in_shmem(boot):
    """a graphics card whose frame buffer lies in shared memory: no alarm, and nothing of the screen is left"""
    with with_a_display(boot) as guest:
        guest.arm()
        shmem = int(guest.run("grep Shmem: /proc/meminfo").split()[1])
        t.want(guest.run("cat /proc/fb") and shmem > 4000, f"no frame buffer in shared memory: {shmem} KiB")
        t.end_clean(guest, "shm:1M")


if __name__ == "__main__":
    sys.exit(t.main())
