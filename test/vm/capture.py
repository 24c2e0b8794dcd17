#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets stacks and systems up and captures them: capture.py [--build DIR] [--list] [NAME...]

The stacks are those of stacks.py in the small system; the systems are those of live.py, and what systemd leaves of them when it has
handed over. Writes test/data/NAME with the plan that Lethe makes there, and fails if the captured tree does not give the same plan as
the running system. What changed in a plan is for a person to read before it is committed (test/data/README).
"""

import argparse
import base64
import io
import shutil
import sys
import tarfile
import tempfile
from contextlib import contextmanager
from pathlib import Path

import lab
import live
import small
import stacks

DATA = lab.HERE.parent / "data"
ABOUT = "Linux 6.1 (Debian's {} kernel), the small guest of test/vm: {}.\n"


PACK = "tar -c tree | gzip -9 | base64"
CAPTURE = """cd /; lethe plan --at=now >/tmp/live; rm -rf /tmp/tree; lethe capture --names /tmp/tree; lethe plan --root /tmp/tree >/tmp/again"""
# A program that systemd hands over to and that captures what it finds.
EXITRD = """systemctl stop lethe-arm; lethe disarm; mkdir -p /run/initramfs; mount -t tmpfs -o mode=755 exitrd /run/initramfs
cd /run/initramfs; mkdir -p branches/0; mount --bind /run/live/overlay branches/0; cp /usr/sbin/lethe lethe
for program in /bin/sh /bin/tar /bin/gzip /bin/base64; do
    for file in $program $(ldd $program | grep -o '/[^ ]*'); do mkdir -p .${file%/*}; cp -L --remove-destination $file .$file; done
done
cat >shutdown <<'END'
#!/bin/sh
exec >/dev/ttyS1 2>/dev/console
cd /
/lethe capture --names /tree
echo BEGIN
/bin/tar -c tree | /bin/gzip -9 | /bin/base64
echo END
while :; do :; done
END
chmod 755 shutdown"""


def unpacked(text):
    return base64.b64decode("".join(text.split()))


def captured(guest):
    """The tree, the live system's plan, and the tree's plan."""
    guest.run(CAPTURE, timeout=60)
    live, again = guest.run("cat /tmp/live"), guest.run("cat /tmp/again")
    return unpacked(guest.run(f"cd /tmp; {PACK}", timeout=120)), live, again


def captured_stack(stack, build):
    with stack.boot(build / "init/lethe") as guest:
        guest.do(stacks.HELPERS + stack.setup, timeout=120)
        return captured(guest)


def captured_busybox(_, build):
    with small.booted(build / "init/lethe", disk=True) as guest:
        guest.become_busybox_init("::shutdown:/run/initramfs/lethe end poweroff")
        guest.arm()
        return captured(guest)


@contextmanager
def started(name, build):
    with tempfile.TemporaryDirectory() as folder:
        image = live.stick(live.installed(build, Path(folder) / "lethe"), name)
    with live.booted(image, name=name) as guest:
        guest.run("! command -v systemctl || systemctl is-system-running --wait; sleep 3", timeout=300, check=False)
        yield guest


def captured_system(name, build):
    with started(name, build) as guest:
        return captured(guest)


def captured_after(name, build):
    """What PID 1 sees that systemd has handed over to; it makes its plan here, for there is no running system any more."""
    with started(name, build) as guest:
        guest.run(EXITRD, timeout=60)
        guest.send("systemctl poweroff")
        archive = unpacked(guest.wait_shown(rb"BEGIN\r?\n(.*?)END", 300)[1].decode())
    return archive, None, None


ABOUT_LIVE = "{}, booted from its stick with a LUKS persistence (test/vm/live.py){}.\n"
AFTER = ", as PID 1 sees it\nafter the hand-over by systemd"
SYSTEMS = [(f"live-{name}", ABOUT_LIVE.format(about, ""), captured_system, name) for name, about in {
    "bookworm": "Debian 12 with live-boot, systemd 252", "trixie": "Debian 13 with live-boot, systemd 257",
    "trixie-dracut": "Debian 13 with dracut's dmsquash-live, systemd 257", "trixie-sysvinit": "Debian 13 with live-boot, sysvinit",
    "trixie-openrc": "Debian 13 with live-boot, OpenRC", "trixie-runit": "Debian 13 with live-boot, runit"}.items()]
SYSTEMS += [(f"live-{name}-after", ABOUT_LIVE.format(about, AFTER), captured_after, name) for name, about in {
    "bookworm": "Debian 12 with live-boot, systemd 252", "trixie": "Debian 13 with live-boot, systemd 257"}.items()]
SYSTEMS += [("busybox-init", "Linux 6.1, the small guest of test/vm with busybox init as PID 1.\n", captured_busybox, None)]
SYSTEMS += [(s.name, "Linux 6.1 (Debian's {} kernel), the small guest of test/vm: {}.\n".format("full" if s.full else "cloud", s.about),
             captured_stack, s) for s in stacks.STACKS]


def keep(name, about, archive, plan, running):
    """`running` is the running system's plan, where a tree is known not to tell all."""
    place = DATA / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar.getmembers():
            member.name = member.name.partition("/")[2]
            if member.name:
                tar.extract(member, place)
    (place / "about").write_text(about)
    if plan:
        (place / "plan").write_text(plan + "\n")
    if running:
        (place / "running").write_text(running + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=lab.HERE.parent.parent / "build", help="of the program that captures (build)")
    parser.add_argument("--list", action="store_true", help="print the names")
    parser.add_argument("names", nargs="*", metavar="NAME", help="capture only these")
    args = parser.parse_args()
    failed = 0
    for name, about, capture, what in SYSTEMS:
        if args.list or (args.names and name not in args.names):
            print(f"{name:<20} {about.strip()}") if args.list else None
            continue
        try:
            archive, live, again = capture(what, args.build.resolve())
            differs = (DATA / name / "running").exists()
            if live != again and not differs:
                raise lab.Failure(f"the running system's plan:\n{live}\nthe captured tree's:\n{again}")
            keep(name, about, archive, again, live if differs else None)
            print(f"capture: ok    {name}", flush=True)
        except lab.Failure as failure:
            failed += 1
            print(f"capture: FAIL  {name}\n{failure}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
