#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Lethe leaves in RAM at the end of a real live system (live.py), whichever way it ends.

    test_live.py [--build DIR] [--suite NAME] [--runs N] [--jobs N] [CASE...]

A system is booted from its stick, has secrets of all kinds planted, which are shown to be in RAM, and is kept as it is then. Each
case goes back to that moment, ends the system, and looks for them again in the RAM of the machine that has just switched itself
off. `--runs 20` does poweroff, reboot and halt in turn, 20 runs in all, each with a boot of its own.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lab
import live

# What systemd alone leaves even when the kernel clears what is freed.
LEFT_WITHOUT_LETHE = ["rw", "shm", "run", "names"]
LOAD_KEXEC = "kexec -l $MEDIUM/live/vmlinuz --append='console=ttyS0 panic=0'"


NOW = "exec /run/initramfs/lethe now"
HOOK = "/usr/lib/systemd/system-shutdown/lab"  # a user's, which systemd runs before Lethe in a clean end
PUT_HOOK = f"mkdir -p {HOOK[:-4]}; printf '#!/bin/sh\\necho lab: hook of $1 >/dev/kmsg\\n' >{HOOK}; chmod 755 {HOOK}"
PURGE = ("dpkg -P lethe-watch lethe; ! dpkg-query -W lethe lethe-watch; ! mountpoint -q /run/initramfs; "
         "! mountpoint -q /usr/lib/systemd/systemd-shutdown; ! [ -e /run/initramfs/shutdown ]")
HARDENED = {"arguments": "init_on_free=1 lockdown=confidentiality", "asked": True, "says": "nothing else is known to be left",
            "prepare": "echo 3 >/proc/sys/kernel/yama/ptrace_scope; mount -o remount,hidepid=2 /proc"}
# As Tails 7 sets it, its tmpfs for an exitrd of its own still there: docs/tails.md.
TAILS = {"arguments": "init_on_free=1 slub_debug=FZ slab_nomerge page_alloc.shuffle=1 lockdown=integrity", "asked": True,
         "prepare": "systemctl stop lethe-arm; lethe disarm; mount -t tmpfs -o size=20% tmpfs /run/initramfs; "
                    "if lethe arm 2>/dev/null; then false; else lethe arm --take-over && echo 1 >/run/initramfs/pause; fi"}


@dataclass
class Case:
    name: str
    command: str
    end: str
    arguments: str = "init_on_free=1"
    lethe: bool = True  # else it is removed before: what was planted must be left then
    asked: bool = False  # run only when asked for by name
    prepare: str = "true"
    says: str = "nothing is left"
    before: str = ""  # how a line begins that is said before that
    systemd: bool = False  # means nothing to another PID 1
    emergency: bool = False  # on live-boot with systemd it is test_kill.py's
    pulls: bool = False  # the stick
    late: bool = False  # Lethe comes into the running system, by the commands of docs/systems.md
    packaged: bool = False  # and that as --debs, which are then upgraded while it is armed


CASES = [
    Case("poweroff", "systemctl poweroff", "poweroff", prepare=PUT_HOOK),
    Case("reboot", "systemctl reboot", "reboot"),
    Case("halt", "systemctl halt", "halt"),
    Case("kexec", "systemctl kexec", "kexec", prepare=LOAD_KEXEC, systemd=True),
    Case("kexec-unloaded", "systemctl start kexec.target", "reboot", asked=True, systemd=True),  # in the small system it always runs
    Case("now", NOW, "poweroff", emergency=True),
    Case("pulled", "", "poweroff", prepare="$WATCH", emergency=True, pulls=True),
    Case("without-lethe", "systemctl poweroff", "poweroff", lethe=False, prepare="$REMOVE"),
    Case("installed-late", "systemctl poweroff", "poweroff", late=True),
    Case("packaged", "systemctl poweroff", "poweroff", late=True, packaged=True, asked=True),
    Case("packaged-removed", "systemctl poweroff", "poweroff", late=True, packaged=True, asked=True, lethe=False, prepare=PURGE),
    Case("default-kernel", "systemctl poweroff", "poweroff", arguments="", says="nothing else is known to be left"),
    # As Kicksecure sets it: nobody can look whether freed memory is cleared, so it is filled all the same.
    Case("hardened", "systemctl poweroff", "poweroff", before="bounce buffers (swiotlb) could not be looked at", **HARDENED),
    Case("hardened-now", NOW, "poweroff", emergency=True, **HARDENED),
    # The watcher has settled down before the stick goes: PID 1's memory is closed there, so that only PID 1 can let go of it.
    Case("hardened-pulled", "", "poweroff", emergency=True, pulls=True, **HARDENED | {"prepare": f"{HARDENED['prepare']}; $WATCH; sleep 10"}),
    Case("tails", "systemctl poweroff", "poweroff", systemd=True, **TAILS),
    Case("tails-now", NOW, "poweroff", emergency=True, systemd=True, **TAILS),
    Case("tails-pulled", "", "poweroff", emergency=True, pulls=True, systemd=True, **TAILS | {"prepare": f"{TAILS['prepare']}; $WATCH; sleep 10"}),
]
WITH_KILL = ["bookworm", "trixie", "forky"]  # what test_kill.py runs on; there Lethe is part of the image


