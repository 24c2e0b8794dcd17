#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fault at every call of the end: test_fault.py [--faults FILE] [--sample N] [--all] [--jobs N] [--list] [SCENE/PLACE:WHAT...]

A small live system with a union, LUKS, swap, a loop and two users' processes is booted and planted once, and kept as it is then. Each fault goes
back to that moment and ends the machine by lethe-faults (faults.c), in which one call fails with an errno, hangs, or ends its process, once in
each stage. Whatever it is, the machine is off in its time; what is left in RAM is told; a persistence that is not clean after a clean end is told.

Which calls there are is seen from an end without a fault. A sample of them that changes with the commit is taken, or all.
"""

import argparse
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import lab
import small

SCENES = {"clean": "exec handover poweroff --timeout=90000000us --log-level=6 --log-target=kmsg", "now": "/run/initramfs/lethe now --deadline=60 &"}
BOUND = {"clean": 420, "now": 240}  # seconds of a loaded host; the deadlines in them are 180 and 60
PLANTS = ["rw:2M", "shm:2M", "run:1M", "unlinked:1M", "mapped:1M", "memfd:1M", "sysv:1M", "mqueue", "keyring", "names:500", "pipe", "socket"]
STRANGERS = ["heap:2M", "environ", "stack"]  # another user's
LOOPS, CACHE = ["file+loop:1M:/home"], ["cache:2M:/mnt"]
KINDS = [p.split(":")[0] for p in PLANTS + STRANGERS + LOOPS + CACHE]
MEMORY = ("malloc", "calloc", "realloc", "mmap")
EIO, ENOMEM, EBUSY, ENOSYS = 5, 12, 16, 38
ERRORS = dict.fromkeys(MEMORY, (ENOMEM,)) | {"umount2": (EIO, EBUSY), "ioctl": (EIO, EBUSY), "syscall": (EIO, ENOSYS), "fork": (11, ENOMEM), "close": ()}
SETUP = """modprobe -a qemu_fw_cfg dm_crypt xts algif_skcipher aesni_intel zram
cryptsetup open --key-file /sys/firmware/qemu_fw_cfg/by_name/opt/lethe.passphrase/raw /dev/vdb crypt
mkdir -p /mnt /home
mount /dev/mapper/crypt /mnt
echo 8M >/sys/block/zram0/disksize
mkswap /dev/zram0; swapon /dev/zram0
truncate -s 8M /tmp/a; mkfs.ext4 -q /tmp/a; mount -o loop /tmp/a /home"""


@contextmanager
def prepared(program, kernel=small.KERNEL, memory="", **options):
    with small.booted(program, memory=memory, ram="320M", disk=True, kernel=kernel, **options) as guest:
        guest.do(SETUP.replace("vdb", "vda" if options.get("start") else "vdb"), timeout=120)
        guest.arm()
        guest.run("plant " + " ".join(PLANTS + LOOPS + CACHE), timeout=120)
        guest.run("echo user:x:1000:1000::/:/bin/sh >/etc/passwd; su user -c 'plant " + " ".join(STRANGERS) + "'", timeout=120)
        found = guest.scan(KINDS, small.encrypted_disk() / "key")
        if not all(found.values()):
            raise lab.Failure(f"planted, but not in RAM: {found}")
        guest.save()
        yield guest


def is_unclean(guest):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as tmp:
        image = small.decrypted(guest.disk, Path(tmp))
        check = subprocess.run(["e2fsck", "-fn", image], capture_output=True, text=True)
        state = subprocess.run(["dumpe2fs", "-h", image], capture_output=True, text=True).stdout
        return check.returncode or "needs_recovery" in state


def end(guest, scene, fault=None):
    """One end: how it went in a word, and what was wrong with it."""
    guest.restore()
    guest.send(f"export LETHE_FAULT={fault}\n{SCENES[scene]}" if fault else SCENES[scene])
    return judge(guest, scene)


def judge(guest, scene):
    began = time.monotonic()
    try:
        ended = guest.wait_end(BOUND[scene])
    except lab.Failure as failure:
        return "stays on", [str(failure)]
    found = {kind: n for kind, n in guest.scan(KINDS, small.encrypted_disk() / "key").items() if n}
    says_gone = any("nothing is left" in line or "nothing else is known to be left" in line for line in guest.said)
    says_left = any("NOT all is gone" in line or line.startswith("left: ") for line in guest.said)
    problems = []
    if ended not in ("poweroff", "reboot"):
        problems.append(f"it ended by {ended}")
    if found and (says_gone or not says_left):
        problems.append(f"unsaid: in RAM are {found}")
    if scene == "clean" and says_gone and is_unclean(guest):
        problems.append("unsaid: the persistence is not clean")
    if not says_gone and not says_left:
        problems.append("it said nothing of what it did")
    word = "told" if says_left else "gone"
    return f"{ended} after {time.monotonic() - began:.0f} s, {word}{f', left {found}' if found else ''}", problems


def said(guest):
    return [line.strip() for line in guest.console.splitlines() if "lethe" in line or "Kernel panic" in line][-14:]


def places(guest, scene):
    """What an end without a fault goes through: [(place, name of the call)]."""
    word, problems = end(guest, scene, "list")
    if problems or (scene == "clean" and ", gone" not in word):  # a shell as PID 1 reaps nobody, which is told
        raise lab.Failure(f"{scene}: an end without a fault: {word}: {problems}\n" + "\n".join(said(guest)))
    return sorted(set(re.findall(r"lethe-fault: place (0x[0-9a-f]+) (\w+)", guest.console)))


def faults_of(scene, listed):
    for place, name in listed:
        for what in (*ERRORS.get(name, (EIO,)), *(() if name in MEMORY or name == "close" else ("hang", "kill"))):
            yield scene, f"{place}:{what}", name


def describe(program, fault):
    place = hex(int(fault.split(":")[0], 16) - 1)
    return " ".join(subprocess.run(["addr2line", "-fse", program, place], capture_output=True, text=True).stdout.split())


class Results:
    def __init__(self):
        self.lock, self.passed, self.failed = threading.Lock(), 0, 0

    def add(self, title, word, problems, lines):
        with self.lock:
            print(f"fault: {'FAIL' if problems else 'ok  '} {title}: {word}", *problems, *(lines if problems else []), sep="\n     ", flush=True)
            self.failed += bool(problems)
            self.passed += not problems


def carry_out(guest, program, wanted, results):
    """Takes faults off the list, which the jobs share, until there is none; one that was not reached is no result."""
    while wanted:
        try:
            scene, fault, name = wanted.pop()
        except IndexError:
            return
        try:
            word, problems = end(guest, scene, fault)
        except (lab.Failure, subprocess.CalledProcessError) as failure:
            word, problems = "broke off", [str(failure)]
        if "lethe-fault: " not in guest.console:
            word += " (not reached)"
        results.add(f"{scene}/{fault} {name} in {describe(program, fault)}", word, problems, said(guest))


def choose(options, guest):
    if options.faults_wanted:
        return [(*one.split("/"), "") for one in options.faults_wanted]
    every = [one for scene in options.scene or SCENES for one in faults_of(scene, places(guest, scene))]
    if options.all:
        return every
    commit = subprocess.run(["git", "-C", lab.HERE, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip() or "none"
    # A hang costs its whole deadline: one in five.
    slow, quick = [[one for one in every if (one[1].endswith("hang")) == is_slow] for is_slow in (True, False)]
    draw = random.Random(options.seed or commit)
    n = options.sample // 5
    return draw.sample(slow, n) + draw.sample(quick, options.sample - n)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=Path, default=lab.HERE.parent.parent / "build/init/lethe-faults", help="the build in which calls fail")
    parser.add_argument("--sample", type=int, default=10, metavar="N", help="so many of the faults (%(default)s)")
    parser.add_argument("--seed", help="what the sample is drawn by (the commit)")
    parser.add_argument("--all", action="store_true", help="each of them, which takes hours")
    parser.add_argument("--scene", action="append", choices=SCENES, help="one of the ends alone")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="guests side by side (%(default)s)")
    parser.add_argument("--list", action="store_true", help="print what would be done")
    parser.add_argument("faults_wanted", nargs="*", metavar="SCENE/PLACE:WHAT")
    options = parser.parse_args()
    results = Results()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        program = Path(folder) / "lethe"
        subprocess.run(["strip", "-o", program, options.faults], check=True)
        guests = [stack.enter_context(prepared(program))]
        wanted = choose(options, guests[0])
        if options.list:
            print("\n".join(f"{scene}/{fault} {name} in {describe(options.faults, fault)}" for scene, fault, name in wanted))
            return 0
        guests += [stack.enter_context(prepared(program)) for _ in range(options.jobs - 1)]
        threads = [threading.Thread(target=carry_out, args=(guest, options.faults, wanted, results)) for guest in guests]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print(f"{results.passed} passed, {results.failed} failed")
    return 1 if results.failed or not results.passed else 0


if __name__ == "__main__":
    sys.exit(main())
