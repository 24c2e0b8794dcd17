#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `lethe watch` fires on and what it does not: test_watch.py [--build DIR] [--suite NAME] [--list] [CASE...]

Most cases are of a real live system on a stick (live.py), which is booted once and kept as it is when the watcher has begun; each case
goes back to that moment. What depends on where a system starts from has small systems (small.py). CASE may be a part of a name.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cases
import lab
import live
import small
from cases import want

CORD = "usb:46f4:0001:lanyard"
OFF_WITHIN = 60  # generous: a hang limit
USB = ["xhci_pci", "usb_storage", "sd_mod", "ext4", "isofs", "sr_mod", "ahci"]
CASES = []


def case(function):
    CASES.append(function)
    return function


def asleep(function):
    """A case with a suspend: only on Debian 12, for QEMU 7.2 resumes a kernel 6.12 into a panic."""
    function.suites = ["bookworm"]
    return case(function)


def starting_from(start):
    """A case of a small system that starts from there."""
    def take(function):
        function.start = start
        return case(function)
    return take


def watcher(guest):
    """The pid of the watcher itself; its child keeps PID 1's files."""
    return guest.run("systemctl show -P MainPID lethe-watch").split()[-1]


def want_off(guest, reason, end="poweroff"):
    ended = guest.wait_end(OFF_WITHIN)
    want(ended == end, f"it ended by {ended}")
    want(re.search(f"kill switch: {reason}", guest.console), f"another reason than '{reason}':\n{guest._tail()}")


def wait_said(guest, text, seconds=30):
    deadline = time.monotonic() + seconds
    while text not in guest.console:
        want(time.monotonic() < deadline, f"it does not say '{text}':\n{guest._tail()}")
        guest.run("sleep 0.2")


def want_on(guest, seconds=3):
    """Nothing has fired, and the watcher still watches."""
    time.sleep(seconds)
    want("kill switch" not in guest.console, f"it fired:\n{guest._tail()}")
    want(guest.run("systemctl is-active lethe-watch", check=False) == "active", "the watcher has ended")


def start_again(guest, options):
    guest.run(f"echo 'LETHE_WATCH_OPTIONS=\"{options}\"' >/etc/default/lethe; systemctl restart lethe-watch", timeout=60)
    wait_watching(guest, watcher(guest))


def wait_watching(guest, pid):
    """Until it has settled down: it sleeps, with what is left of it locked."""
    guest.run(f"until grep -q 'VmLck:.* [1-9]' /proc/{pid}/status && grep -q poll /proc/{pid}/wchan; do sleep 0.1; done", timeout=60)


def watch(guest, options=""):
    """Start it by hand, in a small system; its pid."""
    guest.arm()
    pid = guest.run(f"/run/initramfs/lethe watch {options} </dev/null >/run/said 2>&1 & echo $!").split()[-1]
    wait_watching(guest, pid)
    return pid


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
def killed(guest):
    """fires: the watcher is killed, the stick is pulled out, and systemd starts the watcher again"""
    guest.run(f"kill -9 {watcher(guest)}")
    guest.unplug("stick")
    want_off(guest, "the medium is gone, since")


@case
def pulled_while_it_begins(guest):
    """fires: the stick is pulled out in the moment in which the watcher begins"""
    for pause in (0, 0.06, 0.12, 0.25):
        guest.run("systemctl stop lethe-watch")
        guest.send("systemctl start lethe-watch")
        time.sleep(pause)
        guest.unplug("stick")
        want_off(guest, "the medium ")
        guest.restore()


@starting_from("disc")
def disc_ejected(guest):
    """fires: the disc that the system runs from is taken out of its drive"""
    watch(guest)
    want("medium: sr0 " in guest.run("lethe watch --list"), "the drive is no medium")
    small_wants_on(guest)
    guest.take_out("disc")
    want_off(guest, "the medium sr0 is gone")


@starting_from("iso")
def image_on_a_stick(guest):
    """fires: the stick is pulled out on which the ISO image lies that the system runs from"""
    watch(guest)
    guest.unplug("medium")
    want_off(guest, "the medium sda is gone")