def check_status(guest, lethe=True):
    """What `lethe status` says of the next end, which is done then: its first line, and all of it as JSON."""
    said = guest.run("lethe status", timeout=120, check=False)
    if not said.startswith("ready: " if lethe else "NOT ready"):
        raise lab.Failure(f"lethe status: {said}")
    status = json.loads(guest.run("lethe status --json", timeout=120, check=False))
    if status["ready"] != lethe or bool(status["problems"]) == lethe:
        raise lab.Failure(f"lethe status --json: {status}")
    return said.splitlines()[0], status


def check_promise(said, status, console, case):
    """The end was as status had said: it named this way; the kill switch was PID 1's or not; it fired for what was called the medium."""
    if not case.emergency and case.end not in said:
        yield f"status does not name {case.end}: {said}"
    place = re.search(r"\(emergency (as|beside) PID 1", console)
    if case.emergency and (not place or status["takeover"] != (place[1] == "as")):
        yield f"status says of PID 1 as the kill switch {status['takeover']}, but it was {place and place[1]}"
    gone = re.search(r"kill switch: the medium (\S+) is gone", console)
    if case.pulls and (not gone or not any(d["name"] == gone[1] and d["role"] in ("medium", "both") for d in status["devices"])):
        yield f"the watcher fired for {gone and gone[1]}, status says of the medium: {status['devices']}"


def check_persistence(guest):
    """The file system must be clean, and hold what it held and what was written to it in the last minute."""
    with tempfile.TemporaryDirectory(dir=guest.folder) as folder:
        image = live.left_persistence(guest, Path(folder))
        fsck = subprocess.run(["e2fsck", "-fn", image], capture_output=True, text=True)
        if fsck.returncode:
            yield f"the persistence is not clean: {fsck.stdout}"
        for name, text in live.PERSISTENT.items():
            found = subprocess.run(["debugfs", "-R", f"cat /{name}", image], capture_output=True, text=True).stdout
            if found != text:
                yield f"{name} on the persistence has changed"
        written = Path(folder) / "written"
        live.sh("debugfs", "-R", f"dump /home/lethe-cache {written}", image, capture_output=True)
        count = subprocess.run([lab.compiled("scan"), written, "cache"], capture_output=True, text=True).stdout.split()[1]
        if int(count) != 2**26 / 16:
            yield f"of the file written last, only {count} of {2**26 // 16} patterns have reached the persistence"


def check_console(console, case):
    """Lethe says how it ended in one line."""
    said = re.findall(r"(?m)^(?:\[[ \d.]+\] )?lethe: (.*)", console.replace("\r", ""))
    summaries = [line for line in said if re.match(r"\w+ after [\d.]+ s[ :]", line)]
    if not case.lethe and said:
        yield f"Lethe was there: {said}"
    if case.before and said and said[0].startswith(case.before):
        said = said[1:]
    said = summaries if case.emergency else said
    if case.lethe and (len(said) != 1 or said != summaries or not said[0].endswith(case.says)):
        yield f"the console should say one thing, that {case.says}, but says {said}"


def check_hook(console, case):
    """A user's hook has run, and before Lethe's end."""
    if not re.search(f"lab: hook of.*lethe: {case.name} after", console, re.DOTALL):
        yield f"the hook {HOOK} did not run before Lethe"


def check_selinux(console):
    """The policy was enforced, and kept Lethe from nothing."""
    if "SELinux:  policy capability" not in console:
        yield "no policy of SELinux was loaded"
    yield from re.findall(r'avc:  denied .*comm="(?:lethe|shutdown|systemd-shutdow)".*', console)


def check_ram(before, after, case):
    for kind, count in before.items():
        if count == 0:
            yield f"{kind} was not in RAM before the end: the test proves nothing"
    if case.lethe:
        left = {kind: count for kind, count in after.items() if count}
        if left:
            yield f"left in RAM: {left}"
    else:
        for kind in LEFT_WITHOUT_LETHE:
            if after[kind] == 0:
                yield f"without Lethe too, nothing of {kind} was left: the test proves nothing"


@contextmanager
def planted(case, lethe, suite):
    """A booted system with secrets in RAM, which are counted: (guest, before)."""
    disks = [lab.Stick(live.install_disk(lethe), "install")] if case.late else []
    with live.booted(live.stick(None if case.late else lethe, suite), case.arguments, name=suite, sticks=disks) as guest:
        guest.booted = time.monotonic() - guest.started
        guest.booting = guest.console
        if case.packaged:
            live.install_packages(guest)
        elif case.late:
            live.install(guest, live.SYSTEMS[suite].init)
        check_status(guest)
        guest.run(live.SYSTEMS[suite].holds)
        if guest.in_files:
            guest.run("test -e /second && losetup -nO BACK-FILE | grep '/persistence$' && ! test -e /run/dbus")
        if live.SYSTEMS[suite].selinux and guest.run("getenforce; lethe status | grep -i selinux", check=False) != "Enforcing":
            raise lab.Failure("SELinux is not enforcing, or status has something to say of it")
        guest.run("plant " + " ".join(live.KINDS), timeout=300)
        yield guest, guest.scan(live.KINDS, live.persistence() / "key")


