#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes stacks apart: test_stacks.py [--lethe FILE] [--list] [CASE...]

A case for each stack of stacks.py that has something to lose: it is set up in the small system, secrets are planted in it, the system is
ended through Lethe, which must plan as test/data says and say its one line. Then nothing of them may be left in RAM, and a second guest
must find the file systems on its disks clean. The last cases are servers that no longer answer. CASE may be a part of a name.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import lab
import servers
import small
import stacks
import test_small as t


DATA = lab.HERE.parent / "data"


def planted_in(setup):
    """The kinds that the lines of a stack plant themselves."""
    kinds = re.findall(r"\bplant ([a-z+]+):", setup)
    return kinds + ["file+one", "file+two"] * ("/tmp/container" in setup)


def check_disks(lethe, stack, guest):
    """A second guest finds the file systems on the disks clean."""
    with tempfile.TemporaryDirectory(dir=lab.CACHE) as tmp:
        images = [Path(tmp) / f"disk{i}" for i in range(len(guest.disks))]
        for disk, image in zip(guest.disks, images):
            disk.export(image)
        with stack.start(lethe, disks=images) as second:
            said = second.do(stacks.HELPERS.replace("modprobe -a", "modprobe -qa") + stack.check, timeout=120)
    t.want(not said, f"not clean:\n{said}")


def key_in_ram(stack, guest):
    """The file with the key of a stack that has one, which is seen to be in RAM."""
    key = small.encrypted_disk() / "key" if stack.key else None
    t.want(not key or guest.scan([], key=key)["key"], "the key is not in RAM before")
    return key


def want_known_plan(stack, said):
    """That of test/data, but for the numbers of processes and of their namespaces, which begin when they can."""
    known, now = (re.sub(r"mnt:\[\d+\] \(process \d+\)", "mnt:[] (process)", text.strip()) for text in ((DATA / stack.name / "plan").read_text(), said))
    t.want(known == now, f"the plan is not that of test/data, but\n{said}")


def take_apart(lethe, stack, memory):
    with stack.boot(lethe, memory=memory) as guest:
        guest.do(stacks.HELPERS + stack.setup, timeout=120)
        want_known_plan(stack, guest.run("cd /; lethe plan"))
        guest.arm()
        kinds = planted_in(stack.setup) + t.kinds_of(stack.plants)
        t.plant(guest, *stack.plants) if stack.plants else None
        t.want_there(guest, kinds)
        key = key_in_ram(stack, guest)
        guest.hand_over("poweroff")
        t.want_clean_end(guest, timeout=120, says="nothing is left" if "init_on_free=1" in memory else "nothing else is known to be left")
        t.want_gone(guest, kinds, key=key)
        if stack.check:
            check_disks(lethe, stack, guest)


def dead_server(lethe, memory):
    """a network mount whose server no longer answers, with files that nobody will ever write back"""
    with small.booted(lethe.with_name("lethe-skipping"), "lethe.skip=resume", tools=True, disks=[small.blank_disk()], ram="768M", memory=memory) as guest:
        guest.do(stacks.HELPERS + 'modprobe fuse; echo "0 40960 linear /dev/vdb 0" | dmsetup create --noudevsync dead\n'
                 "remote fuse /mnt /dev/dm-0; dmsetup suspend --noflush --nolockfs dead")
        guest.arm()
        t.plant(guest, "rw:1M", "shm:1M")
        guest.run("(exec plant cache+remote:4M:/mnt) >/dev/null 2>&1 & sleep 3; ls -d /proc/[0-9]*/ >/dev/null")
        t.want_there(guest, ["cache+remote"])
        started = time.monotonic()
        guest.hand_over("poweroff")
        t.want_end(guest, "poweroff", 200)
        t.want(time.monotonic() - started < 150, "it took too long", guest)
        t.want_gone(guest, ["rw", "shm", "cache+remote"])


