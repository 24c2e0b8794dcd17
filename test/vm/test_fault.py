#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fault at every call of the end: test_fault.py [--faults FILE] [--sample N] [--all] [--jobs N] [--list] [SCENE/PLACE:WHAT...]

A small live system with a union, LUKS, swap, a loop and two users' processes is booted and planted once, and kept as it is then. Each fault goes
back to that moment and ends the machine by lethe-faults (faults.c), in which one call fails with an errno, hangs, or ends its process, once in
each stage. Whatever it is, the machine is off in its time; what is left in RAM is told; a persistence that is not clean after a clean end is told.

Which calls there are is seen from an end without a fault. A sample of them that changes with the commit is taken, or all. Between the steps, the
screen's process and the deadman are ended by a SIGKILL too.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import lab
import small

SCENES = {"clean": "exec handover poweroff --timeout=90000000us --log-level=6 --log-target=kmsg", "now": "/run/initramfs/lethe now --deadline=60 &",
          "end": "/run/initramfs/lethe end poweroff &"}
BOUND = {"clean": 900, "now": 300, "end": 900}  # seconds of a loaded host; the deadlines in them are 180, once in each stage, and 60
PLANTS = ["rw:2M", "shm:2M", "run:1M", "unlinked:1M", "mapped:1M", "memfd:1M", "sysv:1M", "mqueue", "keyring", "names:500", "pipe", "socket"]
STRANGERS = ["heap:2M", "environ", "stack"]  # another user's
LOOPS, CACHE = ["file+loop:1M:/home"], ["cache:2M:/mnt"]
KINDS = [p.split(":")[0] for p in PLANTS + STRANGERS + LOOPS + CACHE]
MEMORY = ("malloc", "calloc", "realloc", "mmap")
EIO, ENOMEM, EBUSY, ENOSYS = 5, 12, 16, 38
ERRORS = dict.fromkeys(MEMORY, (ENOMEM,)) | dict.fromkeys(("umount2", "sys_umount", "ioctl", "sys_ioctl"), (EIO, EBUSY))
ERRORS |= {"syscall": (EIO, ENOSYS), "fork": (11, ENOMEM), "close": ()}
SETUP = """modprobe -a qemu_fw_cfg dm_crypt xts algif_skcipher aesni_intel zram
cryptsetup open --key-file /sys/firmware/qemu_fw_cfg/by_name/opt/lethe.passphrase/raw /dev/vdb crypt
mkdir -p /mnt /home
mount /dev/mapper/crypt /mnt
echo 8M >/sys/block/zram0/disksize
mkswap /dev/zram0; swapon /dev/zram0
truncate -s 8M /tmp/a; mkfs.ext4 -q /tmp/a; mount -o loop /tmp/a /home"""


@contextmanager
def prepared(program, scene, kernel=small.KERNEL, memory="", **options):
    options.setdefault("args", ["-device", "VGA"])  # so that there is a screen to draw on
    with small.booted(program, memory=memory, ram="320M", disk=True, kernel=kernel, **options) as guest:
        guest.do(SETUP.replace("vdb", "vda" if options.get("start") else "vdb"), timeout=120)
        guest.arm()
        if scene != "clean":  # the two others are beside PID 1
            guest.become_busybox_init()  # a shell as PID 1 reaps nobody, which is told at each end
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
    if scene != "now" and says_gone and is_unclean(guest):
        problems.append("unsaid: the persistence is not clean")
    if not says_gone and not says_left:
        problems.append("it said nothing of what it did")
    word = "told" if says_left else "gone" if says_gone else "silent"
    return f"{ended} after {time.monotonic() - began:.0f} s, {word}{f', left {found}' if found else ''}", problems


def said(guest):
    return [line.strip() for line in guest.console.splitlines() if "lethe" in line or "Kernel panic" in line][-14:]


def places(guest, scene):
    """What an end without a fault goes through: [(place, name of the call, who comes there)]."""
    for _ in range(2):  # on a loaded host one may come too late for a deadline
        word, problems = end(guest, scene, "list")
        if not problems and ", gone" in word:
            break
    else:
        raise lab.Failure(f"{scene}: an end without a fault: {word}: {problems}\n" + "\n".join(said(guest)))
    # Before there is a deadman, who fails, hangs or is ended is as if nobody had asked for an end.
    before, _, after = ("", "", guest.console) if scene == "clean" else guest.console.partition("lethe-fault: deadman")
    line = r"lethe-fault: (place|supervisor|init) (0x[0-9a-f]+) (\w+)"
    early = {place for _, place, _ in re.findall(line, before)}
    seen = sorted({one for one in re.findall(line, after) if one[1] not in early})
    return sorted({(place, name, frozenset(who for who, other, _ in seen if other == place)) for _, place, name in seen}, key=lambda one: one[:2])