def prepare(guest, case, system):
    words = {"$MEDIUM": system.medium, "$WATCH": live.WATCH.get(system.init, live.WATCH[""]), "$REMOVE": live.REMOVE[system.init]}
    command = case.prepare
    for word, text in words.items():
        command = command.replace(word, text)
    guest.run(command, timeout=180)
    return None if case.packaged and not case.lethe else check_status(guest, lethe=case.lethe)


def ended(guest, case, before, suite):
    """End it; what went wrong, how long it took, and what is left."""
    system = live.SYSTEMS[suite]
    promise = prepare(guest, case, system)
    begun = time.monotonic()
    if case.pulls:
        guest.unplug("stick")
    guest.send(case.command if system.init == "systemd" else case.command.replace("systemctl ", ""))
    end = guest.wait_end(400)
    took = time.monotonic() - begun
    after = guest.scan(live.KINDS, live.persistence() / "key")
    expected = "poweroff" if case.end == "halt" and system.init == "runit" else case.end  # where halt means that
    problems = [f"it ended with {end}, not {expected}"] if end != expected else []
    problems += [*check_ram(before, after, case), *check_console(guest.console, case), *([] if case.emergency else check_persistence(guest))]
    if case.prepare == PUT_HOOK and system.init == "systemd":
        problems += check_hook(guest.console, case)
    if case.lethe:
        problems += check_promise(*promise, guest.console, case)
    if system.ends_with not in guest.console and not case.emergency:
        problems.append(f"the console does not show '{system.ends_with}'")
    if system.selinux:
        problems += check_selinux(guest.booting + guest.console)
    if problems:
        problems.append(guest._tail())
    left = ", ".join(f"{kind} {count}" for kind, count in after.items() if count) or "nothing"
    return problems, f"end {took:.1f} s, {sum(before.values())} patterns before, left: {left}"


def run(cases, lethe, suite, tell):
    """End one booted and planted system as each case does, from one saved moment: tells (case, what went wrong, a line) a case."""
    done = 0
    try:
        with planted(cases[0], lethe, suite) as (guest, before):
            if len(cases) > 1:
                guest.save()
            for case in cases:
                if done:
                    guest.restore()
                done += 1
                try:
                    problems, line = ended(guest, case, before, suite)
                except (lab.Failure, subprocess.CalledProcessError) as failure:
                    problems, line = [str(failure)], "broke off"
                tell(case, problems, f"boot {guest.booted:.0f} s, {line}")
    except (lab.Failure, subprocess.CalledProcessError) as failure:
        for case in cases[done:]:
            tell(case, [str(failure)], "broke off")


def grouped(cases):
    """One boot serves what has the same kernel arguments and the same stick."""
    groups = {}
    for case in cases:
        groups.setdefault((case.arguments, case.late, case.packaged), []).append(case)
    return list(groups.values())


def chosen(options):
    system = live.SYSTEMS[options.suite]
    cases = [case for case in CASES if case.name in options.cases or
             not (options.cases or case.asked or (case.emergency or case.late) and options.suite in WITH_KILL)]
    return [case for case in cases if system.init == "systemd" or not case.systemd]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build", help="Lethe's build folder, with prefix /usr (build)")
    parser.add_argument("--debs", type=Path, help="a folder with Debian packages of Lethe, for the cases packaged")
    parser.add_argument("--runs", type=int, help="so many runs of poweroff, reboot and halt in turn, instead of each case once")
    parser.add_argument("--again", type=int, help="boot once and end that system so many times as CASE (poweroff) does, from one saved moment")
    live.add_option(parser)
    parser.add_argument("--jobs", type=int, default=1, help="guests at a time (1)")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of: {', '.join(c.name for c in CASES)}")
    options = parser.parse_args()
    groups = grouped(chosen(options))
    if options.again:
        one = (chosen(options) if options.cases else CASES)[:1]
        groups = [one * min(50, options.again - begun) for begun in range(0, options.again, 50)]  # more take too long for one saved moment
    if options.runs:
        groups = [[CASES[i % 3]] for i in range(options.runs)]
    results = []

    def tell(case, problems, line):
        print(f"{'FAIL' if problems else 'ok'} live {options.suite} {case.name}: {line}", *problems, sep="\n     ", flush=True)
        results.append(not problems)

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        lethe = options.debs or live.installed(options.build, Path(folder) / "lethe")
        list(pool.map(lambda cases: run(cases, lethe, options.suite, tell), groups))
    passed = sum(results)
    print(f"{passed} passed, {len(results) - passed} failed")
    return 0 if results and passed == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
