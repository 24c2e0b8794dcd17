#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cases in the small system: test_small.py [--lethe FILE] [--list] [--again N] [CASE...]

Each case boots a small live system (small.py), ends it through Lethe and looks at what it said, how it ended and what its RAM
still holds. A case is a function; the first line of its explanation is what the runner prints. CASE may be a part of a name.
"""

import functools
import json
import re
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import cases
import lab
import live
import small
import stacks
from cases import Skip, want

CASES = []
LONG = set()
PORTED = set()
# All kinds that plant can plant in a system without a disk.
EVERYTHING = ["rw:16M", "shm:8M", "run:2M", "file:1M", "file+dev:1M:/dev", "heap:8M", "names", "pipe", "unlinked", "mapped", "memfd",
              "sealed", "hugetlb", "huge", "links:500", "xattrs:500", "environ", "stack", "registers", "general:20", "socket", "sysv", "mqueue", "keyring"]
HANG = 300  # seconds: no end takes as long
verbose = False
skipping = None


def case(function):
    CASES.append(function)
    return function


def long_case(function):
    """One that takes minutes: only with --all, or by its name."""
    LONG.add(function)
    return case(function)


def ported(function):
    """One that other machines' guests have too."""
    PORTED.add(function)
    return function


# -- what the cases are made of -------------------------------------------------------------------------------------------


def kinds_of(plants):
    return [plant.split(":")[0] for plant in plants]


def plant(guest, *plants):
    """Plant secrets and see that they are there."""
    guest.run("plant " + " ".join(plants), timeout=60)
    want_there(guest, kinds_of(plants))


def want_there(guest, kinds):
    found = guest.scan(kinds)
    want(all(found.values()), f"planted, but not in RAM: {found}")


def want_gone(guest, kinds, **options):
    left = guest.scan(kinds, **options)
    want(not any(left.values()), f"left in RAM: {left}", guest)


def want_end(guest, end, timeout=HANG):
    ended = guest.wait_end(timeout)
    if verbose:
        print("\n".join(guest.said))
    want(ended == end, f"ended by {ended} instead of {end}", guest)


def wait_said(guest, words, timeout=60):
    deadline = time.monotonic() + timeout
    while words not in guest.console:
        want(time.monotonic() < deadline, f"it has not said '{words}'", guest)
        time.sleep(0.1)


def want_clean_end(guest, end="poweroff", timeout=HANG, says="nothing is left"):
    """The end that is asked for, and on the console one line of Lethe's: that all is gone."""
    want_end(guest, end, timeout)
    want(len(guest.said) == 1 and guest.said[0].endswith(says), f"it said: {guest.said}", guest)


def end_clean(guest, *plants, verb="poweroff", end="poweroff", timeout=HANG, before=""):
    """The whole of a usual case: what was planted is there, is gone after the end, and Lethe says one line."""
    kinds = kinds_of(plants)
    plant(guest, *plants) if plants else None
    guest.hand_over(verb, before=before)
    want_clean_end(guest, end, timeout)
    want_gone(guest, kinds) if kinds else None


# -- how it is told to end, and how it ends -------------------------------------------------------------------------------


@case
@ported
def everything(boot):
    """poweroff: of each kind that a user leaves in RAM nothing is left"""
    with boot() as guest:
        guest.arm()
        end_clean(guest, *EVERYTHING)


@case
@ported
def without_lethe(boot):
    """the control: a plain poweroff with init_on_free=1 leaves what lies in files, and the tests see it"""
    with boot() as guest:
        plant(guest, "rw:4M", "shm:4M", "run:1M")
        guest.send("poweroff -f")
        want_end(guest, "poweroff")
        left = guest.scan(["rw", "shm", "run"])
        want(left["rw"] >= 4 << 16 and left["shm"] >= 4 << 16 and left["run"] >= 1 << 16, f"some of it is gone: {left}")


@case
@ported
def reboot(boot):
    """reboot: with the argument that systemd leaves in /run"""
    with boot() as guest:
        guest.arm()
        guest.run("mkdir -p /run/systemd; echo -n lethe-test >/run/systemd/reboot-param")
        end_clean(guest, "rw:1M", verb="reboot", end="reboot")
        want("Restarting system with command 'lethe-test'" in guest.console, "without its argument", guest)


@case
@ported
def halt(boot):
    """halt: stands still with nothing left in the RAM that is still powered"""
    with boot() as guest:
        guest.arm()
        end_clean(guest, "rw:1M", "shm:1M", verb="halt", end="halt")


@case
def kexec_not_loaded(boot):
    """kexec with no kernel loaded: says so and reboots"""
    with boot() as guest:
        guest.arm()
        plant(guest, "rw:1M")
        guest.hand_over("kexec")
        want_end(guest, "reboot")
        want(any("no kernel is loaded" in line for line in guest.said), f"it said: {guest.said}", guest)
        want_gone(guest, ["rw"])


@case
def exit_verb(boot):
    """exit on a machine powers off"""
    with boot() as guest:
        guest.arm()
        end_clean(guest, "rw:1M", verb="exit")


@case
def unknown_verb(boot):
    """an unknown verb: says so, does all of it and powers off"""
    with boot() as guest:
        guest.arm()
        plant(guest, "rw:1M")
        guest.hand_over("dance")
        want_end(guest, "poweroff")
        want(any("missing or unknown" in line for line in guest.said), f"it said: {guest.said}", guest)
        want_gone(guest, ["rw"])


@case
def missing_verb(boot):
    """no argument at all: says so, does all of it and powers off"""
    with boot() as guest:
        guest.arm()
        plant(guest, "rw:1M")
        guest.send("exec handover")
        want_end(guest, "poweroff")
        want(any("missing or unknown" in line for line in guest.said), f"it said: {guest.said}", guest)
        want_gone(guest, ["rw"])


@case
def old_systemd(boot):
    """the time-out as two words, as before systemd 252"""
    with boot() as guest:
        guest.arm()
        plant(guest, "rw:1M")
        guest.send("exec handover poweroff --timeout 90000000us --log-level 6 --log-target kmsg --log-color")
        want_clean_end(guest)
        want_gone(guest, ["rw"])


@case
def new_systemd(boot):
    """newer systemd's mounts: /dev, /sys and /proc bound recursively, busy ones moved to /run/shutdown/mounts"""
    with boot() as guest:
        guest.arm()
        guest.run("mkdir -p /mnt; mount -t tmpfs busy /mnt; export LAYOUT=new")
        end_clean(guest, "rw:1M", "shm:1M", "file:1M:/mnt")


@case
def writable_root(boot):
    """the old root was not remounted read-only"""
    with boot() as guest:
        guest.arm()
        end_clean(guest, "rw:1M", before="export ROOT=rw")


# -- what is missing or in the way at the start ---------------------------------------------------------------------------


@case
def no_api_mounts(boot):
    """/proc, /sys and /dev are missing at entry: it mounts them itself"""
    with boot() as guest:
        guest.arm()
        end_clean(guest, "rw:1M", "shm:1M", "run:1M", before='export SKIP="sys dev run proc"')


@case
def no_proc(boot):
    """only /proc is missing at entry"""
    with boot() as guest:
        guest.arm()
        end_clean(guest, "rw:1M", before="export SKIP=proc")


@case
@ported
def memory_nearly_full(boot):
    """memory is nearly full when it starts"""
    with boot() as guest:
        guest.arm()
        guest.run("mount -o remount,size=100% /dev/shm; plant rw:1M")
        available = int(guest.run("awk '/MemAvailable/ { print $2 }' /proc/meminfo"))
        plant(guest, f"shm:{available - 9 * 1024}K")
        end_clean(guest)
        want_gone(guest, ["rw", "shm"])


@case
@ported
def spared_processes(boot):
    """processes that systemd spares ('@' in argv[0]): unlinked, mapped and memory files go with them"""
    with boot() as guest:
        guest.arm()
        guest.run("(exec -a @plant /bin/plant unlinked:1M mapped:1M memfd:1M sealed:1M heap:1M cache:1M:/var/tmp)")
        want(int(guest.run("grep -l ^@plant /proc/[0-9]*/cmdline | wc -l")) == 6, "no spared processes")
        kinds = ["unlinked", "mapped", "memfd", "sealed", "heap", "cache"]
        want_there(guest, kinds)
        guest.hand_over("poweroff")
        want_clean_end(guest)
        want_gone(guest, kinds)


# -- RAM-backed file systems ------------------------------------------------------------------------------------------------


@case
def read_only(boot):
    """a tmpfs mounted read-only, and credentials: a ramfs made read-only by its mount"""
    with boot() as guest:
        guest.arm()
        guest.run("mkdir -p /run/credentials/unit /mnt; mount -t ramfs -o mode=700 ramfs /run/credentials/unit; mount -t tmpfs x /mnt")
        plant(guest, "file+tmpfs:1M:/mnt", "file+ramfs:1M:/run/credentials/unit")
        guest.run("mount -o remount,ro /mnt; mount -o remount,bind,ro,nosuid,nodev,noexec /run/credentials/unit")
        guest.run("! touch /mnt/x; ! touch /run/credentials/unit/x")
        end_clean(guest)
        want_gone(guest, ["file+tmpfs", "file+ramfs"])


@case
@ported
def hidden(boot):
    """what other mounts hide: a tmpfs below another one, a file below a mount point, a file of the union below /tmp"""
    with boot() as guest:
        guest.arm()
        guest.run("mkdir -p /mnt /run/old; mount -t tmpfs lower /mnt; mount --bind / /run/old")
        plant(guest, "file+covered:1M:/mnt", "file+below:1M:/run/old/tmp", "file+lock:1M:/run/lock")
        guest.run("mount -t tmpfs upper /mnt; umount /run/old; mount -t tmpfs again /run/lock; ! test -e /mnt/lethe-file+covered")
        end_clean(guest)
        want_gone(guest, ["file+covered", "file+below", "file+lock"])


@case
def dracut_place(boot):
    """a medium below /run/initramfs, as dracut mounts it, is no other exitrd: it stays where it was, and nothing is unpacked beside Lethe"""
    with boot() as guest:
        guest.do("mkdir -p /run/initramfs/live; mount --bind /run/live/medium /run/initramfs/live; touch /run/initramfs/.need_shutdown\n"
                 "ln -s /dev/vda /run/initramfs/livedev")
        seen = guest.run("ls -A /run/initramfs/live; readlink /run/initramfs/livedev")
        guest.arm()
        want(guest.run("ls -A /run/initramfs/live; readlink /run/initramfs/livedev") == seen, "the medium is not where it was")
        guest.do("test -x /run/initramfs/bin/sh; test -x /run/initramfs/shutdown; test ! -e /run/initramfs/.need_shutdown; lethe status")
        plant(guest, "file+rw:1M:/root")
        end_clean(guest)
        want_gone(guest, ["file+rw"])


