#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watcher in the initramfs: test_early.py [--build DIR] [--suite trixie|trixie-dracut] [--list] [CASE...]

The initramfs of a real live system (live.py) is made anew with Lethe installed, by the hook or module that it installs. It asks for a
passphrase on the second serial port when the medium is mounted: live-boot that of the persistence, dracut one that it does nothing with.
The system is booted once to there; each case goes back to that moment. CASE may be a part of a name.
"""

import mmap
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cases
import lab
import live
from cases import want

SETTINGS = 'LETHE_WATCH_OPTIONS="--key=ctrl+alt+f12"\n'
ASKED_FOR = 'LETHE_EARLY_OPTIONS="--key=ctrl+alt+f12"\n'
CHORD = [{"type": "qcode", "data": name} for name in ("ctrl", "alt", "f12")]
KINDS = ["run", "file", "heap"]  # in /run, in the initramfs's own root, in a program's memory
ASK = """#!/bin/sh
[ "$1" != prereqs ] || exit 0
/bin/plant run:1M file:1M:/ heap:1M </dev/null >/dev/ttyS1 2>&1
read -r typed </dev/tty1 & # somebody begins to type
echo ASKED >/dev/ttyS1
read -r answer </dev/ttyS1
kill $!
printf %s "$answer"
"""
HOOK = """#!/bin/sh
[ "$1" != prereqs ] || { echo lab; exit 0; }
. /usr/share/initramfs-tools/hook-functions
copy_exec /usr/local/bin/plant /bin/plant
cp /usr/local/bin/ask "$DESTDIR/lib/cryptsetup/askpass"
"""
MODULE = """#!/bin/bash
check() { return 0; }
install() {
    inst /usr/local/bin/plant /bin/plant
    inst_script /usr/local/bin/ask /bin/ask
    inst_hook pre-mount 10 "$moddir/ask.sh"
}
"""
SYSTEMS = {
    "trixie": ({"etc/initramfs-tools/hooks/lab-ask": HOOK}, "update-initramfs -u"),
    "trixie-dracut": ({"usr/lib/dracut/modules.d/95lab/module-setup.sh": MODULE, "usr/lib/dracut/modules.d/95lab/ask.sh": "/bin/ask >/dev/null\n",
                       "etc/dracut.conf.d/lethe.conf": 'add_dracutmodules+=" lethe "\n'}, "dracut -f --regenerate-all"),
}
CASES = []


def case(function):
    CASES.append(function)
    return function


def initrd(name, lethe, asked_for=True):
    """The initramfs of a system with what `DESTDIR=lethe meson install` has put there, cached."""
    files, make = SYSTEMS[name]
    settings = SETTINGS + ASKED_FOR * asked_for
    if not asked_for:
        files = {place: text for place, text in files.items() if "add_dracutmodules" not in text}
    files = {**files, "usr/local/bin/ask": ASK, "etc/default/lethe": settings}
    plant = lab.compiled("plant", static=True)

    def build(path):
        for old in sorted(path.parent.glob("initrd-*[0-9a-f]"), key=lambda p: p.stat().st_mtime)[:-4]:
            old.unlink(missing_ok=True)
        live.say(f"making the initramfs of {name} {'with' if asked_for else 'without'} the watcher")
        with tempfile.TemporaryDirectory(dir=path.parent) as tmp:
            root = Path(tmp) / "root"
            live.sh("cp", "-al", live.base(name), root)
            for written in ("etc", "var", "boot"):
                shutil.rmtree(root / written)
                live.sh("cp", "-a", live.base(name) / written, root)
            live.sh("cp", "-a", "--remove-destination", f"{lethe}/.", root)
            live.sh("cp", "--remove-destination", plant, root / "usr/local/bin/plant")
            live.write_files(root, files.items())
            result = subprocess.run(["unshare", "--mount", "--propagation=private", "sh", "-ec", f"mount -t proc proc {root}/proc; "
                                     f"mount --bind /dev {root}/dev; exec chroot {root} {make}"],
                                    stdin=subprocess.DEVNULL, capture_output=True, text=True)
            if result.returncode:
                raise lab.Failure(f"{make} failed:\n{(result.stdout + result.stderr)[-3000:]}")
            shutil.copy(next((root / "boot").glob("initrd.img-*")), path)

    return lab.cached(f"live/initrd-{name}-{lab.digest(live.base(name).name, lethe, plant.name, make, *files.values())}", build)


def installed(build, folder):
    """What `meson install` puts there, with the system's settings; its watcher is not enabled."""
    lethe = live.installed(build, folder / "lethe")
    live.write_files(lethe, {"etc/default/lethe": SETTINGS}.items())
    return lethe


def wait_asked(guest):
    guest.wait_shown(rb"ASKED\r?\n", 900)
    time.sleep(2)  # the line has been sent by then: a serial port that is saved at work was seen to send nothing more
    want(all(guest.scan(KINDS).values()), "nothing was planted")


def press(guest):
    guest.qmp("input-send-event", events=[{"type": "key", "data": {"down": True, "key": key}} for key in CHORD])