@starting_from("stick")
def card_taken_out(guest):
    """fires: the card that the system runs from is taken out of its reader, which stays"""
    watch(guest)
    guest.take_out("node-medium")
    want_off(guest, "the medium sda is gone")


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
def frozen_usb(guest):
    """--freeze-usb: a device that may go does not fire; with --grace a mouse that is pulled out again does not, one that stays does"""
    start_again(guest, f"--freeze-usb --free={CORD} --grace=6")
    guest.unplug("lanyard")
    want_on(guest)
    mouse = {"driver": "usb-mouse", "bus": "xhci.0", "id": "mouse"}
    guest.qmp("device_add", **mouse)
    wait_said(guest, "the set of USB devices has changed: the kill switch fires in")
    guest.unplug("mouse")
    wait_said(guest, "the set of is back: USB devices")
    start_again(guest, "--freeze-usb")
    guest.qmp("device_add", **{**mouse, "id": "another"})
    want_off(guest, "the set of USB devices has changed")


def turn(guest, hand, on):
    """Have a hand of laptop.asl's do something, or undo it."""
    guest.run(f"echo {on:d} >/sys/bus/platform/devices/PNP0C0B:0{hand}/thermal_cooling/cur_state", check=False)


PULL, SHUT = 0, 1


def fires_unless_undone(guest, option, hand, speakers, gone, back):
    """What the hand does fires, unless it is undone within --grace; that a device speaks up without a change does not."""
    guest.run(f"for i in 1 2 3; do for d in {speakers}; do echo change >$d/uevent; done; done")
    want_on(guest)
    turn(guest, hand, True)
    wait_said(guest, f"{gone}: the kill switch fires in")
    turn(guest, hand, False)
    wait_said(guest, back)
    start_again(guest, option)
    turn(guest, hand, True)
    want_off(guest, gone)


@case
def power_lost(guest):
    """--cord=power: pulling the laptop's cable fires, unless it is back within --grace; that the supply speaks up does not"""
    start_again(guest, "--cord=power --grace=8")
    fires_unless_undone(guest, "--cord=power", PULL, "/sys/class/power_supply/*", "the cord power is gone", "the cord is back: power")


@case
def lid_closed(guest):
    """--lid: closing it fires, unless it is opened again within --grace; that it speaks up does not, nor does the cable"""
    start_again(guest, "--lid --grace=8")
    turn(guest, PULL, True)
    fires_unless_undone(guest, "--lid", SHUT, "/sys/class/input/*", "the laptop's lid is closed", "the laptop's is back: lid")


@case
def neither_asked_for(guest):
    """without --cord=power and --lid neither the cable nor the lid fires"""
    guest.run("mkdir -p /run/systemd/logind.conf.d; printf '[Login]\\nHandleLidSwitch=ignore\\n' >/run/systemd/logind.conf.d/lab.conf; "
              "systemctl restart systemd-logind", timeout=60)
    turn(guest, PULL, True)
    turn(guest, SHUT, True)
    want(guest.run("cat /sys/class/power_supply/ADP1/online /proc/acpi/button/lid/LID0/state").split() == ["0", "state:", "closed"], "nothing was done")
    want_on(guest)


@case
def shutdown_hangs(guest):
    """fires: lethe-limit.service, in a shutdown in which a service never ends; not before, and not for one that is in time"""
    guest.run("systemctl enable lethe-limit; echo LETHE_SHUTDOWN_LIMIT=5 >/etc/default/lethe; "
              "systemd-run --unit=stuck -p TimeoutStopSec=infinity -p 'ExecStop=/bin/sleep infinity' sleep infinity", timeout=60)
    want_on(guest, 8)
    guest.send("systemctl --no-block poweroff")
    want_off(guest, "the time is over")


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


@case
def both_at_once(guest):
    """--grace=20: a cord that is pulled out while the stick is missing has a countdown of its own"""
    start_again(guest, f"--grace=20 --cord={CORD}")
    guest.unplug("stick")
    time.sleep(2)
    guest.unplug("lanyard")
    time.sleep(2)
    want("the cord " in guest.console, "the cord is not missed")
    guest.plug(guest.stick)
    want_off(guest, "the cord ")


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
def another_read_only(guest):
    """does not fire: another stick, mounted read-only when the watcher begins, is pulled out"""
    guest.run("mkfs.ext4 -q /dev/disk/by-id/usb-*lanyard*; mount -r /dev/disk/by-id/usb-*lanyard* /mnt", timeout=60)
    start_again(guest, "")
    want(guest.run("/run/initramfs/lethe watch --list | grep -c ^medium:") == "1", "it is taken for the medium")
    guest.unplug("lanyard")
    want_on(guest)