@case
def busybox_init(boot):
    """busybox init as PID 1: an ordinary poweroff passes Lethe by, and status says so; with a script of its own it does not"""
    with boot(disk=True) as guest:
        guest.arm()
        guest.become_busybox_init()
        said = guest.run("lethe status", check=False)
        want("NOT ready" in said and "PID 1 is busybox init, and a poweroff or reboot passes Lethe by" in said, f"status: {said}")
        want("systemd" not in guest.run("lethe end; lethe end sideways; true"), "end without a verb")
        plant(guest, "rw:1M")
        guest.send("poweroff")
        want_end(guest, "poweroff")
        want_there(guest, ["rw"])
    with boot(disk=True) as guest:
        open_disk(guest)
        guest.become_busybox_init()
        lines = (lab.HERE.parent.parent / "init/scripts/busybox/inittab").read_text()
        guest.run(f"mkdir -p /usr/share/lethe/busybox; cat >/usr/share/lethe/busybox/inittab <<'END'\n{lines}\nEND")
        guest.do("\n".join(live.printed_commands("busybox", running=True)))
        guest.do("echo \"::shutdown:/bin/sh -c 'echo it went on >/dev/kmsg'\" >>/etc/inittab; kill -HUP 1")
        want(guest.run("lethe status").startswith("ready"), guest.run("lethe status"))
        plant(guest, *EVERYTHING, "cache:8M:/mnt")
        guest.send("poweroff")
        want_clean_end(guest)
        want("it went on" not in guest.console, "the script went on")
        want_gone(guest, [*kinds_of(EVERYTHING), "cache"], key=small.encrypted_disk() / "key")
        want_disk_clean(guest, ("lethe-cache", 8 << 20))


@case
def old_exitrd(boot):
    """what lies in the exitrd's own tmpfs when it takes over"""
    with boot() as guest:
        guest.run("mkdir -p /run/initramfs; mount -t tmpfs -o mode=755 other /run/initramfs; "
                  "echo '#!/bin/sh' >/run/initramfs/shutdown; chmod 755 /run/initramfs/shutdown")
        plant(guest, "file+exitrd:1M:/run/initramfs")
        said = guest.run("lethe arm; echo $?")
        want(said.endswith("1") and "take-over" in said, f"arm with another exitrd there: {said}")
        want(guest.run("cat /run/initramfs/shutdown") == "#!/bin/sh", "the other exitrd was changed")
        guest.run("lethe arm --take-over")
        plant(guest, "file+own:512K:/run/initramfs")
        end_clean(guest)
        want_gone(guest, ["file+exitrd", "file+own"])


@case
@ported
def namespaces(boot):
    """a tmpfs that only another mount namespace shows, kept alive by a bind mount of it"""
    with boot() as guest:
        guest.arm()
        guest.run("mount --make-rprivate /; mkdir -p /run/ns; mount --bind /run/ns /run/ns; mount --make-private /run/ns; touch /run/ns/x; "
                  "unshare --mount=/run/ns/x sh -c 'mount -t tmpfs x /home && plant file+ns:1M:/home'")
        want_there(guest, ["file+ns"])
        end_clean(guest)
        want_gone(guest, ["file+ns"])


@case
def second_union(boot):
    """a second union, and one on top of the first"""
    with boot() as guest:
        guest.arm()
        guest.run("mkdir -p /dev/shm/up /dev/shm/work /mnt; mount -t overlay -o lowerdir=/run/live/rootfs,upperdir=/dev/shm/up,"
                  "workdir=/dev/shm/work x /mnt")
        end_clean(guest, "file:1M:/mnt", "names+mnt:100:/mnt")


@case
@ported
def immutable(boot):
    """immutable files, an append-only one, and an immutable directory"""
    with boot() as guest:
        guest.arm()
        guest.run("mkdir /tmp/dir")
        plant(guest, "file:1M:/tmp", "file+append:1M:/tmp", "file+inside:1M:/tmp/dir")
        guest.run("chattr +i /tmp/lethe-file; chattr +a /tmp/lethe-file+append; chattr +i /tmp/dir/lethe-file+inside /tmp/dir")
        if guest.run("rm -rf /tmp/* 2>/dev/null; ls /tmp | wc -l") != "3":
            raise Skip("this kernel's tmpfs has no such flags")
        end_clean(guest)
        want_gone(guest, ["file", "file+append", "file+inside"])


@case
@ported
def shapes(boot):
    """3,000 directories deep, 50,000 small files, sparse files of 1 TiB, all in tmpfs and in ramfs"""
    with boot(ram="1G") as guest:
        guest.arm()
        guest.do("mkdir -p /run/t /run/r\nmount -t tmpfs x /run/t\nmount -t ramfs x /run/r")
        plant(guest, "small+t:50000:/run/t", "small+r:50000:/run/r", "file+deep:64K:/run/lock", "file+sparse:1M:/run/lock")
        for fs in "/run/t", "/run/r":
            guest.do(f"cd {fs}\np=$(yes d | head -n 1500 | tr '\\n' /)\nmkdir -p a/$p b/$p\n"
                     "cp /run/lock/lethe-file+deep a/$p\nmv a b/$p\n"
                     "cp /run/lock/lethe-file+sparse sparse\ntruncate -s 1024G sparse\ncat /run/lock/lethe-file+sparse >>sparse")
        guest.hand_over("poweroff")
        want_end(guest, "poweroff", 90)
        # The kernel can't say where the data in so large a file on ramfs are: it is searched from both ends for a while.
        want(len(guest.said) == 2 and guest.said[0].endswith("1 files could not be zeroed: Operation timed out"), f"it said: {guest.said}", guest)
        want_gone(guest, ["small+t", "small+r", "file+deep", "file+sparse"])


@case
@ported
def many_mounts(boot):
    """hundreds of mounts on one, which go with one call, but for the persistence among them: it is written back, the RAM is zeroed"""
    with boot("lethe.verbose", disk=True) as guest:
        guest.arm()
        guest.do("mkdir /run/many\nmount --make-rprivate /\nmounts make 200 /run/many\n"
                 "for i in $(seq 200 299); do mkdir /run/many/$i; mount -t tmpfs x /run/many/$i; done", timeout=120)
        open_disk(guest, "/run/many/disk")
        guest.do("dd if=/dev/zero of=/run/many/disk/data bs=1M count=8 2>&1")
        plant(guest, "file+tmpfs:1M:/run/many/250", "file+bind:1M:/run/many/7", "shm:1M")
        guest.hand_over("poweroff")
        want_end(guest, "poweroff", 90)
        want(any(re.match(r"unmount the last 30\d mounts on /oldroot/oldroot/run$", line) for line in guest.said), f"it said: {guest.said}")
        want(guest.said[-1].endswith("nothing is left"), f"it said: {guest.said[-1]}")
        want_gone(guest, ["file+tmpfs", "file+bind", "shm"], key=small.encrypted_disk() / "key")
        want_disk_clean(guest, ("data", 8 << 20))


# -- devices ------------------------------------------------------------------------------------------------------------------


def open_disk(guest, at="/mnt"):
    guest.run(f"modprobe -a qemu_fw_cfg dm_crypt xts algif_skcipher {lab.MACHINE.aes}; cryptsetup open --key-file "
              f"/sys/firmware/qemu_fw_cfg/by_name/opt/lethe.passphrase/raw /dev/vdb crypt && mkdir -p {at} && mount /dev/mapper/crypt {at}")


def want_disk_clean(guest, *complete):
    """The encrypted disk's file system needs no repair and no journal replay, and holds its files."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as tmp:
        image = small.decrypted(guest.disk, Path(tmp))
        fsck = subprocess.run(["e2fsck", "-fn", image], capture_output=True, text=True)
        want(fsck.returncode == 0, f"e2fsck: {fsck.stdout}{fsck.stderr}")
        state = subprocess.run(["dumpe2fs", "-h", image], capture_output=True, text=True).stdout
        want("needs_recovery" not in state and re.search(r"Filesystem state: +clean\n", state), f"not clean:\n{state}")
        for name, size in complete:
            shown = subprocess.run(["debugfs", "-R", f"stat {name}", image], capture_output=True, text=True).stdout
            want(f"Size: {size}\n" in shown, f"{name} is not complete: {shown}")


@case
@ported
def encrypted(boot):
    """dm-crypt with a mounted ext4, a file held open and a working directory in it: no key and no target of a link left, the file system clean"""
    with boot(disk=True) as guest:
        guest.arm()
        open_disk(guest)
        guest.run("mount --bind /mnt/many /home")
        plant(guest, "cache:8M:/mnt", "links+disk:2000:/mnt")
        guest.run("(cd /home; exec -a @/busybox /bin/busybox sleep 1000 >/mnt/held) & until [ -e /mnt/held ]; do usleep 20000; done")
        key = small.encrypted_disk() / "key"
        want(guest.scan([], key=key)["key"], "the key is not in RAM before")
        guest.hand_over("poweroff")
        want_clean_end(guest)
        want_gone(guest, ["cache", "links+disk"], key=key)
        want_disk_clean(guest, ("lethe-cache", 8 << 20), ("notes", 22), ("many/lines", 70_000))


@case
def loop_on_tmpfs(boot):
    """a file system in a loop's file on a tmpfs, and one more loop on that"""
    with boot() as guest:
        guest.arm()
        guest.do("mkdir -p /mnt /home\ntruncate -s 24M /tmp/a\nmkfs.ext4 -q /tmp/a\nmount -o loop /tmp/a /mnt\n"
                 "truncate -s 8M /mnt/b\nmkfs.ext4 -q /mnt/b\nmount -o loop /mnt/b /home")
        end_clean(guest, "file+a:4M:/mnt", "file+b:2M:/home")


