#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `lethe watch` fires on and what it does not, on a real live system (live.py): test_watch.py [--build DIR] [--list] [CASE...]

One system is booted and kept as it is when the watcher has begun; each case goes back to that moment. CASE may be a part of a name.
"""

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

import lab
import live
import small

CORD = "usb:46f4:0001:lanyard"
OFF_WITHIN = 60  # generous: a hang limit
CASES = []


def case(function):
    CASES.append(function)
    return function


def want(true, what):
    if not true:
        raise lab.Failure(what)


def watcher(guest):
    """The pid of the watcher itself; its child keeps PID 1's files."""
    return guest.run("systemctl show -P MainPID lethe-watch").split()[-1]


def want_off(guest, reason, end="poweroff"):
    ended = guest.wait_end(OFF_WITHIN)
    want(ended == end, f"it ended by {ended}")
    want(re.search(f"kill switch: {reason}", guest.console), f"another reason than '{reason}':\n{guest._tail()}")


def want_on(guest, seconds=3):
    """Nothing has fired, and the watcher still watches."""
    time.sleep(seconds)
    want("kill switch" not in guest.console, f"it fired:\n{guest._tail()}")
    want(guest.run("systemctl is-active lethe-watch", check=False) == "active", "the watcher has ended")


def start_again(guest, options):
    guest.run(f"echo 'LETHE_WATCH_OPTIONS=\"{options}\"' >/etc/default/lethe; systemctl restart lethe-watch", timeout=60)


# -- it fires ---------------------------------------------------------------------------------------------------------------


@case
def stick_pulled(guest):
    """fires: the stick is pulled out"""
    guest.unplug("stick")
    want_off(guest, "the medium sd. is gone")


@case
def pulled_before(guest):
    """fires: the stick was pulled out while nobody watched, when the watcher begins"""
    guest.run("systemctl stop lethe-watch")
    guest.unplug("stick")
    time.sleep(2)
    guest.send("exec /run/initramfs/lethe watch")
    want_off(guest, "the medium is gone, since")


@case
def disc_ejected(guest):
    """fires: the disc is taken out of the drive that a medium is mounted from"""
    guest.run("modprobe sr_mod; mkdir -p /mnt/disc; mount -r /dev/sr0 /mnt/disc")
    start_again(guest, "")
    want("sr0" in guest.run("/run/initramfs/lethe watch --list"), "the drive is no medium")
    want_on(guest)
    # QEMU's drive says nothing of an open tray, only of a tray that was closed.
    guest.qmp("blockdev-open-tray", id="cd", force=True)
    guest.qmp("blockdev-remove-medium", id="cd")
    guest.qmp("blockdev-close-tray", id="cd")
    try:
        want_off(guest, "the medium sr0 is gone")
    finally:
        guest.qmp("blockdev-open-tray", id="cd", force=True)
        guest.qmp("blockdev-insert-medium", **{"id": "cd", "node-name": "disc"})
        guest.qmp("blockdev-close-tray", id="cd")


@case
def cord_pulled(guest):
    """fires: a cord, named by its identity, is pulled out"""
    start_again(guest, f"--cord={CORD}")
    guest.unplug("lanyard")
    want_off(guest, "the cord ")


@case
def cord_late(guest):
    """fires: a cord that was plugged in after the watcher had begun is pulled out"""
    guest.run("systemctl stop lethe-watch")
    guest.unplug("lanyard")
    start_again(guest, f"--cord={CORD}")
    guest.plug(guest.lanyard)
    want_on(guest)
    guest.unplug("lanyard")
    want_off(guest, "the cord ")


@case
def reboot_instead(guest):
    """fires: with --verb=reboot the machine reboots"""
    start_again(guest, "--verb=reboot")
    guest.unplug("stick")
    want(guest.wait_end(OFF_WITHIN) == "reboot", "it did not reboot")