def faults_of(scene, listed):
    """(fault, name of the call, whether it costs a whole deadline): no one kills PID 1, and what may hang is never the supervisor's."""
    for place, name, who in listed:
        step = name == "lethe_task_done"
        errors = () if step else ERRORS.get(name, (EIO,))
        ends = () if who == {"init"} or name in MEMORY or name == "close" else ("hang", "kill") if "place" in who and not step else ("kill",)
        others = ("screen", *(["deadman"] if scene != "clean" else [])) if step else ()
        for what in (*errors, *ends, *others):
            yield f"{place}:{what}", name, what == "hang"


def describe(program, fault):
    place = hex(int(fault.split(":")[0], 16) - 1)
    return " ".join(subprocess.run(["addr2line", "-fse", program, place], capture_output=True, text=True).stdout.split())


class Results:
    def __init__(self):
        self.lock, self.passed, self.failed = threading.Lock(), 0, 0

    def add(self, title, word, problems, lines, reached=True):
        with self.lock:
            mark = "FAIL" if problems else "ok  " if reached else "skip"
            print(f"fault: {mark} {title}: {word}", *problems, *(lines if problems else []), sep="\n     ", flush=True)
            self.failed += bool(problems)
            self.passed += not problems and reached


def carry_out(guest, program, scene, fault, name, results):
    """One fault; one that was not reached is no result."""
    try:
        word, problems = end(guest, scene, fault)
    except (lab.Failure, subprocess.CalledProcessError) as failure:
        word, problems = "broke off", [str(failure)]
    reached = "lethe-fault: " in guest.console
    results.add(f"{scene}/{fault} {name} in {describe(program, fault)}", word + ("" if reached else " (not reached)"), problems, said(guest), reached)


def choose(options, guest, scene, share, shares):
    """This guest's share of the faults of a scene, in an order that the commit gives."""
    wanted = [fault for fault in options.faults_wanted if fault.startswith(f"{scene}/")]
    if wanted:
        return [(fault.split("/")[1], "") for fault in wanted[share::shares]]
    commit = subprocess.run(["git", "-C", lab.HERE, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip() or "none"
    draw = {fault: int(lab.digest(options.seed or commit, scene, fault[0]), 16) for fault in faults_of(scene, places(guest, scene))}
    every = sorted((fault for fault in draw if draw[fault] % shares == share and re.search(options.only, f"{fault[0]} {fault[1]}")), key=draw.get)
    if options.all:
        return [fault[:2] for fault in every]
    # One in five that takes its whole deadline, and at least one.
    n = max(2, options.sample // len(SCENES) // shares)
    slow, quick = [[fault[:2] for fault in every if fault[2] == is_slow] for is_slow in (True, False)]
    return slow[:max(1, n // 5)] + quick[:n - max(1, n // 5)]


def run(options, program, scene, share, shares, results):
    """What one guest does: its share of the scene's faults."""
    with prepared(program, scene) as guest:
        for fault, name in choose(options, guest, scene, share, shares):
            if options.list:
                print(f"{scene}/{fault} {name} in {describe(options.faults, fault)}")
            else:
                carry_out(guest, options.faults, scene, fault, name, results)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=Path, default=lab.HERE.parent.parent / "build/init/lethe-faults", help="the build in which calls fail")
    parser.add_argument("--sample", type=int, default=10, metavar="N", help="so many of the faults (%(default)s)")
    parser.add_argument("--seed", help="what the sample is drawn by (the commit)")
    parser.add_argument("--all", action="store_true", help="each of them, which takes hours")
    parser.add_argument("--only", default="", metavar="PATTERN", help="those whose PLACE:WHAT and call match, as ':kill' or 'mmap'")
    parser.add_argument("--scene", action="append", choices=SCENES, help="one of the ends alone")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="guests side by side (%(default)s)")
    parser.add_argument("--list", action="store_true", help="print what would be done")
    parser.add_argument("faults_wanted", nargs="*", metavar="SCENE/PLACE:WHAT")
    options = parser.parse_args()
    results = Results()
    scenes = options.scene or [scene for scene in SCENES if not options.faults_wanted or any(f.startswith(f"{scene}/") for f in options.faults_wanted)]
    shares = max(1, options.jobs // len(scenes))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        program = Path(folder) / "lethe"
        subprocess.run(["strip", "-o", program, options.faults], check=True)
        runs = [pool.submit(run, options, program, scene, share, shares, results) for share in range(shares) for scene in scenes]
        for one in runs:
            one.result()
    if options.list:
        return 0
    print(f"{results.passed} passed, {results.failed} failed")
    return 1 if results.failed or not results.passed else 0


if __name__ == "__main__":
    sys.exit(main())