@case
@ported
def swap(boot):
    """swap on a file, on zram and on a loop over RAM: all of it is called back and switched off"""
    with boot(disk=True) as guest:
        guest.arm()
        open_disk(guest)
        guest.do("dd if=/dev/zero of=/mnt/swap bs=1M count=12\n"
                 "mkdir /run/ram\nmount -t ramfs x /run/ram\ntruncate -s 8M /run/ram/s\nlosetup /dev/loop7 /run/ram/s\n"
                 "modprobe zram num_devices=1\necho 16M >/sys/block/zram0/disksize\n"
                 "for s in /dev/zram0 /dev/loop7 /mnt/swap; do mkswap $s; swapon $s; done")
        plant(guest, "shm:32M", "heap:8M")
        guest.do("mkdir -p /run/cg\nmount -t cgroup2 x /run/cg\necho 200 >/proc/sys/vm/swappiness\nfor i in $(seq 12); do echo 4M >/run/cg/memory.reclaim || true; done")
        used = guest.run("cat /proc/swaps")
        want(len(used.splitlines()) == 4 and sum(int(line.split()[3]) for line in used.splitlines()[1:]) > 20 * 1024,
             f"not enough is swapped out:\n{used}")
        guest.hand_over("poweroff")
        want_clean_end(guest)
        want_gone(guest, ["shm", "heap"], key=small.encrypted_disk() / "key")
        want_disk_clean(guest)


@long_case
def swap_on_itself(boot):
    """swap on a loop over a tmpfs whose own pages are swapped out to it, which no read gets back: off all the same, and told"""
    with boot() as guest:
        guest.arm()
        guest.do("truncate -s 24M /run/s\nlosetup /dev/loop7 /run/s\nmkswap /dev/loop7\nswapon /dev/loop7")
        plant(guest, "shm:16M", "heap:2M")
        guest.do("mkdir -p /run/cg\nmount -t cgroup2 x /run/cg\necho 200 >/proc/sys/vm/swappiness\n"
                 "for i in $(seq 72); do echo 4M >/run/cg/memory.reclaim || true; done", timeout=60)
        guest.hand_over("poweroff")
        want_end(guest, "poweroff")
        want(guest.said[-1].endswith("NOT all is gone, see above"), f"it said: {guest.said}", guest)


@case
def chroot_without_proc(boot):
    """as PID 1 of a pid namespace, of a user namespace too, in an image builder's chroot: refused, the machine's persistence untouched"""
    with boot(disk=True) as guest:
        open_disk(guest)
        guest.do("mkdir -p /home/jail\ncp /sbin/lethe /home/jail/lethe\necho data >/mnt/before\nsync")
        table = guest.run("dmsetup table crypt; cat /proc/self/mountinfo /proc/sys/kernel/panic")
        for namespaces in ("-p -f", "-U -r -p -f"):
            for command in ("plan", "poweroff", "now", "watch"):
                said = guest.run(f"unshare {namespaces} chroot /home/jail /lethe {command}; echo status $?")
                want(said.endswith("status 2"), f"{namespaces} {command}: {said}", guest)
        want(guest.run("dmsetup table crypt; cat /proc/self/mountinfo /proc/sys/kernel/panic") == table, "something was changed", guest)
        guest.run("echo more >/mnt/after; sync; mount -t proc x /home/jail/proc || mkdir /home/jail/proc && mount -t proc x /home/jail/proc")
        want("unmount" in guest.run("unshare -p -f chroot /home/jail /lethe plan"), "no plan where there is a /proc", guest)
        said = guest.run("mkdir /home/jail/run; chroot /home/jail /lethe arm; echo status $?; ls /home/jail/run")
        want("in a chroot" in said and said.endswith("status 2"), f"arm in a chroot: {said}")
        guest.run("umount /home/jail/proc; umount /mnt; cryptsetup close crypt; sync")
        guest.send("poweroff -f")
        want_end(guest, "poweroff")
        want_disk_clean(guest, ("before", 5), ("after", 5))


@case
def keys_of_a_user(boot):
    """a key in the keyring of a user who is not root"""
    for memory in "init_on_free=1", "":
        with boot(memory=memory) as guest:
            guest.arm()
            guest.run("echo amnesia:x:1000:1000::/:/bin/sh >>/etc/passwd; echo amnesia:x:1000: >>/etc/group")
            guest.run("su amnesia -c 'plant keyring'")
            want_there(guest, ["keyring"])
            guest.hand_over("poweroff")
            want_clean_end(guest, says="nothing else is known to be left" if not memory else "nothing is left")
            want_gone(guest, ["keyring"])


@case
def file_bound(boot):
    """a file of the persistence bound onto one of /tmp, where no mount may be cloned: it is as it was"""
    with boot(disk=True) as guest:
        guest.arm()
        open_disk(guest)
        guest.do("echo my diary >/mnt/diary\nsync\ntouch /tmp/diary\nmount --bind /mnt/diary /tmp/diary\necho 0 >/proc/sys/user/max_mnt_namespaces")
        end_clean(guest, "file:1M:/tmp", "cache:1M:/mnt")
        want_disk_clean(guest, ("diary", 9))


def suspend_disk(guest, before=""):
    """/dev/dm-0 on the disk, set up and then so that no read or write of it ever ends."""
    guest.do('modprobe dm_mod\necho "0 40960 linear /dev/vdb 0" | dmsetup create --noudevsync lazy\n'
             f"{before}\ndmsetup suspend --noflush --nolockfs lazy")


def want_end_in_time(guest, limit=90):
    started = time.monotonic()
    guest.hand_over("poweroff")
    want_end(guest, "poweroff", timeout=limit + 60)
    want(time.monotonic() - started < limit, f"it took {time.monotonic() - started:.0f} s", guest)


@case
def frozen(boot):
    """a frozen file system on dm-crypt, with a process that waits to write to it, and in a file on it another one, covered: thawed, unmounted, clean"""
    with boot(disk=True) as guest:
        guest.arm()
        open_disk(guest)
        plant(guest, "cache:4M:/mnt", "shm:1M")
        guest.do("truncate -s 8M /mnt/inner\nmkfs.ext4 -q /mnt/inner\nlosetup /dev/loop5 /mnt/inner\nmount /dev/loop5 /home\necho data >/home/file\n"
                 "sync\nfsfreeze --freeze /home\nmount -t tmpfs x /home")
        guest.run("sync; fsfreeze --freeze /mnt; (exec -a @/busybox /bin/busybox touch /mnt/late) & until grep -q '^State:.D' /proc/$!/status; do usleep 20000; done")
        guest.hand_over("poweroff")
        want_clean_end(guest, timeout=200)
        want_gone(guest, ["cache", "shm"], key=small.encrypted_disk() / "key")
        want_disk_clean(guest)


@case
def read_only_by_error(boot):
    """an ext4 that an error has made read-only: told that it is not clean"""
    with boot(disk=True) as guest:
        guest.arm()
        open_disk(guest)
        plant(guest, "cache:4M:/mnt")
        guest.run("mount -o remount,errors=remount-ro /mnt; sync; echo a test >/sys/fs/ext4/dm-0/trigger_fs_error; ! touch /mnt/more")
        guest.hand_over("poweroff")
        want_end(guest, "poweroff")
        want("the file system on dm-0 was not closed clean" in guest.said, f"it said: {guest.said}", guest)
        want_gone(guest, ["cache"], key=small.encrypted_disk() / "key")


@case
def resumed(boot):
    """a suspended device under a mounted file system is resumed, and closed clean"""
    with boot(disk=True) as guest:
        guest.arm()
        open_disk(guest)
        guest.run("echo data >/mnt/file; sync; echo more >>/mnt/file; dmsetup suspend --noflush --nolockfs crypt")
        end_clean(guest, "rw:1M", timeout=200)
        want_disk_clean(guest, ("file", 10))


UPROBE = """mkfs.ext4 -q /dev/vdb; mkdir -p /mnt; mount /dev/vdb /mnt; cp /bin/busybox /mnt/program; mount -t tracefs t /sys/kernel/tracing
cd /sys/kernel/tracing; echo 'p:probe /mnt/program:0x1000' >uprobe_events; mkdir instances/other; echo 1 >instances/other/events/uprobes/enable
for i in $(seq 2000); do echo "it is written in my diary"; done | tee trace_marker >instances/other/trace_marker; head -n 20 trace_pipe >/dev/null; cd /"""


def plain_disk_state(guest):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as tmp:
        guest.disks[0].export(Path(tmp) / "disk")
        return subprocess.run(["dumpe2fs", "-h", Path(tmp) / "disk"], capture_output=True, text=True).stdout


@case
def uprobe(boot):
    """a uprobe holds a file of a plain disk: it is removed, with what was traced, and the disk is clean; where it is not, that is said"""
    disks = [small.blank_disk()]

    def count_traced(guest):
        return guest.ram_file.read_bytes().count(b"written in my diary\n")

    with boot(disks=disks) as guest:
        guest.arm()
        guest.do(UPROBE)
        want(count_traced(guest) > 100, "nothing was traced", guest)
        end_clean(guest, "rw:1M", "cache+f:4M:/mnt", timeout=200)
        want("needs_recovery" not in plain_disk_state(guest), "the disk was not closed clean", guest)
        want(count_traced(guest) == 0, f"{count_traced(guest)} lines of what was traced are left", guest)
    with small.booted(skipping, "lethe.skip=remove-probes", disks=disks) as guest:
        guest.arm()
        guest.do(UPROBE)
        guest.hand_over("poweroff")
        want_end(guest, "poweroff", 200)
        said = "\n".join(guest.said)
        want("left: vdb is still in use by ext4 that no mount shows" in said and "NOT all is gone" in said, f"it said: {said}", guest)
        want("needs_recovery" in plain_disk_state(guest), "the disk is clean: nothing held it", guest)


@case
def suspended(boot):
    """a suspended device that nobody resumes, under a file system: what waits for it is left behind, all else is done, and it is said"""
    with small.booted(skipping, "lethe.skip=resume", disk=True) as guest:
        guest.arm()
        suspend_disk(guest, "mkfs.ext4 -q /dev/dm-0\nmkdir -p /mnt\nmount /dev/dm-0 /mnt\necho data >/mnt/file")
        plant(guest, "rw:1M", "shm:1M", "run:1M")
        want_end_in_time(guest)
        said = "\n".join(guest.said)
        want("NOT all is gone" in said and re.search("left: .*lazy|left behind", said), f"it said: {said}", guest)
        want_gone(guest, ["rw", "shm", "run"])