def answer(guest):
    guest.send(live.PASSPHRASE)
    guest.wait_ready(900)


def want_fired(guest, reason):
    ended = guest.wait_end(180)
    want(ended == "poweroff", f"it ended by {ended}", guest)
    want(f"kill switch: {reason}" in guest.console, "it ended for another reason", guest)
    want("nothing is left" in guest.console, "it says that not all is gone", guest)
    left = {kind: n for kind, n in guest.scan(KINDS, live.persistence() / "key").items() if n}
    want(not left, f"left in RAM: {left}", guest)


def watchers(guest):
    """The first words of the command lines of all watchers, the keepers of PID 1's files among them."""
    return guest.run("for p in /proc/[0-9]*; do { tr '\\0' ' ' <$p/cmdline; echo; } 2>/dev/null | grep ' watch '; done; true").splitlines()


def type_some(guest):
    """Begin to type a passphrase on the first terminal; what was typed, which is in RAM then."""
    typed = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(24))
    for character in typed:
        guest.press(character)
        time.sleep(0.1)
    deadline = time.monotonic() + 60
    while not parts_in_ram(guest, typed):
        want(time.monotonic() < deadline, "what was typed is not in RAM", guest)
        time.sleep(1)
    return typed


def parts_in_ram(guest, typed):
    """How often eight characters of it in a row lie in RAM."""
    parts = {typed[i:i + 8].encode() for i in range(len(typed) - 7)}
    pattern = re.compile(b"|".join(sorted(parts)))
    with open(guest.ram_file, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as ram:
        return len(pattern.findall(ram))


def want_forgotten(guest, typed):
    left = parts_in_ram(guest, typed)
    want(not left, f"what was typed is left in RAM, {left} times", guest)


@case
def at_the_prompt(guest):
    """the key, held while the passphrase is asked for and half of it typed, fires; nothing of what was typed is left in RAM"""
    typed = type_some(guest)
    press(guest)
    want_fired(guest, "the key")
    want_forgotten(guest, typed)


@case
def usb_keyboard(guest):
    """the same on a keyboard of the USB, plugged in while the passphrase is asked for"""
    guest.qmp("device_add", driver="usb-kbd", bus="xhci.0", id="keyboard")
    time.sleep(5)
    try:
        at_the_prompt(guest)
    finally:
        guest.unplug("keyboard")


@case
def pulled_at_the_prompt(guest):
    """the stick, pulled out while the passphrase is asked for, fires"""
    guest.unplug("stick")
    want_fired(guest, "the medium sda is gone")


@case
def goes_on(guest):
    """answered: the watcher goes on in the system as long as that has none of its own, and the key fires"""
    answer(guest)
    found = watchers(guest)
    want(len(found) == 1 and found[0].startswith("@") and "--early" in found[0], f"watchers: {found}", guest)
    press(guest)
    want_fired(guest, "the key")


@case
def pulled_later(guest):
    """answered: the stick, pulled out in the system before that has a watcher of its own, fires"""
    answer(guest)
    guest.unplug("stick")
    want_fired(guest, "the medium sda is gone")


@case
def handed_over(guest):
    """answered: the system's watcher ends that of the initramfs, and the key fires"""
    answer(guest)
    guest.run("systemctl start lethe-watch", timeout=120)
    guest.run("until ! [ -e /run/lethe-early ]; do sleep 0.2; done; sleep 1", timeout=120)
    found = watchers(guest)
    want(found and not any("--early" in line for line in found), f"watchers: {found}", guest)
    press(guest)
    want_fired(guest, "the key")


def without(build, name):
    with tempfile.TemporaryDirectory() as folder:
        lethe = installed(build, Path(folder))
        with live.booted(live.stick(lethe, name), "init_on_free=1", name=name, initrd=initrd(name, lethe, False), ready=wait_asked) as guest:
            press(guest)
            time.sleep(20)
            want(not guest.has_ended and "kill switch" not in guest.console, "it fired", guest)
            want(all(guest.scan(KINDS).values()), "what was planted is gone", guest)
            answer(guest)


def main():
    parser = cases.parser(__doc__)
    parser.add_argument("--build", default="build", help="Lethe's build folder, with prefix /usr (build)")
    parser.add_argument("--suite", choices=SYSTEMS, default="trixie", help="the system, of live.py (trixie)")
    options = parser.parse_args()
    tally = cases.Tally("early", options.list)
    chosen = [c for c in CASES if cases.is_chosen(c.__name__, options.cases)]
    if cases.is_chosen("without", options.cases):
        tally.run("without", "where it is not asked for the key does nothing, and all that was planted is there", lambda: without(options.build, options.suite))
    if options.list or not chosen:
        tally.show(chosen)
        return tally.end()
    with tempfile.TemporaryDirectory() as folder:
        lethe = installed(options.build, Path(folder))
        with live.booted(live.stick(lethe, options.suite), "init_on_free=1", name=options.suite,
                         initrd=initrd(options.suite, lethe), ready=wait_asked) as guest:
            tally.run_each(chosen, guest)
    return tally.end()


if __name__ == "__main__":
    sys.exit(main())