@starting_from("stick")
def reader_resets(guest):
    """does not fire: a reader says that its card may have been changed, but it is there"""
    guest.run("echo 500 >/sys/block/sda/events_poll_msecs")
    watch(guest)
    before = guest.run("cat /sys/block/sda/diskseq")
    for _ in range(3):
        guest.report_change("node-medium")
        time.sleep(1)
    small_wants_on(guest)
    want(guest.run("cat /sys/block/sda/diskseq") != before, "the kernel has seen no change")
    guest.unplug("medium")
    want_off(guest, "the medium sda is gone")


@case
def another_disc(guest):
    """does not fire: a disc is mounted, and taken out of its drive"""
    guest.run("modprobe sr_mod; mkdir -p /mnt/disc; mount -r /dev/sr0 /mnt/disc")
    start_again(guest, "")
    drive = guest.take_out("disc")
    try:
        want_on(guest, 5)
    finally:
        guest.put_in(drive, "disc")


@case
def forged(guest):
    """does not fire: a process says that the medium was removed, to all and to the watcher's own port"""
    guest.run("/usr/local/bin/forge 8:0; /usr/local/bin/forge 8:16; awk '$2 == 15 { print $3 }' /proc/net/netlink | while read port; do "
              "[ $port = 0 ] || /usr/local/bin/forge 8:0 $port; /usr/local/bin/forge 8:16 $port; done 2>&1; true")
    want_on(guest)


@asleep
def suspended(guest):
    """does not fire: suspend and resume"""
    suspend(guest)
    want_on(guest, 5)


@asleep
def moved_while_asleep(guest):
    """does not fire: the stick was pulled out and plugged in again during a suspend and comes back under another name"""
    def move():
        guest.unplug("stick")
        guest.plug(guest.stick)
    suspend(guest, move)
    want_on(guest, 16)


@asleep
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
    pid = watcher(guest)
    guest.run(f"kill -STOP {pid}; sleep 1; kill -CONT {pid}")
    want_on(guest, 1)
    guest.run("systemctl stop lethe-watch")
    guest.unplug("lanyard")
    time.sleep(2)
    want("kill switch" not in guest.console, "it fired")


# -- what it costs ----------------------------------------------------------------------------------------------------------


@case
def flood(guest):
    """100,000 changes and removals of other devices: the time it takes, and that it fires after them all the same"""
    pid = watcher(guest)
    ticks = f"awk '{{ print $14 + $15 }}' /proc/{pid}/stat"
    before = int(guest.run(ticks))
    begun = time.monotonic()
    make_flood(guest, 100_000)
    print(f"     {(int(guest.run(ticks)) - before) / 100:.2f} s of processor in {time.monotonic() - begun:.0f} s")
    want_on(guest, 1)
    guest.unplug("stick")
    want_off(guest, "the medium sd. is gone")


def make_flood(guest, n):
    guest.run("systemctl stop systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-udevd 2>&1", timeout=60)
    guest.run(f"i=0; while [ $i -lt {n // 2} ]; do echo change >/sys/class/mem/null/uevent; echo remove >/sys/class/mem/zero/uevent; "
              "i=$((i + 1)); done", timeout=300)


@case
def overrun(guest):
    """fires: the stick was pulled out while more was said than the kernel keeps for the watcher"""
    pid = watcher(guest)
    guest.run(f"kill -STOP {pid}")
    make_flood(guest, 4000)
    want(int(guest.run(f"awk '$2 == 15 && $3 == {pid} {{ print $9 }}' /proc/net/netlink")) > 0, "nothing was lost")
    guest.unplug("stick")
    time.sleep(2)
    guest.send(f"kill -CONT {pid}")
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
    print(f"     no wake-up, {resident} KiB resident, {locked} KiB locked, "
          f"{len(files)} descriptors: {', '.join(files)}")
    want(0 < locked <= 1024 and resident <= 1024, f"{locked} KiB are locked, {resident} KiB resident")
    kinds = sorted(re.sub(r"\W?\[.*", "", file.split()[-1]) for file in files)
    want(kinds == ["/", "/dev/null", "/dev/null", "/dev/null", "/run/initramfs/fire", "anon_inode", "socket"], f"descriptors: {kinds}")


@starting_from("toram")
def nothing_to_watch(guest):
    """a system that was copied to RAM, its stick still there: it says so and ends with 0; armed, it waits for who needs help, and fires then"""
    said = guest.run("lethe watch; echo $?")
    want(re.search("nothing to watch\n0$", said), said)
    want("medium:" not in guest.run("lethe watch --list"), "it has a medium")
    watch(guest)
    want("nothing to watch, waits for" in guest.run("cat /run/said"), "it does not say that it waits")
    guest.send("echo --verb=reboot >/run/initramfs/fire")
    want_off(guest, "asked for by another process", "reboot")


