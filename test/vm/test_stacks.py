#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes stacks apart: test_stacks.py [--lethe FILE] [--list] [CASE...]

A case for each stack of stacks.py that has something to lose: it is set up in the small system, secrets are planted in it, and the system
is ended through Lethe, which must plan as test/data says. The end tells all of its steps, which must be those that were planned, and each
disk must be what plan and status have said of it. Then nothing of the secrets may be left in RAM, and a second guest must find the file
systems on its disks clean. The last cases are servers that no longer answer. CASE may be a part of a name.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cases
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
    """That of test/data, but for the numbers of processes and of their namespaces, which begin when they can.

    What a tree can't tell is in a file of its own: that a path leads nowhere, although a mount that could have it is there.
    """
    running = DATA / stack.name / "running"
    known = (running if running.exists() else running.with_name("plan")).read_text()
    known, now = (re.sub(r"mnt:\[\d+\] \(process \d+\)", "mnt:[] (process)", text.strip()) for text in (known, said))
    t.want(known == now, f"the plan is not that of test/data, but\n{said}")


# -- whether what was planned is what was done --------------------------------------------------------------------------------

PATH_MAX = 4096
SHOWN = 100  # so much of a line of the log is compared: it is cut where it gets long
STEP = re.compile(r"(erase|unmount|detach|swapoff|stop) (.+ \(\S+\)|.{%d,})" % (SHOWN - 10))
TROUBLE = re.compile(r"^left|could not|not done|not closed|still in use|NOT|ended by signal|: [A-Z][A-Za-z/' ]*$")
HELD = "may hold, unseen,"  # the kernel keeps a device that is held


def planned(guest):
    """The steps, each as the log has it, and the pairs of them of which the first has to be done before the second."""
    plan = json.loads(guest.run("cd /; lethe plan --at=now --json"))
    lines = [line.partition(". ")[2] for line in guest.run("cd /; lethe plan --at=now").splitlines() if re.match(r"\d+\. ", line)]
    steps = [re.sub(r" \[mount \d+\]$", "", line[:line.rindex(": " + step["reason"])]) for line, step in zip(lines, plan["steps"], strict=True)]
    number = {step["node"]: i for i, step in enumerate(plan["steps"])}
    before = {}
    for edge in plan["edges"]:
        if edge["why"] != HELD:
            before.setdefault(edge["after"], []).append(edge["before"])
    pairs = set()
    for node, i in number.items():
        todo, seen = list(before.get(node, ())), set()
        while todo and not plan["steps"][i]["lazy"]:
            at = todo.pop()
            if at in number:
                pairs.add((number[at], i))
            elif at not in seen:
                seen.add(at)
                todo += before.get(at, ())
    return steps, pairs


def as_planned(line):
    """A step of the end's in the words of the plan before: the hand-over and the end have each moved the root, and the hand-over has
    bound /run and the armed directory to where the end zeroes them."""
    line = line.replace(" /oldroot/oldroot (", " / (").replace(" /oldroot/oldroot/", " /")
    return line.replace("erase /oldroot/run (", "erase /run (").replace("erase /oldroot (", "erase /run/initramfs (")[:SHOWN]


def want_plan_done(guest, steps, pairs):
    """All that was planned and nothing else, in an order that keeps what waits for what."""
    done = {as_planned(line): i for i, line in enumerate(guest.said[:-1]) if STEP.fullmatch(line)}  # the last time
    missing = [step for step in steps if step[:SHOWN] not in done]
    more = done.keys() - {step[:SHOWN] for step in steps} - {as_planned(f"{how} /oldroot{place} ({kind})") for how in ("unmount", "detach")
           for place, kind in (("", "ramfs"), ("/run", "tmpfs"), ("/proc", "proc"), ("/dev", "devtmpfs"), ("/sys", "sysfs"))}
    t.want(not missing and not more, f"planned and not done: {missing}, done and not planned: {sorted(more)}", guest)
    alike = {step for step in steps if steps.count(step) > 1}  # mounts on one another at one place
    wrong = [f"{steps[a]} after {steps[b]}" for a, b in pairs
             if not alike & {steps[a], steps[b]} and done[steps[a][:SHOWN]] > done[steps[b][:SHOWN]]]
    t.want(not wrong, f"done in another order: {wrong}", guest)


# -- whether what was said of what is erased and what is left is so -------------------------------------------------------------

REASONS = {"medium": "the medium: read", "persistence": "the persistence: written back", "both": "the medium and the persistence: written"}
PLAIN_SWAP = "not encrypted"


def erased(plan):
    """The file systems that a plan erases but for the armed one, each by the path where it was mounted first."""
    mounts = {node["node"]: node for node in plan["nodes"] if node["kind"] == "mount"}
    first = {}
    for mount in mounts.values():
        first.setdefault(mount["number"], mount)
    numbers = {mounts[node["of"]]["number"] for node in plan["nodes"] if node["kind"] == "erasure" and "step" in node}
    return sorted(first[number]["path"] for number in numbers if first[number]["source"] != "lethe")