# The beginnings of small frames that virtio_net took last stay in a page of each processor's (napi_alloc_cache, net/core/skbuff.c):
# 4 slices, each with what is left of 128 bytes behind the headers. No program reaches them (docs/threat-model.md).
SMALL_FRAMES = 2 * 4 * ((128 - 54) // 16)


def lost_server(lethe, stack, memory, lose, emergency=False):
    """What has been written to it goes both ways over the network; some is not written yet, and two processes wait for the server."""
    with stack.boot(lethe, memory=memory) as guest:
        guest.do(stacks.HELPERS + stack.setup, timeout=120)
        guest.arm()
        t.plant(guest, "rw:1M", "shm:1M", *stack.plants)
        guest.run("sync; echo 3 >/proc/sys/vm/drop_caches; cat /run/medium/lethe-cache+remote >/dev/null")
        t.plant(guest, "cache+unwritten:2M:/run/medium")
        lose(guest)
        guest.run("for i in 1 2; do (echo >/run/medium/$i; sync) >/dev/null 2>&1 & done; sleep 3")
        kinds = ["rw", "shm", "cache+unwritten", *t.kinds_of(stack.plants)]
        t.want_there(guest, kinds)
        key = key_in_ram(stack, guest)
        guest.send("/run/initramfs/lethe now") if emergency else guest.hand_over("poweroff")
        t.want_end(guest, "poweroff", 200)
        left = guest.scan(kinds, key=key)
        received = left.pop("cache+remote")
        t.want(received <= SMALL_FRAMES and not any(left.values()), f"left in RAM: {left}, and {received} of what was received", guest)
        t.want("NOT" not in guest.said[-1], f"it said: {guest.said}", guest)
        t.want(not emergency or any(f"PID 1: {int(stack.key)} keys" in line for line in guest.said), f"it said: {guest.said}", guest)


# How a server is lost, or what stands before it.
HANGS = ("hangs", "its server answers no more", lambda guest: guest.server.hang())
NOW = ("now", "the cable is pulled out, and the kill switch", lambda guest: guest.qmp("set_link", name="net", up=False))
ALL = [HANGS, ("gone", "its server has gone", lambda guest: guest.server.die()),
       ("unplugged", "the cable is pulled out", lambda guest: guest.qmp("set_link", name="net", up=False)), NOW]
SSH = [("frozen", "it and its ssh are in a frozen cgroup", lambda guest: guest.do(stacks.HELPERS + "freeze_sshfs")),
       ("now", "its ssh is stopped, and the kill switch", lambda guest: guest.run("kill -STOP $(cat /tmp/ssh.pid)"))]
LOST = {"nfs": ALL, "nfs4": [HANGS, NOW], "nfs-crypt": [HANGS, NOW], "nbd": ALL, "nbd-luks": [HANGS, NOW], "sshfs": SSH}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lethe", type=Path, default=lab.HERE.parent.parent / "build/init/lethe", help="the program under test")
    parser.add_argument("--memory", default="init_on_free=1", help="what the kernel is told about clearing memory (%(default)s)")
    parser.add_argument("--list", action="store_true", help="print the cases and what they show")
    parser.add_argument("--verbose", action="store_true", help="print what Lethe says at each end")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="run only cases with this in their names")
    args = parser.parse_args()
    t.verbose = args.verbose
    lethe = args.lethe.resolve()
    cases = [(s.name, s.about, lambda s=s: take_apart(lethe, s, args.memory)) for s in stacks.STACKS if s.plants or planted_in(s.setup)]
    cases.append(("dead-server", dead_server.__doc__, lambda: dead_server(lethe, args.memory)))
    for name, ways in LOST.items():
        for how, about, lose in ways:
            cases.append((f"{name}-{how}", f"{name}, and {about}",
                          lambda name=name, how=how, lose=lose: lost_server(lethe, stacks.named(name), args.memory, lose, how == "now")))
    passed = failed = 0
    for name, about, run in cases:
        if args.cases and not any(part in name for part in args.cases):
            continue
        if args.list:
            print(f"{name:<18} {about}")
            continue
        started, word, more = time.monotonic(), "ok  ", ""
        try:
            run()
            passed += 1
        except (lab.Failure, subprocess.CalledProcessError) as failure:
            word, more = "FAIL", f"\n{failure}"
            failed += 1
        print(f"stacks: {word} {time.monotonic() - started:5.1f} s  {name:<18} {about}{more}", flush=True)
    if not args.list:
        print(f"{passed} passed, {failed} failed")
    return 1 if failed or not (passed or args.list) else 0


if __name__ == "__main__":
    sys.exit(main())
