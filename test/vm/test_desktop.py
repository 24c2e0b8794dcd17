#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lethe on a live system with what a desktop has: test_desktop.py [--build DIR] [--list] [CASE...]

What has the screen and the keyboard when the end comes, and what else watches the USB. A real live system (live.py) is booted once, and
each case goes back to that moment. CASE may be a part of a name. With $PICTURES what was there before, and what Lethe drew over it, are
written into that folder.
"""

import re
import sys
import tempfile
import time
from pathlib import Path

import cases
import lab
import live
import screen
import small
import test_screen as s
from cases import want

SYSTEM = "trixie-desktop"
KEYS = ("ctrl", "alt", "f12")
LANYARD = "46f4:0001"
PREPARE = """echo amnesia:x:1000:1000::/:/bin/sh >>/etc/passwd; echo amnesia:x:1000: >>/etc/group
printf 'auth required pam_deny.so\\naccount required pam_permit.so\\nsession required pam_systemd.so\\n' >/etc/pam.d/lab
mkdir -p /etc/plymouth; printf '[Daemon]\\nTheme=spinner\\n' >/etc/plymouth/plymouthd.conf
for unit in usbguard greetd; do cp /usr/lib/systemd/system/$unit.service /run/systemd/system/lab-$unit.service; done # not by themselves
sed -i 's/vt = 7/vt = 1/' /etc/greetd/config.toml
systemctl daemon-reload; systemctl start polkit systemd-logind
mkdir -p /usr/lib/systemd/system-shutdown; printf '#!/bin/sh\\necho lab: hands over >/dev/ttyS0\\n' >/usr/lib/systemd/system-shutdown/lab
chmod 755 /usr/lib/systemd/system-shutdown/lab
until grep . /proc/fb; do sleep 0.2; done"""
MASKED = "systemd.mask=usbguard.service systemd.mask=greetd.service"  # they have to wait for their cases
CASES = []


def case(function):
    CASES.append(function)
    return function


def wait_graphics(guest):
    """Until what was started has drawn: more than a text screen's colours, or one that is not black."""
    deadline = time.monotonic() + 240
    while True:
        now = guest.seen.picture()
        if now.n_colours > 16 or not now.is_dark:
            return now
        want(time.monotonic() < deadline, "nothing is drawn", guest)
        time.sleep(1)


def watch(guest, options):
    guest.run(f"echo 'LETHE_WATCH_OPTIONS=\"{options}\"' >/etc/default/lethe; systemctl restart lethe-watch", timeout=60)
    guest.run("until grep -q poll /proc/$(systemctl show -P MainPID lethe-watch)/wchan; do sleep 0.2; done", timeout=60)


def hold(guest):
    guest.qmp("input-send-event", events=[{"type": "key", "data": {"down": True, "key": {"type": "qcode", "data": key}}} for key in KEYS])


def want_shown(guest, name, before, fire, since=""):
    """Fire; the screen tells what is done, whatever had it."""
    fire()
    working, done = s.followed(guest, guest.seen, name, s.WORKING[:2], s.DONE, timeout=600, since=since)
    s.keep(name, working=working, done=done, **({"before": before} if before.n_colours <= 256 else {}))


def start_xorg(guest):
    guest.run("systemd-run --unit=xorg /usr/lib/xorg/Xorg :0 vt7 -noreset; until [ -S /tmp/.X11-unix/X0 ]; do sleep 0.2; done", timeout=120)


def lock(guest):
    start_xorg(guest)
    guest.run("systemd-run --unit=lock -p Restart=on-failure -p RestartSec=1 --setenv=DISPLAY=:0 --setenv=HOME=/root i3lock -n -c 204060", timeout=60)


def start_weston(guest):
    guest.run("systemd-run --unit=weston -p User=amnesia -p PAMName=lab -p StandardInput=tty -p TTYPath=/dev/tty2 "
              "-p Restart=on-failure -p RestartSec=2 "
              "sh -c 'busybox chvt 2; exec weston --renderer=pixman --idle-time=0'", timeout=60)
    guest.run("busybox chvt 2", timeout=60)


def start_greeter(guest):
    guest.run("systemctl stop getty@tty1; systemctl start lab-greetd; sleep 5; busybox chvt 1; systemctl is-active lab-greetd", timeout=120)


@case
def plymouth(guest):
    """a poweroff under plymouth's splash: the screen tells, and is not black in between"""
    guest.run("plymouthd --mode=shutdown --attach-to-session --kernel-command-line='splash plymouth.ignore-serial-consoles'; plymouth show-splash", timeout=60)
    before = wait_graphics(guest)
    want_shown(guest, "plymouth", before, lambda: guest.send("systemctl poweroff"), s.LAST_WORD)