class Told:
    """What plan and status say before the end of each disk (/dev/vda, …), and of what is erased: they have to agree."""

    def __init__(self, guest):
        plan, status = (json.loads(guest.run(f"cd /; lethe {command} --json", check=False)) for command in ("plan", "status"))
        self.roles = {device["name"]: device["role"] for device in status["devices"]}
        disks = {node["name"] for node in plan["nodes"] if node["kind"] == "device" and node["type"] == "disk"}
        said = {left["name"]: left["reason"] for left in plan["left"] if "name" in left and "built on" not in left["reason"]}
        wrong = {name for name in said.keys() | (self.roles.keys() & disks) if not said.get(name, "").startswith(REASONS.get(self.roles.get(name), "?"))}
        t.want(not wrong, f"plan and status differ on {wrong}: {said}, {self.roles}", guest)
        in_status = sorted(one["path"] for one in status["erases"] if one["type"] != "ramdisk")
        t.want(in_status == erased(plan), f"plan erases {erased(plan)}, status {in_status}", guest)
        self.swaps = {left["swap"] for left in plan["left"] if "swap" in left and PLAIN_SWAP in left["reason"]}
        self.disks = dict(zip([f"vd{letter}" for letter in "abcdefgh"], [guest.medium, *guest.disks]))
        guest.run("sync")
        self.before = {name: self._image(guest, name) for name in self.disks if name != "vda" and not self._is_written(name)}

    def _is_written(self, name):
        return self.roles.get(name) in ("persistence", "both") or any(name in swap for swap in self.swaps)

    def _image(self, guest, name):
        guest.qmp("stop")  # which writes back what QEMU has of its images
        image = guest.folder / f"{name}.before"
        self.disks[name].export(image)
        guest.qmp("cont")
        return image

    def want_so(self, guest):
        """A disk that is read, or is nobody's, is as it was; one that is written to was never zeroed, and nor was a swap that stays."""
        for name, disk in self.disks.items():
            image = guest.folder / f"{name}.after"
            disk.export(image)
            if not self._is_written(name):
                before = self.before.get(name, disk.image)
                same = subprocess.run(["qemu-img", "compare", "-f", "raw", "-F", "raw", before, image], capture_output=True, text=True)
                t.want(not same.returncode, f"{name}, {self.roles.get(name, 'nobody')}: {same.stdout}{same.stderr}", guest)
            else:
                with open(image, "rb") as file:
                    t.want(file.read(64 << 20).strip(b"\0"), f"{name}, the {self.roles.get(name, 'swap')}, is zeroed", guest)
            if f"/dev/{name}" in self.swaps:
                t.want(b"SWAPSPACE2" in image.read_bytes()[:4096], f"the swap on {name} is gone, which was said to stay", guest)
            image.unlink()


def want_clean_end(guest, says):
    """The end tells all of its steps, none of which has failed."""
    t.want_end(guest, "poweroff", 120)
    trouble = [line for line in guest.said[:-1] if TROUBLE.search(line)]
    t.want(not trouble and guest.said[-1].endswith(says), f"it said: {trouble or guest.said}", guest)


def take_apart(lethe, stack, memory):
    with stack.boot(lethe, memory=memory, arguments="lethe.verbose") as guest:
        guest.do(stacks.HELPERS + stack.setup, timeout=120)
        want_known_plan(stack, guest.run("cd /; lethe plan --at=now"))
        guest.arm()
        kinds = planted_in(stack.setup) + t.kinds_of(stack.plants)
        t.plant(guest, *stack.plants) if stack.plants else None
        t.want_there(guest, kinds)
        key = key_in_ram(stack, guest)
        plan, told = planned(guest), Told(guest)
        guest.hand_over("poweroff")
        want_clean_end(guest, "nothing is left" if "init_on_free=1" in memory else "nothing else is known to be left")
        if max(map(len, plan[0])) < PATH_MAX:  # what lies deeper is told by the part of its path that can be told
            want_plan_done(guest, *plan)
        told.want_so(guest)
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
        left = guest.scan(kinds, key=key, most=SMALL_FRAMES)
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
    parser = cases.parser(__doc__)
    parser.add_argument("--lethe", type=Path, default=lab.HERE.parent.parent / "build/init/lethe", help="the program under test")
    parser.add_argument("--memory", default="init_on_free=1", help="what the kernel is told about clearing memory (%(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="guests at a time (%(default)s)")
    args = parser.parse_args()
    t.verbose = args.verbose
    lethe = args.lethe.resolve()
    every = [(s.name, s.about, lambda s=s: take_apart(lethe, s, args.memory)) for s in stacks.STACKS if s.plants or planted_in(s.setup)]
    every.append(("dead-server", dead_server.__doc__, lambda: dead_server(lethe, args.memory)))
    for name, ways in LOST.items():
        for how, about, lose in ways:
            every.append((f"{name}-{how}", f"{name}, and {about}",
                          lambda name=name, how=how, lose=lose: lost_server(lethe, stacks.named(name), args.memory, lose, how == "now")))
    tally = cases.Tally("stacks", args.list, args.jobs)
    for name, about, run in every:
        if cases.is_chosen(name, args.cases):
            tally.run(name, about, run)
    return tally.end()


if __name__ == "__main__":
    sys.exit(main())
