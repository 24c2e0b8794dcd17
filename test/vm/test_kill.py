#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kill switch on a real live system (live.py): test_kill.py [--build DIR] [--suite NAME] [--kernel clears|default] [--brief] [--again N] [--list] [CASE...]

One system is booted, with an encrypted persistence in use, dirty data, a desktop's worth of processes and secrets of all kinds, and
kept as it is then. Each case goes back to that moment, brings its trouble about, and has the switch fired: mostly by `lethe watch`,
because the stick is pulled out. In the RAM of the machine that has switched itself off nothing may be left, the volume key least of
all. Each case runs twice: with PID 1 becoming Lethe where it can (a), and with that made impossible (b). CASE may be a part of a name.
"""

import re
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import cases
import lab
import live

KERNELS = {"clears": "init_on_free=1", "default": ""}
PLACE = "/usr/lib/systemd/systemd-shutdown"  # where Lethe stands for way (a)
NOW = "exec /run/initramfs/lethe now"
CASES = []
BRIEF = 4  # pulled and by_hand, each way
SECONDS = 600  # from one saved moment: a quarter of an hour after it the guest's shell doesn't answer any more


def case(ways="ab", end="poweroff", is_storm=False, by_deadman=False, by_systemd=False):
    """In a storm the first try at the keys may fail, and PID 1 may be too slow: then the processes go first, and the other way is taken."""
    def add(function):
        CASES.extend((function, way, end, is_storm, by_deadman, by_systemd) for way in ways)
        return function
    return add


def pull(guest):
    guest.unplug("stick")


def drop_caches(guest):
    guest.run("echo 3 >/proc/sys/vm/drop_caches", timeout=60)


@case()
def pulled(guest):
    """the stick is pulled out"""
    pull(guest)


@case()
def by_hand(guest):
    """lethe now, with the stick in"""
    guest.send(NOW)


@case(end="reboot")
def by_hand_reboot(guest):
    """lethe now reboot"""
    guest.send(NOW + " reboot")


@case()
def by_hand_pulled(guest):
    """the stick is pulled out while nobody watches, caches are dropped, then lethe now"""
    guest.run("kill -STOP $(pidof lethe | tr ' ' '\\n' | sort -n | head -n 1)")
    pull(guest)
    drop_caches(guest)
    guest.send(NOW)


@case()
def nothing_open(guest):
    """lethe now from a shell with neither input nor output, on a machine whose console has gone"""
    guest.run("rm -f /dev/console /dev/tty0")
    guest.send(NOW + " <&- >&- 2>&-")


# Where a request is in flight the kernel's own power-off waits for the device: the machine is reset then.
@case(end="poweroff or reboot")
def hung(guest):
    """the stick's device neither answers nor fails; what waits for it is left behind"""
    guest.run("sync", timeout=60)  # a request that is in flight when it hangs costs the key, and the journal makes one every 5 s
    guest.hang(guest.stick)
    guest.send(NOW)


@case()
def slow(guest):
    """much is being written to a stick that takes 1 MiB a second"""
    guest.slow_down(guest.stick, 1 << 20)
    guest.send("head -c 64M /dev/urandom >/home/much; sync & sleep 2")
    time.sleep(8)
    guest.send(NOW)


@case()
def nameless_file(guest):
    """lethe now from a shell that has a nameless file of RAM open"""
    guest.send("exec 9</dev/shm/lethe-shm; rm /dev/shm/lethe-shm; " + NOW)


@case()
def three_times(guest):
    """lethe now three times at once"""
    guest.send("for i in 1 2; do setsid /run/initramfs/lethe now & done; " + NOW)


@case()
def memory_full(guest):
    """memory is nearly full"""
    guest.run("mount -o remount,size=100% /dev/shm; head -c $(awk '/^MemAvailable/ { print $2 - 24000 }' /proc/meminfo)k /dev/zero "
              ">/dev/shm/full; true", timeout=120)
    pull(guest)


@case(is_storm=True)
def fork_bomb(guest):
    """a fork bomb, with as many processes as systemd lets a user of this machine have (33 %)"""
    guest.send("echo 2600 >/sys/fs/cgroup/system.slice/lab-shell.service/pids.max; bomb() { bomb | bomb & }; (sleep 1; bomb) & sleep 4")
    time.sleep(6)
    pull(guest)


@case()
def many_processes(guest):
    """2,000 processes"""
    guest.run("echo max >/sys/fs/cgroup/system.slice/lab-shell.service/pids.max; "
              "for i in $(seq 2000); do sleep 1000 >/dev/null 2>&1 & done", timeout=200)
    pull(guest)


@case(ways="b")
def crashed_init(guest):
    """systemd has crashed and stands still"""
    guest.send("kill -SEGV 1")
    time.sleep(3)
    pull(guest)


def fire_from_udev(guest):
    guest.run("""mkdir -p /run/udev/rules.d; echo 'ACTION=="change", SUBSYSTEM=="mem", KERNEL=="zero", RUN+="/run/initramfs/lethe now"' >/run/udev/rules.d/99-kill.rules
udevadm control --reload""")
    guest.send("udevadm trigger --action=change /sys/class/mem/zero")


@case()
def udev_rule(guest):
    """lethe now from a udev rule, where it may neither mount nor end the machine: the watcher does it"""
    fire_from_udev(guest)


@case()
def udev_rule_unwatched(guest):
    """the same where nobody watches: systemd starts it anew"""
    guest.run("systemctl stop lethe-watch")
    fire_from_udev(guest)


@case()
def sandbox(guest):
    """lethe now in a service with a filter that ends a process for what it forbids, and mounts of its own, all read-only"""
    guest.send("systemd-run -p SystemCallFilter=@system-service -p ProtectSystem=strict -p PrivateMounts=yes -p PrivateNetwork=yes /run/initramfs/lethe now")