@case
def used_wrongly(guest):
    """as nobody, in a namespace of its own, with an option that it does not know: a word, status 2, and it does not begin"""
    for command, why in [("setpriv --reuid=65534 --clear-groups", "only root"), ("unshare -pf", "pid or user namespace"), ("unshare -r", "pid or user namespace"), ("unshare -m", "mounts of its own")]:
        said = guest.run(f"{command} /run/initramfs/lethe watch; echo $?")
        want(said.endswith("2") and why in said, f"{command}: {said}")
    for option, why in [("--cord=lanyard", "usb:VVVV:PPPP"), ("--cord=usb:46f4:1:x", "usb:VVVV:PPPP"), ("--grace=soon", "'--grace=soon' can't be used"),
                        ("--verb=dance", "'--verb=dance' can't be used"), ("medium", "'medium': unknown argument")]:
        said = guest.run(f"/run/initramfs/lethe watch {option}; echo $?")
        want(said.endswith("2") and why in said, f"{option}: {said}")
    said = guest.run("cd /home && /run/initramfs/lethe watch --list")
    want(re.match("medium: sd. usb:46f4:0001", said), said)


def small_wants_on(guest):
    time.sleep(3)
    want("kill switch" not in guest.console, f"it fired:\n{guest._tail()}")
    want(guest.run("pidof lethe"), "the watcher has ended")


def laptop_args(folder):
    """QEMU's arguments for a laptop's cable and lid, compiled into the folder."""
    subprocess.run(["iasl", "-p", f"{folder}/laptop", lab.HERE / "laptop.asl"], check=True, capture_output=True)
    return ["-acpitable", f"file={folder}/laptop.aml"]


def problem_of(function, guest):
    try:
        function(guest)
    except lab.Failure as failure:
        return str(failure)
    return None


def run_all(chosen, build, suite):
    """Runs the cases, those of small systems first, and yields each with the seconds it took and its problem."""
    for function in chosen:
        if hasattr(function, "start"):
            begun = time.monotonic()
            with small.booted(Path(build).resolve() / "init/lethe", start=function.start, kernel=live.base("bookworm"), load=USB) as guest:
                problem = problem_of(function, guest)
            yield function, time.monotonic() - begun, problem
    chosen = [function for function in chosen if not hasattr(function, "start")]
    if not chosen:
        return
    with tempfile.TemporaryDirectory() as folder:
        lethe = live.installed(build, Path(folder) / "lethe")
        (lethe / "usr/local/bin").mkdir(parents=True)
        (lethe / "usr/local/bin/forge").write_bytes(lab.compiled("forge", static=True).read_bytes())
        (lethe / "usr/local/bin/forge").chmod(0o755)
        lanyard = lab.Stick(small.blank_disk(), "lanyard", "usb-storage,bus=xhci.0,removable=on,serial=lanyard")
        with live.booted(live.stick(lethe, suite), "init_on_free=1 no_console_suspend", [lanyard], suite,
                         args=[*lab.disc_args(small.iso()), *laptop_args(folder)]) as guest:
            guest.lanyard = lanyard
            guest.run("modprobe -a ac button fan evdev; until [ -e /sys/class/power_supply/ADP1 ]; do sleep 0.2; done", timeout=60)
            guest.run("systemctl start lethe-watch", timeout=60)
            wait_watching(guest, watcher(guest))
            guest.save()
            for function in chosen:
                begun = time.monotonic()
                guest.restore()
                problem = problem_of(function, guest)
                yield function, time.monotonic() - begun, problem


def main():
    parser = cases.parser(__doc__)
    parser.add_argument("--build", default="build", help="Lethe's build folder, with prefix /usr (build)")
    live.add_option(parser)
    options = parser.parse_args()
    chosen = [c for c in CASES if cases.is_chosen(c.__name__, options.cases) and options.suite in getattr(c, "suites", [options.suite])]
    tally = cases.Tally("watch", options.list)
    for function, seconds, problem in [] if options.list else run_all(chosen, options.build, options.suite):
        tally.tell(f"{seconds:5.1f} s  {function.__name__:22} {cases.about(function)}", [problem] if problem else [])
    for function in chosen if options.list else []:
        tally.run(function.__name__, cases.about(function), None)
    return tally.end()


if __name__ == "__main__":
    sys.exit(main())