@case
def unkillable_process(boot):
    """a process in D state: it is left behind and named, what can be erased is"""
    with small.booted(skipping, "lethe.skip=resume", disk=True) as guest:
        guest.arm()
        suspend_disk(guest)
        guest.run("(exec -a @/busybox /bin/busybox dd if=/dev/zero of=/dev/dm-0 bs=4k count=1 conv=fsync) >/dev/null 2>&1 &\n"
                  "until grep -q '^State:.D' /proc/$!/status; do usleep 20000; done")
        plant(guest, "rw:1M", "shm:1M", "unlinked:1M")
        want_end_in_time(guest)
        want(any("in state D" in line for line in guest.said), f"it said: {guest.said}", guest)
        want_gone(guest, ["rw", "shm", "unlinked"])


# -- what the kernel does not clear by itself ------------------------------------------------------------------------------------


def want_filled(boot, clearing="none", most=0, **options):
    """Everything is planted and gone after the end, by Lethe's own doing, on a kernel that is seen to clear so much.

    `most` is how many patterns of all kinds together may be found."""
    with boot(**options) as guest:
        guest.arm()
        seen = guest.run("lethe status --verify-memory-clearing")
        want(f"memory clearing, as seen: {clearing}\n" in seen, f"status says: {seen}")
        plant(guest, *EVERYTHING)
        guest.hand_over("poweroff")
        want_clean_end(guest, says="nothing else is known to be left")
        left = guest.scan(kinds_of(EVERYTHING), most=most)
        want(sum(left.values()) <= most, f"left in RAM: {left}", guest)


@case
@ported
def default_kernel(boot):
    """a kernel that clears nothing that is freed, as most boot: nothing is left all the same"""
    want_filled(boot, memory="")


@long_case
def default_kernel_newest(boot):
    """the same on the newest kernel that Debian has, of which live.py builds a system: from 6.18 on processors keep objects in sheaves"""
    want_filled(boot, memory="", kernel=live.base("forky"), load=("ext4",), ram="1G")


OFFLINE = r"""n=0; for block in $(ls -d /sys/devices/system/memory/memory* | sort -t y -k 5 -n -r); do
[ $n -lt 3 ] && timeout 5 sh -c "echo offline >$block/state" && n=$((n + 1)); done 2>/dev/null; echo $n"""
SPOIL = "for mib in $(seq 20 2 250); do echo $((mib << 20)) >/sys/devices/system/memory/soft_offline_page; done 2>/dev/null; grep HardwareCorrupted /proc/meminfo"


@case
def memory_offline(boot):
    """blocks of memory were set offline, where the kernel clears nothing: they are taken into use again; else they are told"""
    for start, gone in (boot, True), (functools.partial(small.booted, skipping, "lethe.skip=put-memory-online"), False):
        with start(memory="", ram="1G", kernel=live.base("trixie"), load=("ext4",)) as guest:
            guest.arm()
            guest.run("plant heap+before:680M & sleep 8; kill $!; wait; true", timeout=90)
            want(guest.run(OFFLINE, timeout=90) != "0", "no block was set offline")
            want_there(guest, ["heap+before"])
            guest.hand_over("poweroff")
            want_end(guest, "poweroff")
            want(guest.said[-1].endswith("nothing else is known to be left" if gone else "NOT all is gone, see above")
                 and any("blocks of memory are offline" in line for line in guest.said) != gone, f"it said: {guest.said}", guest)
            want(bool(guest.scan(["heap+before"])["heap+before"]) != gone, "what is left is not what it says", guest)


@case
def memory_bad(boot):
    """pages that the kernel took out of use for errors, which nobody can reach: it is said"""
    with boot(kernel=live.base("trixie"), load=("ext4",)) as guest:
        guest.arm()
        plant(guest, "heap:200M")
        want(" 0 kB" not in guest.run(SPOIL, timeout=60), "no page was taken out of use")
        want("of memory are out of use for errors" in guest.run("lethe status || true"), "status does not say so")
        guest.hand_over("poweroff")
        want_end(guest, "poweroff")
        want(any("KiB of memory are out of use for errors" in line for line in guest.said) and "NOT all is gone" in guest.said[-1], f"it said: {guest.said}", guest)
        want(sum(guest.scan(["heap"]).values()), "nothing was left of what it told")


@case
def stacks_of_the_dead(boot):
    """the general registers of the dead, on the stacks that each processor keeps for its next processes: overwritten, or told"""
    lying = functools.partial(small.booted, skipping, "lethe.skip=overwrite-stacks")
    for start, kernel, gone in (boot, small.KERNEL, True), (boot, small.KERNEL_13, True), (lying, small.KERNEL_13, False):
        with start(kernel=kernel, cpus=6) as guest:
            guest.arm()
            guest.run("plant general:40; killall -9 plant", timeout=60)
            want_there(guest, ["general"])
            guest.hand_over("poweroff")
            want_end(guest, "poweroff")
            want(guest.said[-1].endswith("nothing is left") == gone, f"it said: {guest.said}", guest)
            if gone:
                want_gone(guest, ["general"])


@case
def sampled(boot):
    """freed objects in the pages of KFENCE, on a kernel that samples its allocations and clears nothing: overwritten, or told"""
    plants = ["names:3000", "links:3000", "xattrs:3000"]
    for start, skip in (boot, ""), (functools.partial(small.booted, skipping), "lethe.skip=overwrite-samples"):
        with start(f"kfence.sample_interval=60 {skip}", memory="", ram="1G", kernel=live.base("trixie"), load=("ext4",)) as guest:
            guest.arm()
            plant(guest, *plants)
            guest.hand_over("poweroff")
            want_end(guest, "poweroff")
            want(guest.said[-1].endswith("NOT all is gone, see above" if skip else "nothing else is known to be left"), f"it said: {guest.said}", guest)
            want(bool(skip) == any(guest.scan(kinds_of(plants)).values()), "what is left is not what it says", guest)


@case
def renamed(boot):
    """long names that were given up a moment ago, which the kernel frees only later, on kernels that clear nothing that is freed"""
    for kernel in small.KERNEL, small.KERNEL_13:
        with boot(memory="", kernel=kernel) as guest:
            guest.arm()
            plant(guest, "names:200:/run")
            guest.hand_over("poweroff", before='cd /run/lethe-names; n=0; for name in *-a-longer-*; do n=$((n + 1)); mv "$name" $n; done; rm -f *; cd /')
            want_clean_end(guest, says="nothing else is known to be left")
            want_gone(guest, ["names"])


@case
def registers(boot):
    """the registers of the dead that the kernel keeps between its own threads, on a kernel that clears nothing that is freed"""
    modules = ["raid1", "fuse", "btrfs", "xfs", "nbd", "dm_crypt", "dm_integrity", "dm_snapshot", "virtio_scsi", "ext4", "zram", "loop"]
    kinds = [f"registers+{module}" for module in modules]
    with boot(memory="", tools=True) as guest:
        guest.arm()
        guest.run("\n".join(f"plant {kind}:7; modprobe {module}" for kind, module in zip(kinds, modules)), timeout=60)
        want_there(guest, kinds)
        guest.hand_over("poweroff")
        want_clean_end(guest, says="nothing else is known to be left")
        want_gone(guest, kinds)


@case
def no_clearing(boot):
    """nor does it clear what it hands out to itself: at most what lies in the unused ends of its own objects and slabs is left"""
    want_filled(boot, memory="init_on_alloc=0 init_on_free=0", most=2048)  # of more than two million that were planted


@case
@ported
def one_processor(boot):
    """the same with one processor"""
    want_filled(boot, memory="", cpus=1)


# Those of the kinds whose secrets lie in whole pages: of free memory nothing is left of them.
PAGES = ["rw:16M", "shm:8M", "file:1M", "heap:8M", "pipe", "unlinked", "mapped", "memfd", "huge", "environ", "stack"]
READ_BACK = r"\d+ MiB of free memory filled and read back, all zero( but for at most \d+ KiB of processors' lists)?, "
NOT_ZERO = r"free memory filled and read back: \d+ pages are not zero, NOT all is gone"


def want_read_back(boot, plants=PAGES, says=READ_BACK, prepare=lambda guest: None, before="", **options):
    """A kernel that clears nothing: what was planted is gone, and what Lethe says of free memory is this."""
    with boot(memory="", **options) as guest:
        guest.arm()
        plant(guest, *plants)
        prepare(guest)
        guest.hand_over("poweroff", before=before)
        want_end(guest, "poweroff", 180)
        want(re.search(says, guest.said[-1]), f"it said: {guest.said}", guest)
        want_gone(guest, kinds_of(plants))


@case
@ported
def read_back(boot):
    """free memory is filled and read back, on kernel 6.1"""
    want_read_back(boot)


@long_case
@ported
def pages_of_16k(boot):
    """all of it on a kernel with pages of 16 KiB, which only arm64 has: what lies in files and what is freed"""
    if not small.KERNEL_16K.exists():
        raise Skip("this machine has no such kernel")
    plants = [plant for plant in EVERYTHING if not plant.startswith("huge")]
    for options in ({}, {"memory": ""}):
        with boot(kernel=small.KERNEL_16K, ram="1G", **options) as guest:
            want(guest.run("grep -m 1 KernelPageSize /proc/self/smaps").split()[1] == "16", "its pages are others")
            guest.arm()
            plant(guest, *plants)
            guest.hand_over("poweroff")
            want_clean_end(guest, says="nothing else is known to be left" if options else "nothing is left")
            want_gone(guest, kinds_of(plants))


@case
def read_back_13(boot):
    """the same on kernel 6.12, whose processors keep many more pages on lists of their own"""
    want_read_back(boot, kernel=small.KERNEL_13)


@case
def six_processors_13(boot):
    """the same with six processors"""
    want_read_back(boot, kernel=small.KERNEL_13, cpus=6, ram="768M")


@case
def rest_left_out(boot):
    """a filler that leaves pages behind, in a build for this test: the look finds them, and it is told"""
    for kernel in small.KERNEL, small.KERNEL_13:
        with small.booted(skipping, "lethe.skip=fill-rest", memory="", kernel=kernel) as guest:
            guest.arm()
            plant(guest, *PAGES)
            guest.hand_over("poweroff")
            want_end(guest, "poweroff", 180)
            want(re.search(NOT_ZERO, guest.said[-1]), f"it said: {guest.said}", guest)


