#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Lethe leaves in RAM at the end of a real live system (live.py), whichever way it ends.

    test_live.py [--build DIR] [--suite NAME] [--runs N] [--jobs N] [CASE...]

Each case boots the system from its stick, plants secrets of all kinds, shows that they are in RAM, ends the system, and looks
for them again in the RAM of the machine that has just switched itself off. `--runs 20` does poweroff, reboot and halt in
turn, 20 runs in all.
"""

import argparse
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


@dataclass
class Case:
    name: str
    command: str
    end: str
    arguments: str = "init_on_free=1"
    lethe: bool = True  # else its unit is masked: the same stick serves
    asked: bool = False  # run only when asked for by name
    prepare: str = "true"
    says: str = "nothing is left"
    systemd: bool = False  # means nothing to another PID 1


CASES = [
    Case("poweroff", "systemctl poweroff", "poweroff"),
    Case("reboot", "systemctl reboot", "reboot"),
    Case("halt", "systemctl halt", "halt"),
    Case("kexec", "systemctl kexec", "kexec", prepare=LOAD_KEXEC, systemd=True),
    Case("kexec-unloaded", "systemctl start kexec.target", "reboot", asked=True, systemd=True),  # in the small system it always runs
    Case("default-kernel", "systemctl poweroff", "poweroff", arguments="", says="nothing else is known to be left"),
    # As Kicksecure sets it: nobody can look whether freed memory is cleared, so it is filled all the same.
    Case("hardened", "systemctl poweroff", "poweroff", arguments="init_on_free=1 lockdown=confidentiality", asked=True,
         prepare="echo 3 >/proc/sys/kernel/yama/ptrace_scope; mount -o remount,hidepid=2 /proc", says="nothing else is known to be left"),
    Case("without-lethe", "systemctl poweroff", "poweroff", arguments="init_on_free=1 systemd.mask=lethe-arm.service", lethe=False),
]


def check_status(guest):
    """The next end that a user asks for is Lethe's, and is said to be; it is done below."""
    said = guest.run("lethe status", check=False)
    if not said.startswith("ready: "):
        raise lab.Failure(f"lethe status: {said}")


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
    summaries = [line for line in said if re.match(r"\w+ after [\d.]+ s: ", line)]
    if not case.lethe and said:
        yield f"Lethe was there: {said}"
    if case.lethe and (len(said) != 1 or said != summaries or not said[0].endswith(case.says)):
        yield f"the console should say one thing, that {case.says}, but says {said}"


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
    system = live.SYSTEMS[suite]
    image = live.stick(lethe if case.lethe or system.init == "systemd" else None, suite)
    with live.booted(image, case.arguments, name=suite) as guest:
        guest.booted = time.monotonic() - guest.started
        if case.lethe:
            check_status(guest)
        guest.run(case.prepare.replace("$MEDIUM", system.medium), timeout=60)
        guest.run("plant " + " ".join(live.KINDS), timeout=120)
        yield guest, guest.scan(live.KINDS, live.persistence() / "key")


def ended(guest, case, before, suite):
    """End it; what went wrong, how long it took, and what is left."""
    begun = time.monotonic()
    guest.send(case.command if live.SYSTEMS[suite].init == "systemd" else case.command.replace("systemctl ", ""))
    end = guest.wait_end(240)
    took = time.monotonic() - begun
    after = guest.scan(live.KINDS, live.persistence() / "key")
    problems = [f"it ended with {end}, not {case.end}"] if end != case.end else []
    problems += [*check_ram(before, after, case), *check_console(guest.console, case), *check_persistence(guest)]
    if problems:
        problems.append(guest._tail())
    return problems, took, after


def run(case, lethe, suite):
    """Carry out one case; returns (what went wrong, a line about it)."""
    with planted(case, lethe, suite) as (guest, before):
        problems, took, after = ended(guest, case, before, suite)
        left = ", ".join(f"{kind} {count}" for kind, count in after.items() if count) or "nothing"
        return problems, f"boot {guest.booted:.0f} s, end {took:.1f} s, {sum(before.values())} patterns before, left: {left}"


def run_again(case, lethe, suite, times):
    """End one booted and planted system again and again from the same moment: yields (what went wrong, a line) a run."""
    with planted(case, lethe, suite) as (guest, before):
        guest.save()
        for _ in range(times):
            guest.restore()
            problems, took, _ = ended(guest, case, before, suite)
            yield problems, f"end {took:.1f} s"


def guarded(case, lethe, suite):
    try:
        return run(case, lethe, suite)
    except (lab.Failure, subprocess.CalledProcessError) as failure:
        return [str(failure)], "broke off"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build", help="Lethe's build folder, with prefix /usr (build)")
    parser.add_argument("--runs", type=int, help="so many runs of poweroff, reboot and halt in turn, instead of each case once")
    parser.add_argument("--again", type=int, help="boot once and end that system so many times as CASE (poweroff) does, from one saved moment")
    live.add_option(parser)
    parser.add_argument("--jobs", type=int, default=1, help="guests at a time (1)")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of: {', '.join(c.name for c in CASES)}")
    options = parser.parse_args()
    suite = options.suite
    cases = [case for case in CASES if case.name in options.cases or not (options.cases or case.asked)]
    if live.SYSTEMS[suite].init != "systemd":
        cases = [case for case in cases if not case.systemd]
    if options.runs:
        cases = [CASES[i % 3] for i in range(options.runs)]
    failed = 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        lethe = live.installed(options.build, Path(folder) / "lethe")
        if options.again:
            case = cases[0] if options.cases else CASES[0]
            cases, results = [case] * options.again, run_again(case, lethe, suite, options.again)
        else:
            results = pool.map(lambda case: guarded(case, lethe, suite), cases)
        for case, (problems, line) in zip(cases, results):
            print(f"{'FAIL' if problems else 'ok'} live {suite} {case.name}: {line}", *problems, sep="\n     ", flush=True)
            failed += bool(problems)
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