@case
def xorg(guest):
    """a poweroff under Xorg"""
    lock(guest)
    before = wait_graphics(guest)
    want_shown(guest, "xorg", before, lambda: guest.send("systemctl poweroff"), s.LAST_WORD)


@case
def key_at_locked_xorg(guest):
    """the key fires where i3lock has the keyboard"""
    lock(guest)
    fired_by_key(guest, "xorg-locked")


@case
def key_on_wayland(guest):
    """the key fires under a Wayland compositor"""
    start_weston(guest)
    fired_by_key(guest, "wayland")


@case
def key_at_greeter(guest):
    """the key fires at a greeter"""
    start_greeter(guest)
    guest.run("until grep -q agreety /proc/[0-9]*/comm; do sleep 0.5; done", timeout=120)
    fired_by_key(guest, "greeter", drawn=False)


@case
def key_on_text_console(guest):
    """the key fires at a login prompt on a text console"""
    guest.run("systemctl start getty@tty3; busybox chvt 3; sleep 2", timeout=60)
    fired_by_key(guest, "text-console", drawn=False)


def fired_by_key(guest, name, drawn=True):
    before = wait_graphics(guest) if drawn else guest.seen.picture()
    watch(guest, "--key=ctrl+alt+f12")
    want_shown(guest, name, before, lambda: hold(guest), "kill switch: ")
    want("kill switch: the key" in guest.console, "it ended for another reason", guest)


# -- what else watches the USB -------------------------------------------------------------------------------------------------


def recipe(heading):
    """The files that docs/systems.md has for it, as {path: text}, and the commands."""
    text = (lab.HERE.parent.parent / "docs/systems.md").read_text()
    part = re.search(rf"(?ms)^### {heading}$(.*?)^##", text)[1]
    lines = re.findall("(?m)^    (.*)", part)
    files, commands, name = {}, [], None
    for line in lines:
        if line.startswith("# /"):
            name = line[2:]
            files[name] = ""
        elif line.startswith("# "):
            name = None
        elif name:
            files[name] += line + "\n"
        else:
            commands.append(line)
    return files, commands


def follow_recipe(guest, heading, replace=()):
    files, commands = recipe(heading)
    for name, text in files.items():
        for old, new in replace:
            want(old in text, f"docs/systems.md: no {old}")
            text = text.replace(old, new)
        guest.run(f"mkdir -p {Path(name).parent}; cat >{name} <<'END'\n{text}END")
    for command in commands:
        guest.run(command.replace(" usbguard.service", " lab-usbguard.service"), timeout=120)


def want_off(guest):
    want(guest.wait_end(60) == "poweroff", "it did not power off", guest)
    want(s.LAST_WORD not in guest.console, "it was an ordinary shutdown", guest)


def want_on(guest, seconds=5):
    time.sleep(seconds)
    want(guest.run("echo on") == "on", "it has ended", guest)


@case
def buskill(guest):
    """BusKill's cable, by a udev rule: pulled out it fires"""
    follow_recipe(guest, "BusKill", [("1234/abcd", "46f4/1")])
    guest.unplug("lanyard")
    want_off(guest)


@case
def usbguard(guest):
    """usbguard lets in what was there; another device that it blocks fires"""
    follow_recipe(guest, "usbguard")
    guest.unplug("lanyard")
    guest.plug(guest.lanyard)
    want_on(guest, 8)
    guest.qmp("device_add", driver="usb-mouse", bus="xhci.0", id="mouse")
    want_off(guest)


def main():
    parser = cases.parser(__doc__)
    parser.add_argument("--build", default="build", help="Lethe's build folder, with prefix /usr (build)")
    options = parser.parse_args()
    tally = cases.Tally("desktop", options.list)
    chosen = [c for c in CASES if cases.is_chosen(c.__name__, options.cases)]
    if options.list:
        tally.show(chosen)
        return tally.end()
    with tempfile.TemporaryDirectory() as folder:
        lethe = live.installed(options.build, Path(folder) / "lethe")
        lanyard = lab.Stick(small.blank_disk(), "lanyard", "usb-storage,bus=xhci.0,removable=on,serial=lanyard")
        with live.booted(live.stick(lethe, SYSTEM), f"init_on_free=1 console=tty0 nokaslr nopersistence quiet plymouth.ignore-serial-consoles lethe.show=3 {MASKED}",
                         [lanyard], SYSTEM, args=["-device", "VGA,xres=800,yres=600"], **s.COUNTED) as guest:
            guest.run(PREPARE, timeout=300)
            guest.lanyard = lanyard
            guest.seen = screen.Screen(guest)
            guest.run("busybox chvt 5")
            guest.seen.learn()
            tally.run_each(chosen, guest)
    return tally.end()


if __name__ == "__main__":
    sys.exit(main())