@case
def verify_asked(boot):
    """lethe.verify=: auto reads a part of what the kernel has cleared, on all of it, off nothing; so many seconds are a limit"""
    for asked, memory, says in [("auto", "init_on_free=1", r"by the kernel, ([2-5]\d\d) MiB of it read back, nothing is left$"),
                                ("on", "init_on_free=1", r"by the kernel, ([7-9]\d\d) MiB of it read back, nothing is left$"),
                                ("off", "init_on_free=1", "by the kernel, nothing is left$"),
                                ("100", "init_on_free=1", r"by the kernel, ([7-9]\d\d) MiB of it read back, nothing is left$"),
                                ("off", "", r"filled but for \d+ KiB, which was not read back, (nothing else is known to be left|NOT all is gone, see above)$")]:
        kernel = small.KERNEL_13 if asked == "on" else small.KERNEL
        with boot(f"lethe.verify={asked} loglevel=8 lethe.verbose", memory=memory, ram="1G", kernel=kernel) as guest:
            guest.arm()
            guest.hand_over("poweroff")
            want_end(guest, "poweroff", 180)
            said = [line for line in guest.said if line.startswith("poweroff after")][-1]
            want(re.search(says, said), f"lethe.verify={asked}: {said}", guest)
            in_use = [line for line in guest.said if line.startswith("not judged")]
            want(len(in_use) == (asked in ("on", "100")), f"lethe.verify={asked}: {in_use}")


@case
def page_tables_isolated(boot):
    """with page table isolation, /proc/kcore shows zeroes in the kernel's image where memory was freed: it is not looked at there"""
    with boot("pti=on") as guest:
        seen = guest.run("for i in $(seq 12); do dd if=/dev/zero of=/dev/shm/$i bs=1M count=12 2>/dev/null\n"
                         "lethe status --json --verify-memory-clearing | grep memory_clearing; done", timeout=120)
        want(seen.count('"zero"') == 12, f"it was seen as {seen}", guest)


@case
def memory_limit(boot):
    """PID 1 is in a control group with a limit on memory and on processes: it is left, and all of memory is filled"""
    def limit(guest):
        guest.do("mount -t cgroup2 cgroup /sys/fs/cgroup\necho +memory +pids >/sys/fs/cgroup/cgroup.subtree_control\nmkdir /sys/fs/cgroup/init.scope\n"
                 "echo 1 >/sys/fs/cgroup/init.scope/cgroup.procs\necho 60M >/sys/fs/cgroup/init.scope/memory.max")
    want_read_back(boot, ["heap:150M", "rw:1M"], prepare=limit, before="echo 2 >/sys/fs/cgroup/init.scope/pids.max")


@case
def locked_down(boot):
    """lockdown=confidentiality: nobody can read memory back, and it is said so"""
    want_read_back(functools.partial(boot, "lockdown=confidentiality"),
                   says=r"free memory filled but for \d+ KiB, which could not be read back, nothing else is known to be left$")


@case
def no_time_to_fill(boot):
    """one second for more memory than can be filled in it: what is left is told"""
    with boot("lethe.scrub=1", memory="", ram="2G") as guest:
        guest.arm()
        plant(guest, "heap:64M", "rw:16M")
        guest.hand_over("poweroff")
        want_end(guest, "poweroff", 180)
        left = guest.scan(["heap", "rw"])
        want(not any(left.values()) or "NOT all is gone" in guest.said[-1], f"left: {left}, it said: {guest.said}", guest)


@case
def page_poison(boot):
    """page_poison=1: freed pages are overwritten, freed kernel objects are not"""
    want_filled(boot, "poison", memory="page_poison=1", kernel=live.base("bookworm"), load=["ext4"])


@case
def poison_and_clear(boot):
    """page_poison=1 quietly disables init_on_free=1"""
    want_filled(boot, "poison", memory="page_poison=1 init_on_free=1", kernel=live.base("bookworm"), load=["ext4"])


def storm(guest):
    """Hundreds of processes, some that systemd spares and that fork all the time, and memory nearly full."""
    guest.run("for i in $(seq 300); do sleep 600 >/dev/null 2>&1 & done", timeout=180)
    guest.run("for i in 1 2 3; do (exec -a @sh /bin/busybox sh -c 'while :; do sleep 1 & usleep 5000; done') >/dev/null 2>&1 & done")
    guest.run("head -c $(awk '/^MemFree/ { print $2 - 40000 }' /proc/meminfo)k /dev/zero >/tmp/full; true", timeout=180)


@case
@ported
def fork_storm(boot):
    """hundreds of processes, some of which are spared and fork all the time, and memory nearly full, on a kernel that clears nothing"""
    with boot(memory="") as guest:
        guest.arm()
        plant(guest, "rw:16M", "heap:8M", "names")
        storm(guest)
        guest.hand_over("poweroff")
        want_clean_end(guest, says="nothing else is known to be left")
        want_gone(guest, ["rw", "heap", "names"])


def again(boot, times):
    """One system, planted and in a storm, on a kernel that clears nothing, ended so many times from the same moment: (passed, failed)."""
    failed = 0
    with boot(memory="") as guest:
        guest.arm()
        plant(guest, *EVERYTHING)
        storm(guest)
        guest.save()
        for number in range(1, times + 1):
            guest.restore()
            try:
                guest.hand_over("poweroff")
                want_clean_end(guest, says="nothing else is known to be left")
                want_gone(guest, kinds_of(EVERYTHING))
            except lab.Failure as failure:
                failed += 1
                print(f"small: FAIL end {number}: {failure}", flush=True)
    return times - failed, failed


@case
def screens(boot):
    """what was written to virtual terminals is no longer on their screens, nor what was selected there"""
    secret, selected = "On the screen of tty3", b"zelectet:my.diary"
    cells = b"".join(bytes([c, 7]) for c in secret.encode())
    for start, gone in [(boot, True), (functools.partial(small.booted, skipping, "lethe.skip=clear-screens"), False)]:
        with start(kernel=live.base("bookworm"), load=["ext4"]) as guest:
            guest.arm()
            guest.run(f"for i in $(seq 40); do echo '{secret}' >/dev/tty3; echo '{secret}' >/dev/tty4; done")
            want(guest.ram_file.read_bytes().count(cells) > 40, "it was not on the screens")
            guest.do(f"printf '\\033c%s' $(echo {selected.decode()[::-1]} | rev) >/dev/tty1\nsplash 1 {len(selected)}")
            want(selected in guest.ram_file.read_bytes(), "it was not selected")
            guest.hand_over("poweroff")
            want_end(guest, "poweroff")
            ram = guest.ram_file.read_bytes()
            left = ram.count(cells)
            want((ram.count(selected) == 0) == gone, f"what was selected is {'left' if gone else 'gone'}", guest)
            want((left == 0) == gone, f"{left} times left on screens, {'with' if gone else 'without'} that step", guest)
            told = any("terminals that show something" in line for line in guest.said)
            want(told != gone, f"it said: {guest.said}", guest)


@case
def typed(boot):
    """what was typed on a terminal and not read, where PID 1 has it open and where nobody has"""
    for setup in "exec 9<>/dev/tty1", "true":
        with boot("console=tty0") as guest:
            guest.send(setup)
            guest.arm()
            for key in "zqxjkvzqxjkv":
                guest.qmp("send-key", keys=[{"type": "qcode", "data": key}], **{"hold-time": 20})
                time.sleep(0.1)
            time.sleep(1)
            want(guest.ram_file.read_bytes().count(b"zqxjkvzqxjkv"), "what was typed is not in RAM")
            guest.send("/run/initramfs/lethe now")
            want_end(guest, "poweroff")
            left = guest.ram_file.read_bytes().count(b"zqxjkvzqxjkv")
            want(not left and guest.said[-1].endswith("nothing is left"), f"after '{setup}' left: {left}", guest)


@case
def firmware(boot):
    """UEFI: pstore is told what was left, and nothing after a clean end; the firmware gets no variable that it does not have"""
    # That the request is set is tested in test/unit/test_efi.c alone: OVMF has no such variable and refuses it.
    request, dump = "MemoryOverwriteRequest".encode("utf-16le"), "dump-type0-".encode("utf-16le")
    with tempfile.TemporaryDirectory() as folder:
        variables = Path(folder) / "variables"
        args = ["-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
                "-drive", f"if=pflash,format=raw,file={variables}"]
        for start, says, kept in [(boot, "nothing is left", False),
                                  (lambda more, **options: small.booted(skipping, f"lethe.skip=unmount {more}", **options), "NOT all is gone", True)]:
            variables.write_bytes(Path("/usr/share/OVMF/OVMF_VARS_4M.fd").read_bytes())
            with start("pstore.compress=none", args=args, load=["efivarfs", "efi_pstore"]) as guest:
                guest.arm()
                guest.do("echo mounted /tmp/diary-of-anna >/dev/kmsg")  # as a log of systemd's has it
                guest.hand_over("reboot")
                want_end(guest, "reboot", 90)
                want(says in guest.said[-1], f"it said: {guest.said}", guest)
            found = variables.read_bytes()
            want((dump in found) == kept, f"an end that says '{says}' is {'not ' if kept else ''}kept by pstore")
            want((b"lethe: NOT all is gone: " in found) == kept and b"diary-of-anna" not in found, "in the firmware: " + str(
                [found[m.start() - 99:m.end() + 99] for m in re.finditer(b"diary-of-anna|NOT all is gone", found)]))
            want(request not in found, "Lethe made the variable")


def left_without(tasks, plants, memory, prepare=lambda guest: None, **options):
    """What is left of `plants` by the end of a Lethe that leaves out these tasks (lethe.skip= takes their words)."""
    with small.booted(skipping, f"lethe.skip={tasks}", memory=memory, **options) as guest:
        guest.arm()
        prepare(guest)
        plant(guest, *plants)
        guest.hand_over("poweroff")
        want_end(guest, "poweroff")
        return guest.scan(kinds_of(plants), key=small.encrypted_disk() / "key" if options else None)


