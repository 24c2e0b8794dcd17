#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps that say they are done and do nothing: test_liars.py [--lethe FILE] [--list] [CASE...]

A build for tests (lethe-skipping) leaves a step out as if it were done. Each time either nothing of what was planted is left, since another
step catches it, or Lethe itself says that not all is gone. A case is one kernel, planted once and ended once for each step from that moment.
"""

import re
import sys

import small
import stacks
import test_small as t

t.CASES.clear()
t.LONG.clear()

# What a program, a file system, the kernel's objects and a device hold. The spared ones live until Lethe ends them.
PLANTS = ["rw:4M", "shm:2M", "run:1M", "file:1M", "file+dev:64K:/dev", "names", "links:500", "xattrs:500", "sysv:1M", "mqueue", "messages",
          "hugetlb", "keyring", "printk", "environ", "cache+luks:1M:/mnt", "cache+brd:1M:/ram"]
SPARED = ["heap:4M", "unlinked:1M", "mapped:1M", "memfd:1M", "sealed:1M", "huge", "pipe", "stack", "socket", "registers"]
SETTING = stacks.HELPERS + """modprobe -a brd zram btrfs wireguard dummy; luks_open /dev/vdb crypt; mount /dev/mapper/crypt /mnt
[ -b /dev/ram0 ] || mknod /dev/ram0 b 1 0; mkfs.ext4 -q /dev/ram0 8192; mkdir -p /ram; mount /dev/ram0 /ram
echo 16M >/sys/block/zram0/disksize; mkswap /dev/zram0; swapon /dev/zram0
/bin/ip link add wg0 type wireguard; [ -e /sys/class/net/dummy0 ] || /bin/ip link add dummy0 type dummy; /bin/ip link set dummy0 up"""

ANYWHERE, FREED, CLEARED = None, "", "init_on_free=1"  # on which kernels a step matters
# The steps that are left out together; what is told of it, or None where another step catches what is left; where it is tried.
LIARS = [
    ("stop-processes", r"process \d+ \(plant\) is still there", ANYWHERE),
    ("erase", r"[1-9]\d* KiB of files in /dev", ANYWHERE),  # all other RAM file systems are freed
    ("erase-device", r"ram0", ANYWHERE),
    ("erase-ipc", r"1 segments of shared memory", ANYWHERE),
    ("erase-ipc", r"1 queues of messages", ANYWHERE),
    ("erase-ipc", r"1 POSIX message queues", ANYWHERE),
    ("revoke-keys", r"[1-9]\d* keys of users", ANYWHERE),
    ("unmount,unmount-together", r"could not stop crypt", ANYWHERE),  # detached at the second try, and the key is wiped
    ("unmount,unmount-together,detach", r"could not unmount", ANYWHERE),
    ("swapoff", r"could not .*zram0", ANYWHERE),
    ("stop-device", r"could not .*crypt", ANYWHERE),
    ("wipe-key", None, ANYWHERE),  # the device is removed
    ("delete-links", r"the keys of 1 network interfaces", ANYWHERE),
    ("delete-links,network-down", r"[1-9]\d* network interfaces that are up", ANYWHERE),
    ("overwrite-log", r"what the kernel has logged", ANYWHERE),
    ("unload-module", r"the module btrfs", ANYWHERE),
    ("free-huge-pages", r"KiB of huge pages", ANYWHERE),
    ("drop-caches,drop-page-cache", None, ANYWHERE),  # they go with their file systems
    ("look-at-clearing", r"\d+ pages", FREED),  # says that the kernel clears what is freed
    ("overwrite-stacks", r"stacks of dead processes", ANYWHERE),
    ("refill-slabs", r"NOT all", FREED),
    ("fill-memory,fill-rest", r"free memory NOT zeroed", FREED),
    ("fill-rest", r"\d+ pages are not zero", FREED),
    ("fill-rest,read-back", r"KiB, which was not read back", FREED),
]


def setting(kernel, memory):
    return small.booted(t.skipping, memory=memory, kernel=kernel, disk=True, tools=True, ram="768M")


def prepare(guest):
    guest.do(SETTING, timeout=120)
    guest.arm()
    guest.run(f"(exec -a @plant /bin/plant {' '.join(SPARED)})", timeout=60)
    t.plant(guest, *PLANTS)
    t.want_there(guest, t.kinds_of(SPARED))


def end_with(guest, steps):
    """Ends it without these steps: (which kinds are left, what it said)."""
    guest.hand_over("poweroff", before=f"export LETHE_SKIP={steps}")
    t.want_end(guest, "poweroff")
    left = guest.scan(t.kinds_of(PLANTS + SPARED), key=small.encrypted_disk() / "key")
    return [kind for kind, n in left.items() if n], guest.said


def complaint(steps, told, left, said):
    """What is wrong with what was said, None if nothing is."""
    is_told = "NOT all is gone" in said[-1]
    if told and not (is_told and any(re.search(told, line) for line in said)):
        return f"without {steps} it did not tell '{told}', left: {left}; it said: {said}"
    if left and not is_told:
        return f"without {steps} this is left: {left}; it said: {said}"
    return None


def lie(kernel, memory, liars):
    with setting(kernel, memory) as guest:
        prepare(guest)
        guest.save()
        wrong, seen = [], {}
        for steps, told, where in [("none", None, ANYWHERE), *liars]:
            if where not in (ANYWHERE, memory):
                continue
            if steps not in seen:
                guest.restore() if seen else None
                seen[steps] = end_with(guest, steps)
                print(f"     without {steps}: left {seen[steps][0]}, {seen[steps][1]}", flush=True) if t.verbose else None
            wrong.append(complaint(steps, told, *seen[steps]))
        t.want(not any(wrong), "\n     ".join(filter(None, wrong)))


def together(*first):
    """All liars whose steps begin so, as one: each is told."""
    chosen = [liar for liar in LIARS if liar[0].startswith(first)]
    steps = ",".join(dict.fromkeys(steps for steps, _, _ in chosen))
    return [(steps, told, where) for _, told, where in chosen]


@t.case
def sample(boot):
    """steps that erase, left out together: what each leaves is told (Debian 12's kernel, init_on_free=1)"""
    lie(small.KERNEL, CLEARED, together("erase", "revoke", "delete", "unload", "free-huge"))


@t.long_case
def clearing_12(boot):
    """every step that erases, each left out once, on Debian 12's kernel with init_on_free=1"""
    lie(small.KERNEL, CLEARED, LIARS)


@t.long_case
def clearing_13(boot):
    """the same on Debian 13's"""
    lie(small.KERNEL_13, CLEARED, LIARS)


@t.long_case
def default_12(boot):
    """every step that erases, each left out once, on Debian 12's kernel with its defaults"""
    lie(small.KERNEL, FREED, LIARS)


@t.long_case
def default_13(boot):
    """the same on Debian 13's"""
    lie(small.KERNEL_13, FREED, LIARS)


if __name__ == "__main__":
    sys.exit(t.main())