@case
def grace(guest):
    """--grace=6 with a persistence in use: counts down, does not fire when the stick is back in time, does when it is not"""
    start_again(guest, "--grace=6")
    guest.unplug("stick")
    time.sleep(2)
    want("the kill switch fires in" in guest.console, "no countdown")
    guest.plug(guest.stick)
    time.sleep(8)
    want("the medium is back: sd" in guest.console, "it was not seen to be back")
    want("kill switch: " not in guest.console, "it fired")
    guest.unplug("stick")
    want_off(guest, "the medium sd")


# -- it does not fire -------------------------------------------------------------------------------------------------------


@case
def partitions_read_again(guest):
    """does not fire: the partition table is read again"""
    guest.run("for i in 1 2 3; do for d in sda sdb; do blockdev --rereadpt /dev/$d; done; done 2>&1; true")
    want_on(guest)


@case
def udev_trigger(guest):
    """does not fire: udevadm trigger asks for removals of the medium, its partitions and its USB device"""
    guest.run("for action in add change remove; do udevadm trigger --action=$action --subsystem-match=block; "
              "udevadm trigger --action=$action --subsystem-match=usb; done; udevadm settle; "
              "for d in /sys/block/sd? /sys/block/sd?/sd?1 /sys/block/loop0; do echo remove >$d/uevent; done", timeout=90)
    want_on(guest)


@case
def another_stick(guest):
    """does not fire: another stick is pulled out and plugged in again"""
    guest.unplug("lanyard")
    want_on(guest)
    guest.plug(guest.lanyard)
    want_on(guest)


@case
def forged(guest):
    """does not fire: a process says that the medium was removed, to all and to the watcher's own port"""
    guest.run("/usr/local/bin/forge 8:0; /usr/local/bin/forge 8:16; awk '$2 == 15 { print $3 }' /proc/net/netlink | while read port; do "
              "[ $port = 0 ] || /usr/local/bin/forge 8:0 $port; /usr/local/bin/forge 8:16 $port; done 2>&1; true")
    want_on(guest)


@case
def suspended(guest):
    """does not fire: suspend and resume"""
    suspend(guest)
    want_on(guest, 5)


@case
def moved_while_asleep(guest):
    """does not fire: the stick was pulled out and plugged in again during a suspend and comes back under another name"""
    def move():
        guest.unplug("stick")
        guest.plug(guest.stick)
    suspend(guest, move)
    want_on(guest, 16)


@case
def gone_while_asleep(guest):
    """fires: the stick was pulled out during a suspend"""
    suspend(guest, lambda: guest.unplug("stick"))
    # After a suspend QEMU's machine can't be switched off any more, by poweroff -f neither: it is reset instead.
    want_off(guest, "the medium sd. is gone", "reboot")


def suspend(guest, meanwhile=None):
    guest.send("sleep 1; echo mem >/sys/power/state")
    deadline = time.monotonic() + 60
    while guest.qmp("query-status")["status"] != "suspended":
        want(time.monotonic() < deadline, "the guest does not go to sleep")
        time.sleep(0.2)
    if meanwhile:
        meanwhile()
    guest.qmp("system_wakeup")


@case
def errors_that_recover(guest):
    """does not fire: the medium does not answer for a while"""
    guest.hang(guest.stick)
    guest.run("(head -c 4M /dev/sda >/dev/null; head -c 4M /dev/sdb >/dev/null) 2>/dev/null &")
    time.sleep(5)
    guest.hang(guest.stick, False)
    want_on(guest, 5)


@case
def stopped(guest):
    """does not fire: the watcher is stopped and continued, and ended by systemctl stop"""
    guest.run(f"kill -STOP {watcher(guest)}; sleep 1; kill -CONT {watcher(guest)}")
    want_on(guest, 1)
    guest.run("systemctl stop lethe-watch")
    guest.unplug("lanyard")
    time.sleep(2)
    want("kill switch" not in guest.console, "it fired")


# -- what it costs ----------------------------------------------------------------------------------------------------------