@case
def switched_off(boot):
    """each way of erasing, left out of a build for this test, is missed: the other cases can fail"""
    for what, tasks, plants, memory, options in [
            ("zeroing of RAM file systems", "erase,refill-slabs,fill-memory,fill-rest", ["rw:4M", "shm:4M", "run:1M"], "", {}),
            ("erasing of IPC objects", "erase-ipc,refill-slabs,fill-memory,fill-rest", ["sysv"], "", {}),
            ("filling of free memory", "fill-memory,fill-rest,refill-slabs", ["heap:8M", "stack", "pipe"], "", {}),
            ("overwriting of freed kernel objects", "refill-slabs", ["names", "links:500", "xattrs:500"], "", {}),
            ("emptying of pools of huge pages", "free-huge-pages,fill-memory,fill-rest", ["huge"], "init_on_free=1", {}),
            ("closing of dm-crypt", "stop-device,wipe-key", ["cache:1M:/mnt"], "init_on_free=1", {"disk": True, "prepare": open_disk}),
            ("unmounting, with a kernel that clears", "unmount,detach,erase", ["rw:4M"], "init_on_free=1", {})]:
        left = left_without(tasks, plants, memory, **options)
        want(any(left.values()), f"without the {what} nothing is left either: {left}")
        print(f"     without the {what}: {left}", flush=True) if verbose else None
    left = left_without("refill-slabs,fill-memory,fill-rest", ["rw:4M", "shm:4M", "run:1M", "sysv"], "")
    want(not any(left.values()), f"zeroing in place alone leaves {left}")


# -- the watchdog, and what the kernel command line asks for --------------------------------------------------------------------


def arm_watchdog(guest, seconds):
    """As systemd leaves it: opened once, given its time-out, and closed without a word of stopping."""
    guest.run(f"watchdog -T {seconds} /dev/watchdog0; cd /sys/class/watchdog/watchdog0\n"
              f"until grep -q '^active' state && grep -q '^{seconds}$' timeout; do usleep 20000; done; killall -9 watchdog")


@case
def watchdog(boot):
    """a watchdog left armed by systemd is served through a pause longer than its time-out"""
    with boot("lethe.pause=6") as guest:
        guest.arm()
        guest.run("modprobe softdog")
        arm_watchdog(guest, 3)
        guest.hand_over("poweroff", before="export WATCHDOG_USEC=3000000 WATCHDOG_DEVICE=/dev/watchdog0")
        want_clean_end(guest)


@case
def watchdog_unnamed(boot):
    """the same when systemd says nothing of it, as before a poweroff"""
    with boot("lethe.pause=6") as guest:
        guest.arm()
        guest.run("modprobe softdog")
        arm_watchdog(guest, 3)
        guest.hand_over("poweroff", before="export WATCHDOG_USEC=0")
        want_clean_end(guest)


@case
def watchdog_hardware(boot):
    """the same with an emulated watchdog of an Intel board; left alone it does reset"""
    options = {"kernel": live.base("bookworm"), "load": ["i6300esb", "ext4"], "args": ["-device", "i6300esb"]}
    with boot("lethe.pause=6", **options) as guest:
        guest.arm()
        arm_watchdog(guest, 3)
        guest.hand_over("poweroff", before="export WATCHDOG_USEC=3000000")
        want_clean_end(guest)
    with boot(**options) as guest:
        arm_watchdog(guest, 2)
        want_end(guest, "reboot", 20)


@case
def watchdog_second(boot):
    """the first watchdog is idle; the second one, which a daemon served until it was killed, is served through a pause, in either way"""
    options = {"kernel": small.KERNEL_13, "load": ["softdog", "i6300esb"], "args": ["-device", "i6300esb"]}
    for end in (lambda guest: guest.hand_over("poweroff"), lambda guest: guest.send("lethe now --deadline=1000 &")):
        with boot("lethe.pause=15", **options) as guest:
            guest.arm()
            guest.run("busybox watchdog -T 10 -t 1 -F /dev/watchdog1 >/dev/null 2>&1 &")
            guest.run("until grep -q '^active' /sys/class/watchdog/watchdog1/state; do usleep 20000; done")
            want(guest.run("cat /sys/class/watchdog/watchdog0/state") == "inactive", "the first is not idle")
            end(guest)
            want_end(guest, "poweroff")


@case
def keys_pressed(boot):
    """Ctrl-Alt-Delete, switched on as systemd-shutdown does from 257 on, and SysRq: no key resets the machine while it ends"""
    for end in (lambda guest: guest.hand_over("poweroff"), lambda guest: guest.send("lethe now --deadline=1000 &")):
        with boot("lethe.pause=6") as guest:
            guest.arm()
            guest.run("echo 1 >/proc/sys/kernel/ctrl-alt-del; echo 1 >/proc/sys/kernel/sysrq")
            plant(guest, "shm:4M")
            end(guest)
            wait_said(guest, "nothing is left")
            guest.press("ctrl", "alt", "delete")
            guest.press("alt", "sysrq", "b")
            want_end(guest, "poweroff")
            want_gone(guest, ["shm"])
    for keys in (("ctrl", "alt", "delete"), ("alt", "sysrq", "b")):
        with boot() as guest:
            guest.run("echo 1 >/proc/sys/kernel/ctrl-alt-del; echo 1 >/proc/sys/kernel/sysrq")
            guest.press(*keys)
            want_end(guest, "reboot", 20)


@case
def pause(boot):
    """lethe.pause=1 and a file for two more wait between the summary and the end, lethe.verbose tells each step, also where the kernel's log takes few lines"""
    with boot("loglevel=7 lethe.pause=1 lethe.verbose", log="printk.devkmsg=ratelimit") as guest:
        guest.arm()
        guest.run("echo 2 >/run/initramfs/pause")
        plant(guest, "rw:1M")
        guest.hand_over("poweroff")
        want_end(guest, "poweroff")
        want("suppressed" not in guest.console, "lines are lost", guest)
        want(len(guest.said) > 15 and any("erase /oldroot/oldroot/dev/shm" in line for line in guest.said), "it is not verbose", guest)
        began, ended = (float(re.search(rf"\[ *([0-9.]+)\] [^\n]*{words}", guest.console)[1]) for words in ("drop_caches: 3", "reboot: "))
        want(ended - began >= 2.9, "it did not pause", guest)
        want_gone(guest, ["rw"])


@case
def quiet(boot):
    """on a console that shows no kernel messages the one line is seen all the same, once"""
    with boot("quiet loglevel=2") as guest:
        guest.arm()
        end_clean(guest, "rw:1M")


@case
def bad_argument(boot):
    """a kernel argument that Lethe does not know is told and changes nothing"""
    with boot("lethe.paws=9") as guest:
        guest.arm()
        plant(guest, "rw:1M")
        guest.hand_over("poweroff")
        want_end(guest, "poweroff")
        want(any("lethe.paws=9" in line for line in guest.said), f"it said: {guest.said}", guest)
        want_gone(guest, ["rw"])


# -- the kill switch beside a PID 1 that is no systemd ---------------------------------------------------------------------------

def want_emergency(guest, keys, *plants):
    """It has switched off, with so many keys wiped first, and nothing is left in RAM, keys least of all."""
    want_end(guest, "poweroff", 100)
    want(any(f"(emergency beside PID 1: {keys} keys " in line for line in guest.said), f"it said: {guest.said}", guest)
    want(not any("could not be wiped" in line for line in guest.said), f"it said: {guest.said}", guest)
    want_gone(guest, kinds_of(plants), key=small.encrypted_disk() / "key")


def boot_with_tools(boot, disks=1):
    return boot(tools=True, ram="768M", disks=[small.blank_disk()] * disks)


PLAIN = "cryptsetup open --type plain -c aes-xts-plain64 -s 512 --key-file $fw/opt/lethe.key/raw /dev/vdb plain\n"


def keyboard_bytes(guest):
    """How many bytes the keyboard has sent; each is an interrupt, and a key has at least two."""
    return sum(map(int, guest.run("awk '/i8042/ { print $2, $3 }' /proc/interrupts").split()))


def press_others(guest, n):
    """Presses other keys until so many have reached the kernel: QEMU drops some of them on a busy host."""
    names = [*"qwertyuiopasdfghjklzxcvbnm", "ret", "spc", "f1", "kp_5"]
    until, deadline = keyboard_bytes(guest) + 2 * n, time.monotonic() + HANG
    while keyboard_bytes(guest) < until:
        want(time.monotonic() < deadline, "the keys do not reach the kernel", guest)
        for name in names:
            guest.qmp("send-key", keys=[{"type": "qcode", "data": name}], **{"hold-time": 1})


@long_case
def hotkey(boot):
    """lethe watch --key: other keys never wake it, nor does a short press; held, it fires, from a keyboard plugged in later too"""
    chord = [{"type": "qcode", "data": name} for name in ("ctrl", "alt", "f12")]
    for late in (False, True):
        with boot(load=["evdev", "virtio_input"], args=["-device", "pcie-root-port,id=later"]) as guest:
            guest.arm()
            plant(guest, "rw:1M")
            said = guest.run("lethe watch --key=ctrl+hyper; echo $?")
            want("can't be used" in said and said.endswith("2"), said)
            pid = guest.run("/run/initramfs/lethe watch --key=ctrl+alt+f12 --hold=3000 </dev/null >/run/said 2>&1 & echo $!").split()[-1]
            guest.run(f"until grep -q poll /proc/{pid}/wchan && grep -q 'VmLck:.* [1-9]' /proc/{pid}/status; do sleep 0.1; done", timeout=60)
            if late:
                guest.qmp("device_add", driver="virtio-keyboard-pci", id="keyboard", bus="later")
                guest.run("until grep -q 'QEMU Virtio Keyboard' /proc/bus/input/devices; do sleep 0.1; done", timeout=60)
                time.sleep(1)
            else:
                switches = f"awk '/ctxt_switches/ {{ n += $2 }} END {{ print n }}' /proc/{pid}/status"
                before = int(guest.run(switches))
                press_others(guest, 10_000)
                woken = int(guest.run(switches)) - before
                print(f"     10,000 other keys: {woken} context switches of the watcher", flush=True)
                want(woken == 0, "other keys woke it")
                guest.qmp("send-key", keys=chord, **{"hold-time": 100})
                time.sleep(5)
                want("kill switch" not in guest.console, "a short press fired it", guest)
            guest.qmp("input-send-event", events=[{"type": "key", "data": {"down": True, "key": key}} for key in chord])
            want_end(guest, "poweroff", 120)
            want("kill switch: the key" in guest.console, "it ended for another reason", guest)
            want_gone(guest, ["rw"])


# dm-crypt without a uuid on a device of the device mapper that can be suspended.
VERA = ('echo "0 200000 linear /dev/vdb 0" | dmsetup create lazy\n'
        "key=$(od -An -v -tx1 $fw/opt/lethe.key/raw | tr -d ' \\n')\n"
        'echo "0 200000 crypt aes-xts-plain64 $key 0 /dev/mapper/lazy 0" | dmsetup create vera\n')