@case()
def read_only_sys(guest):
    """/proc/sys can't be written to"""
    guest.run("mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys")
    pull(guest)


@case()
def panics(guest):
    """a kernel that is told to panic at a warning and when memory is out, and to stay so"""
    guest.run("echo 1 >/proc/sys/kernel/panic_on_warn; echo 1 >/proc/sys/vm/panic_on_oom; echo 0 >/proc/sys/kernel/panic")
    pull(guest)


@case()
def stopped_services(guest):
    """no udev, no dbus, no journal"""
    guest.run("systemctl stop systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udevd dbus.socket dbus "
              "systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket systemd-journald 2>&1; true", timeout=60)
    pull(guest)


@case(by_deadman=True)
def deadman(guest):
    """lethe now --deadline=2, which is too short: the deadman ends it, and the key is gone"""
    guest.send(NOW + " --deadline=2")


@case(ways="a", by_systemd=True)
def not_watched(guest):
    """the stick is pulled out while nobody watches, caches are dropped, and systemd is told to power off"""
    guest.run("systemctl stop lethe-watch")
    pull(guest)
    drop_caches(guest)
    guest.send("kill -38 1")  # SIGRTMIN+4: systemctl itself was on the stick


@case(ways="a", by_systemd=True)
def not_watched_cached(guest):
    """the same with all that a power-off runs still in the page cache"""
    guest.run("systemctl stop lethe-watch; cat /bin/umount /bin/mount /usr/lib/systemd/systemd* /lib/x86_64-linux-gnu/*.so* >/dev/null; true", timeout=120)
    pull(guest)
    guest.send("systemctl poweroff")


def name_of(function, way):
    return f"{function.__name__.replace('_', '-')}/{way}"


@contextmanager
def prepared(lethe, kernel, key, suite):
    with live.booted(live.stick(lethe, suite), KERNELS[kernel], name=suite) as guest:
        guest.run("systemctl start lethe-watch", timeout=60)
        guest.run("for i in $(seq 120); do sleep 1000 >/dev/null 2>&1 & done")
        guest.run("plant " + " ".join(live.KINDS), timeout=120)
        guest.run("head -c 8M /dev/urandom >/home/dirty")
        before = guest.scan(live.KINDS, key)
        if not all(before.values()):
            raise lab.Failure(f"planted, but not in RAM: {before}")
        guest.save()
        yield guest


def problems_of(guest, end, way, key, wanted, is_storm, by_deadman, by_systemd):
    found = guest.scan(live.KINDS, key)
    left = {kind: n for kind, n in found.items() if n and (kind == "key" or not by_deadman)}
    said = re.findall(r"lethe: (.*)", guest.console.replace("\r", ""))
    emergency = [line for line in said if f"(emergency {'as' if way == 'a' else 'beside'} PID 1: " in line]
    if end not in wanted.split(" or "):
        yield f"it ended by {end}, not {wanted}"
    if left:
        yield f"left in RAM: {left}"
    if any("the deadman ends" in line for line in said) != by_deadman:
        yield "the deadman did not end it" if by_deadman else "the deadman had to end it"
    if not is_storm and not by_deadman and bool(emergency) == by_systemd:
        yield "it went another way"
    if emergency and not is_storm and ": 1 keys " not in emergency[0]:
        yield "the key was not wiped at first"


def run(guest, key, function, way, *expected):
    """One case; what went wrong, and a line about it."""
    guest.restore()
    guest.run(f"umount {PLACE}" if way == "b" else "true")
    try:
        function(guest)
        end = guest.wait_end(300 if expected[-1] else 120)
        problems = list(problems_of(guest, end, way, key, *expected))
        stamps = re.findall(r"lethe: \w+ after ([\d.]+) s \(emergency [^:]*: (.*?)\)", guest.console)
        line = f"off after {stamps[-1][0]} s: {stamps[-1][1]}" if stamps else "off"
    except lab.Failure as failure:
        problems, line = [str(failure)], "broke off"
    said = [line for line in guest.console.splitlines() if "lethe" in line]
    return problems + (said[-12:] if problems else []), line


def main():
    parser = cases.parser(__doc__)
    parser.add_argument("--build", default="build", help="Lethe's build folder, with prefix /usr (build)")
    parser.add_argument("--kernel", choices=KERNELS, action="append", help="one that clears what is freed, or a default one (both)")
    live.add_option(parser)
    parser.add_argument("--brief", action="store_true", help="on the default kernel only the first cases")
    parser.add_argument("--again", type=int, default=1, metavar="N", help="each case so many times")
    options = parser.parse_args()
    chosen = [c for c in CASES if cases.is_chosen(name_of(c[0], c[1]), options.cases)]
    tally = cases.Tally("kill", options.list)
    if options.list:
        for function, way, *_ in chosen:
            tally.run(name_of(function, way), cases.about(function), None)
        return tally.end()
    key = live.persistence() / "key"
    with tempfile.TemporaryDirectory() as folder:
        lethe = live.installed(options.build, Path(folder) / "lethe")
        for kernel in options.kernel or KERNELS:
            few = options.brief and kernel == "default"
            runs = (chosen[:BRIEF] if few else chosen) * options.again
            while runs:
                with prepared(lethe, kernel, key, options.suite) as guest:
                    saved = time.monotonic()
                    while runs and time.monotonic() < saved + SECONDS:
                        one = runs.pop(0)
                        problems, line = run(guest, key, *one)
                        tally.tell(f"{options.suite} {kernel} {name_of(*one[:2])}: {line}", problems)
                        if options.verbose:
                            print("\n".join(line for line in guest.console.splitlines() if "lethe" in line))
    return tally.end()


if __name__ == "__main__":
    sys.exit(main())