@case
def flood(guest):
    """100,000 changes and removals of other devices: the time it takes, and that it fires after them all the same"""
    guest.run("systemctl stop systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-udevd 2>&1", timeout=60)
    ticks = f"awk '{{ print $14 + $15 }}' /proc/{watcher(guest)}/stat"
    before = int(guest.run(ticks))
    begun = time.monotonic()
    guest.run("i=0; while [ $i -lt 50000 ]; do echo change >/sys/class/mem/null/uevent; echo remove >/sys/class/mem/zero/uevent; "
              "i=$((i + 1)); done", timeout=300)
    print(f"     {(int(guest.run(ticks)) - before) / 100:.2f} s of processor in {time.monotonic() - begun:.0f} s")
    want_on(guest, 1)
    guest.unplug("stick")
    want_off(guest, "the medium sd. is gone")


@case
def idle(guest):
    """no wake-up in 20 s, at most 1 MiB locked, no descriptors but those it needs"""
    pid = watcher(guest)
    switches = f"awk '/ctxt_switches/ {{ n += $2 }} END {{ print n }}' /proc/{pid}/status"
    before = int(guest.run(switches))
    time.sleep(20)
    after = int(guest.run(switches))
    want(after == before, f"{after - before} wake-ups")
    status = guest.run(f"cat /proc/{pid}/status")
    locked, resident = (int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) for name in ("VmLck", "VmRSS"))
    files = guest.run(f"ls -l /proc/{pid}/fd | awk 'NF > 8 {{ print $9, $11 }}'").splitlines()
    print(f"     no wake-up, {resident} KiB resident, {locked} KiB of addresses locked as they are touched, "
          f"{len(files)} descriptors: {', '.join(files)}")
    want(resident <= 1024, f"{resident} KiB are resident")
    want(len(files) == 5, f"descriptors: {files}")


@case
def nothing_to_watch(guest):
    """a system that does not run from a medium: it says so and ends with 0"""
    said = guest.run("unshare -m sh -c 'umount -l /run/live/medium /run/live/rootfs/* 2>/dev/null; mount -t tmpfs x /mnt; true'; "
                     "/run/initramfs/lethe watch --list")
    want(re.match("medium: sd. usb:46f4:0001", said), said)
    said = guest.run("/run/initramfs/lethe watch --cord=lanyard; echo $?")
    want(said.endswith("2") and "usb:VVVV:PPPP" in said, said)


def run(guest, function):
    guest.restore()
    try:
        function(guest)
    except lab.Failure as failure:
        return str(failure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build", help="Lethe's build folder, with prefix /usr (build)")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("cases", nargs="*", metavar="CASE")
    options = parser.parse_args()
    chosen = [c for c in CASES if not options.cases or any(part in c.__name__ for part in options.cases)]
    if options.list:
        for function in chosen:
            print(f"{function.__name__:22} {function.__doc__}")
        return 0
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        lethe = live.installed(options.build, Path(folder) / "lethe")
        (lethe / "usr/local/bin").mkdir(parents=True)
        (lethe / "usr/local/bin/forge").write_bytes(lab.compiled("forge", static=True).read_bytes())
        (lethe / "usr/local/bin/forge").chmod(0o755)
        lanyard = lab.Stick(small.blank_disk(), "lanyard", "usb-storage,bus=xhci.0,removable=on,serial=lanyard")
        disc = ["-blockdev", f"raw,node-name=disc,read-only=on,file.driver=file,file.filename={small.iso()}",
                "-device", "ide-cd,bus=ide.0,drive=disc,id=cd"]
        with live.booted(live.stick(lethe), "init_on_free=1 no_console_suspend", sticks=[lanyard], args=disc) as guest:
            guest.lanyard = lanyard
            guest.run("systemctl start lethe-watch", timeout=60)
            guest.save()
            for function in chosen:
                begun = time.monotonic()
                problem = run(guest, function)
                print(f"{'FAIL' if problem else 'ok'} watch {time.monotonic() - begun:5.1f} s {function.__name__:22} {function.__doc__}",
                      *([problem] if problem else []), sep="\n     ", flush=True)
                failed += bool(problem)
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