@case
def now_without_uuid(boot):
    """lethe now: a dm-crypt device that has no uuid, as VeraCrypt makes them, on a disk that hangs"""
    with boot_with_tools(boot) as guest:
        guest.do(stacks.HELPERS + VERA + "mkfs.ext4 -q /dev/mapper/vera; mount /dev/mapper/vera /mnt; sync")
        guest.arm()
        plant(guest, "shm:4M")
        guest.run("echo lost >/mnt/file; dmsetup suspend --noflush --nolockfs lazy")
        guest.send("lethe now &")
        want_emergency(guest, 1, "shm")


@case
def now_in_flight(boot):
    """the same with a write in flight, which waits for a device-mapper device that is suspended: that is made to fail it"""
    with boot_with_tools(boot) as guest:
        guest.do(stacks.HELPERS + VERA)
        guest.arm()
        plant(guest, "shm:4M")
        guest.run("dmsetup suspend --noflush --nolockfs lazy\n"
                  "dd if=/dev/zero of=/dev/mapper/vera bs=4k count=1 conv=fsync >/dev/null 2>&1 &\n"
                  "until grep -q '^State:.D' /proc/$!/status; do usleep 20000; done")
        guest.send("lethe now &")
        want_emergency(guest, 1, "shm")


@case
def now_verity(boot):
    """lethe now: a medium that dm-verity checks has no key, and is left alone at first"""
    with boot_with_tools(boot) as guest:
        guest.do(stacks.HELPERS + stacks.named("verity").setup)
        guest.arm()
        plant(guest, "shm:4M")
        guest.send("cd /tmp; lethe now &")  # not from /
        want_emergency(guest, 0, "shm")


@case
def now_swap(boot):
    """lethe now: PID 1 and secrets are swapped out to a volume that lies on dm-crypt: called back before its key goes"""
    with boot_with_tools(boot) as guest:
        guest.do(stacks.HELPERS + PLAIN + 'echo "0 200000 linear /dev/mapper/plain 0" | dmsetup create volume\n'
                 "mkswap /dev/mapper/volume; swapon /dev/mapper/volume; echo 200 >/proc/sys/vm/swappiness\n"
                 "cd /sys/fs/cgroup; mount -t cgroup2 cgroup .; cd .; echo +memory >cgroup.subtree_control; mkdir init.scope; echo 1 >init.scope/cgroup.procs")
        guest.arm()
        plant(guest, "shm:24M", "run:4M")
        guest.run("for i in $(seq 20); do echo 8M >/sys/fs/cgroup/init.scope/memory.reclaim || true; done", timeout=60)
        used = guest.run("cat /proc/swaps; grep VmSwap /proc/1/status")
        want(int(used.split()[8]) > 8192 and int(used.split()[-2]) > 0, f"not enough is swapped out:\n{used}")
        guest.send("lethe now &")
        want_emergency(guest, 0, "shm", "run")


@contextmanager
def more_disk(boot, controller, device):
    """A guest with tools and one disk more, on a controller of its own: `guest.more`."""
    with tempfile.TemporaryDirectory() as folder:
        disk = lab.Stick(small.blank_disk(), "more", device)
        with boot(tools=True, ram="768M", args=[*controller, *disk.args(Path(folder))]) as guest:
            guest.more = disk
            guest.do(stacks.HELPERS + "modprobe -a virtio_scsi sd_mod dm_multipath dm_round_robin")
            yield guest


SCSI = ["-device", "virtio-scsi-pci,id=vs"], "scsi-hd,bus=vs.0"
WAIT = "i=0; until [ -b /dev/{0} ] || [ $((i += 1)) = 50 ]; do sleep 0.2; done\n"


def now_while_writing(guest):
    """Much is being written to /mnt, over a disk that takes 1 MiB a second, when the switch is fired."""
    guest.arm()
    plant(guest, "shm:4M")
    guest.slow_down(guest.more, 1 << 20)
    guest.send("(dd if=/dev/urandom of=/mnt/much bs=1M count=48; sync) >/dev/null 2>&1 & sleep 2")
    time.sleep(6)
    guest.send("lethe now &")
    want_emergency(guest, 1, "shm")


@long_case
def now_container(boot):
    """lethe now while much is written into a container in a file on a slow disk: the disk below the file is set offline"""
    with more_disk(boot, *SCSI) as guest:
        guest.do(stacks.HELPERS + WAIT.format("sda") + "mkdir -p /run/disk; mkfs.ext4 -q /dev/sda; mount /dev/sda /run/disk; "
                 + "truncate -s 300M /run/disk/container; losetup /dev/loop5 /run/disk/container; "
                 + PLAIN.replace("/dev/vdb plain", "/dev/loop5 home") + "mkfs.ext4 -q /dev/mapper/home; mount /dev/mapper/home /mnt; sync", timeout=120)
        now_while_writing(guest)


@long_case
def now_nvme(boot):
    """lethe now while much is written to dm-crypt on a slow NVMe disk, which has no word for offline: its controller is reset"""
    with more_disk(boot, [], "nvme,serial=more") as guest:
        guest.do(stacks.HELPERS + WAIT.format("nvme0n1") + PLAIN.replace("/dev/vdb plain", "/dev/nvme0n1 home")
                 + "mkfs.ext4 -q /dev/mapper/home; mount /dev/mapper/home /mnt; sync", timeout=120)
        now_while_writing(guest)


def open_multipath(guest):
    guest.do(stacks.HELPERS + WAIT.format("sda") + """
echo "0 $(cat /sys/block/sda/size) multipath 1 queue_if_no_path 0 1 1 round-robin 0 1 1 8:0 1000" | dmsetup create --noudevsync mp
luks_format luks2 --pbkdf pbkdf2 /dev/mapper/mp; luks_open /dev/mapper/mp home; mkfs.ext4 -q /dev/mapper/home; mount /dev/mapper/home /mnt""", timeout=60)
    guest.arm()
    plant(guest, "cache+home:4M:/mnt", "shm:1M")
    guest.run("sync")
    guest.unplug("more")
    guest.run("(echo x >/mnt/x; sync) >/dev/null 2>&1 & sleep 3")


@case
def now_multipath(boot):
    """lethe now: LUKS on a multipath device that queues, and whose only path has gone; arm does not hang on it either"""
    with more_disk(boot, *SCSI) as guest:
        open_multipath(guest)
        guest.run("lethe arm", timeout=30)
        guest.send("lethe now &")
        want_emergency(guest, 1, "shm")  # the shell that is PID 1 reaps nobody: registers of who wrote the cache may stay, and are told


@case
def multipath(boot):
    """a clean end with the same: nothing waits for a path that does not come back"""
    with more_disk(boot, *SCSI) as guest:
        open_multipath(guest)
        guest.hand_over("poweroff")
        want_end(guest, "poweroff", 100)
        seconds = [float(m[1]) for line in guest.said if (m := re.search(r"poweroff after ([0-9.]+) s", line))]
        want(seconds and seconds[0] < 30, f"it took {seconds} s: {guest.said}", guest)
        want_gone(guest, ["cache+home", "shm"], key=small.encrypted_disk() / "key")


@case
def now_swap_file(boot):
    """lethe now: PID 1 is swapped out to a file on dm-crypt, whose key goes last"""
    with boot_with_tools(boot) as guest:
        guest.do(stacks.HELPERS + PLAIN + "mkfs.ext4 -q /dev/mapper/plain; mkdir -p /mnt; mount /dev/mapper/plain /mnt\n"
                 "dd if=/dev/zero of=/mnt/swap bs=1M count=64; mkswap /mnt/swap; swapon /mnt/swap; echo 200 >/proc/sys/vm/swappiness\n"
                 "cd /sys/fs/cgroup; mount -t cgroup2 cgroup .; cd .; echo +memory >cgroup.subtree_control; mkdir init.scope; echo 1 >init.scope/cgroup.procs")
        guest.arm()
        plant(guest, "shm:40M", "run:4M", "names")
        guest.run("for i in $(seq 20); do echo 8M >/sys/fs/cgroup/init.scope/memory.reclaim || true; done", timeout=60)
        want(int(guest.run("awk 'NR == 2 { print $4 }' /proc/swaps")) > 10000, "little was swapped out", guest)
        guest.send("lethe now &")
        want_emergency(guest, 0, "shm", "run", "names")


@case
def now_confined(boot):
    """lethe now under a filter on system calls, as from a udev rule or a sandboxed service: the watcher does it"""
    for how in ("errno", "kill"):
        with boot() as guest:
            guest.arm()
            pid = guest.run("/run/initramfs/lethe watch </dev/null >/run/said 2>&1 & echo $!").split()[-1]
            guest.run(f"until [ -p /run/initramfs/fire ] && grep -q 'VmLck:.* [1-9]' /proc/{pid}/status; do usleep 50000; done", timeout=60)
            want(guest.run(f"unshare -pf confine {how} lethe now; echo $?")[-1] != "0", "a pid namespace of its own ends the machine", guest)
            plant(guest, "shm:4M")
            guest.send(f"confine {how} lethe now >/dev/null 2>&1 &")
            want_emergency(guest, 0, "shm")
            want(any("kill switch: asked for" in line for line in guest.said), f"it said: {guest.said}", guest)


@case
def now_unreaped(boot):
    """lethe now: PID 1 reaps no children, so the registers of those that were killed stay, and nothing else; it is said"""
    with boot() as guest:
        guest.arm()
        plant(guest, "heap:4M", "memfd:4M", "shm:4M")
        guest.send("lethe now &")
        want_end(guest, "poweroff", 100)
        left = guest.scan(["heap", "memfd", "shm"])
        want(left["shm"] == 0 and max(left.values()) == 1, f"left in RAM: {left}", guest)
        want(any("registers of 2 dead processes" in line for line in guest.said) and "NOT all is gone" in guest.said[-1], f"it said: {guest.said}", guest)


@case
@ported
def now_closed_init(boot):
    """lethe now: the memory of PID 1 is closed (Yama's ptrace_scope 3): it is said"""
    with boot() as guest:
        guest.arm()
        plant(guest, "shm:1M")
        guest.run("echo 3 >/proc/sys/kernel/yama/ptrace_scope")
        guest.send("lethe now &")
        want_end(guest, "poweroff", 100)
        want_gone(guest, ["shm"])
        want(any("left: the memory of PID 1" in line for line in guest.said) and "NOT all is gone" in guest.said[-1], f"it said: {guest.said}", guest)


@case
@ported
def now_inherits(boot):
    """lethe now from a shell that has a nameless file of RAM open, on one processor, in a chroot and in namespaces of its own"""
    with boot() as guest:
        guest.arm()
        plant(guest, "file+held:4M:/tmp", "shm:4M", "rw:1M", "sysv:1M")
        guest.do("mkdir -p /home/jail\ncp /sbin/lethe /home/jail/lethe")
        want(guest.run("chroot /home/jail /lethe watch 2>&1; echo $?")[-1] == "2", "a watcher begins in a chroot", guest)
        guest.send("(exec 9</tmp/lethe-file+held; rm /tmp/lethe-file+held; exec taskset 1 unshare -i -n chroot /home/jail /lethe now) &")
        want_emergency(guest, 0, "file+held", "shm", "rw", "sysv")


@case
@ported
def now_three_times(boot):
    """lethe now three times at once: they do not stop each other, nor take each other's work for failures"""
    with boot(disk=True) as guest:
        guest.arm()
        open_disk(guest)
        plant(guest, "shm:4M")
        guest.send("for i in 1 2 3; do setsid lethe now & done")
        want_emergency(guest, 1, "shm")


@case
def now_watchdog_of_init(boot):
    """lethe now serves a watchdog that PID 1 has open, and so nobody else can open, through a pause longer than its time-out"""
    with boot("lethe.pause=12") as guest:
        guest.arm()
        guest.run("modprobe softdog")
        arm_watchdog(guest, 6)
        plant(guest, "shm:4M")
        guest.send("exec 8>/dev/watchdog0; lethe now --deadline=1000 &")
        want_emergency(guest, 0, "shm")


# -- what a daemon serves, and what takes long --------------------------------------------------------------------------------


MDMON = """export IMSM_NO_PLATFORM=1 IMSM_DEVNAME_AS_SERIAL=1 MDADM_NO_SYSTEMCTL=1 MDADM_NO_UDEV=1; modprobe raid1; mkdir -p /run/mdadm /mnt
mdadm -C /dev/md/imsm0 -e imsm -n 2 /dev/vdb /dev/vdc --run; mdadm -C /dev/md/vol0 -n 2 -l 1 -z 60M --assume-clean /dev/md/imsm0 --run; sleep 2
c=$(basename $(readlink /dev/md/imsm0)); kill -9 $(pidof mdmon); sleep 1; (exec -a @mdmon /usr/sbin/mdmon --offroot $c); sleep 2
mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 /dev/md/vol0; mount /dev/md/vol0 /mnt; echo data >/mnt/file; sync
for i in $(seq 60); do [ $(cat /sys/block/md126/md/array_state) = clean ] && break; sleep 1; done; echo more >>/mnt/file"""


@case
def mdmon(boot):
    """a RAID1 with Intel's metadata: mdmon lives until the array is stopped, array and file system are clean"""
    with boot_with_tools(boot, disks=2) as guest:
        guest.arm()
        guest.run(stacks.HELPERS + MDMON, timeout=200, check=False)
        want(guest.run("cat /mnt/file").split() == ["data", "more"], "the array is not there")
        end_clean(guest, "shm:1M", timeout=200)
        want("needs_recovery" not in plain_disk_state(guest), "the file system was not closed clean", guest)


def want_ntfs_clean(boot, end):
    with boot_with_tools(boot) as guest:
        guest.do(stacks.HELPERS + "modprobe fuse; mkntfs -Q -F /dev/vdb >/dev/null 2>&1; mkdir -p /run/stick; (exec -a @ntfs-3g /usr/bin/ntfs-3g /dev/vdb /run/stick)\n"
                 "truncate -s 64M /run/stick/persistence; mkfs.ext4 -q /run/stick/persistence; losetup /dev/loop5 /run/stick/persistence; mount /dev/loop5 /mnt; echo data >/mnt/file; sync", timeout=100)
        guest.arm()
        plant(guest, "cache+home:4M:/mnt", "shm:1M")
        end(guest)
        want_clean_end(guest, timeout=200)
        want_gone(guest, ["cache+home", "shm"])
        with tempfile.TemporaryDirectory(dir="/dev/shm") as tmp:
            guest.disks[0].export(Path(tmp) / "disk")
            subprocess.run(["ntfscat", "-f", Path(tmp) / "disk", "persistence"], stdout=open(Path(tmp) / "image", "wb"), check=True)
            check = subprocess.run(["e2fsck", "-fn", Path(tmp) / "image"], capture_output=True, text=True)
            want(not check.returncode and "journal" not in check.stdout, f"e2fsck: {check.stdout}", guest)


@case
def ntfs(boot):
    """an ext4 in a file on NTFS: ntfs-3g lives until both are unmounted, and both are clean"""
    want_ntfs_clean(boot, lambda guest: guest.hand_over("poweroff"))


@case
def ntfs_beside(boot):
    """the same by `lethe end`, beside a PID 1 that is not systemd"""
    def end(guest):
        guest.become_busybox_init("::shutdown:/run/initramfs/lethe end poweroff")
        guest.send("poweroff")
    want_ntfs_clean(boot, end)


@long_case
def slow_disk(boot):
    """a disk that takes 50 kB/s steadily: all is written, however long it takes, and RAM and other keys do not wait for it"""
    with boot("lethe.verbose", disk=True) as guest:
        guest.arm()
        open_disk(guest)
        plant(guest, "shm:1M", "rw:1M")
        guest.run("echo 90 >/proc/sys/vm/dirty_ratio; echo 80 >/proc/sys/vm/dirty_background_ratio; echo 360000 >/proc/sys/vm/dirty_expire_centisecs")
        guest.slow_down(guest.disk, 50_000)
        guest.run("dd if=/dev/urandom of=/mnt/video bs=1M count=5 2>/dev/null", timeout=60)
        guest.hand_over("poweroff")
        want_end(guest, "poweroff", 400)
        said = "\n".join(guest.said)
        want("nothing is left" in said and said.index("erase /oldroot/oldroot/dev/shm") < said.index("wait until dm-0 is written"), f"it said: {said}", guest)
        want_gone(guest, ["shm", "rw"], key=small.encrypted_disk() / "key")
        want_disk_clean(guest, ("video", 5 << 20))


# -- commands -----------------------------------------------------------------------------------------------------------------


@case
@ported
def commands(boot):
    """arm, disarm and status: exit statuses, JSON, twice in a row, and undone"""
    with boot() as guest:
        def status_of(command):
            return int(guest.run(f"{command} >/dev/null 2>&1; echo $?"))

        mounts = guest.run("cat /proc/self/mountinfo")
        for command, expected in [("lethe status", 1), ("lethe disarm", 0), ("lethe arm", 0), ("lethe status", 0), ("lethe arm", 0),
                                  ("lethe arm --nonsense", 2), ("lethe nonsense", 2), ("lethe", 2), ("lethe --help", 0),
                                  ("lethe plan", 0), ("lethe shutdown", 2)]:
            got = status_of(command)
            want(got == expected, f"{command}: exit status {got} instead of {expected}")
        armed = guest.run("grep -c /run/initramfs /proc/self/mountinfo")
        want(armed == "2", f"armed twice there are {armed} mounts at /run/initramfs instead of 2")
        status = json.loads(guest.run("lethe status --json"))
        want(status["ready"] is True and status["problems"] == [], f"status: {status}")
        seen = json.loads(guest.run("lethe status --json --verify-memory-clearing"))["memory_clearing"]
        want(seen == "zero", f"the kernel clears, but status sees {seen}")
        want({"/run", "/run/live/overlay", "/dev/shm", "/tmp"} <= {fs["path"] for fs in status["erases"]}, f"status: {status}")
        devices = [(d["role"], d["name"], d["type"]) for d in status["devices"]]
        want(devices == [("medium", "loop0", "squashfs"), ("medium", "vda", "ext4")], f"status: {devices}")
        armed = guest.run("grep ' /run/initramfs ' /proc/self/mountinfo")
        want("- ramfs lethe" in armed or "noswap" in armed, f"the program can be swapped out: {armed}")
        for command, expected in ("lethe arm", 2), ("lethe status", 1):
            got = status_of(f"unshare -m {command}")
            want(got == expected, f"{command} in a mount namespace of its own: exit status {got} instead of {expected}")
        guest.run("mount -o remount,noexec /run/initramfs")
        want(status_of("lethe status") == 1, "noexec is no problem to it")
        guest.run("lethe disarm")
        left = guest.run("cat /proc/self/mountinfo")
        want(left == mounts, f"disarm leaves mounts behind:\n{left}\nbefore arm:\n{mounts}")
        want(status_of("lethe status") == 1, "disarmed and still ready")
        want(json.loads(guest.run("lethe status --json", check=False))["ready"] is False, "JSON says ready when disarmed")


# -- the runner ---------------------------------------------------------------------------------------------------------------


def main():
    parser = cases.parser(__doc__)
    parser.add_argument("--lethe", type=Path, default=lab.HERE.parent.parent / "build/init/lethe", help="the program under test")
    parser.add_argument("--memory", default="init_on_free=1", help="what the kernel is told about clearing memory (%(default)s)")
    parser.add_argument("--skipping", type=Path, help="the build that can leave steps out (lethe-skipping beside the program)")
    parser.add_argument("--again", type=int, help="each case named so many times; without a name one system in a storm on a default kernel, ended so many times")
    parser.add_argument("--jobs", type=int, default=1, help="guests at a time (%(default)s)")
    parser.add_argument("--all", action="store_true", help="the cases that take minutes, too")
    args = parser.parse_args()
    global verbose, skipping
    verbose = args.verbose
    skipping = (args.skipping or args.lethe.with_name("lethe-skipping")).resolve()
    known = CASES if lab.MACHINE is lab.Amd64 else [c for c in CASES if c in PORTED]
    chosen = [c for c in known if cases.is_chosen(c.__name__, args.cases) and (args.cases or args.all or c not in LONG)]
    if not chosen:
        parser.error("no such case")
    boot = functools.partial(small.booted, args.lethe.resolve(), memory=args.memory)
    tally = cases.Tally(Path(sys.argv[0]).stem.removeprefix("test_"), args.list, args.jobs)
    if args.again and args.cases:
        chosen *= args.again
    elif args.again:
        tally.passed, tally.failed = again(boot, args.again)
        chosen = []
    for run in chosen:
        tally.run(run.__name__, cases.about(run), functools.partial(run, boot))
    return tally.end()


if __name__ == "__main__":
    sys.exit(main())
