#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Systems whose root is laid out in other ways (layouts.py), in the small system: test_layouts.py [--lethe FILE] [--all] [CASE...]

Each is booted from a stick, has secrets planted in its branch, and is ended from that moment in four ways: without Lethe, as a control; by a
clean end after what can be unmounted has been, as systemd leaves it; by `lethe now`; and by the watcher, when the stick is pulled out, but not when a foreign one is
that was mounted read-only, with a loop on it. Each end is compared with what status and the plan had promised: how much is zeroed in place, in how
many file systems, and which disk is not written to. CASE may be a part of a name.
"""

import functools
import json
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cases
import lab
import live
import small
from cases import want
from layouts import LAYOUTS

BRIEF = ["casper", "nixos"]  # what runs without --all: a branch that nothing shows, and one that was moved
USB = ["xhci_pci", "usb_storage", "sd_mod", "ext4", "isofs"]
KINDS = ["rw", "names", "shm", "run"]
BRANCH_MIB, OTHER_MIB = 8, 3
OWN_MIB = 2  # at most, of Lethe's own, which status does not count
WITHIN = 120  # seconds: a hang limit
verbose = False


def want_gone(guest):
    left = {kind: count for kind, count in guest.scan(KINDS).items() if count}
    want(not left, f"left in RAM: {left}", guest)


@dataclass
class Promise:
    """What status and the plan say of an end before it."""
    mib: int  # that are zeroed in place
    erased: dict  # how many file systems, by the moment that a plan is for
    role: str  # the boot medium's


def promised(guest):
    status = json.loads(guest.run("lethe status --json"))
    want(not [w for w in status["weaknesses"] if w["id"] == "branch-lost"], f"status: {status['weaknesses']}")
    plans = {moment: guest.run(f"lethe plan --at={moment}") for moment in ("now", "end")}
    for moment, plan in plans.items():
        want("a writable branch of" not in plan, f"the plan for {moment}: {plan}")
    return Promise(sum(e["bytes"] or 0 for e in status["erases"]) >> 20, {m: len(re.findall(r"(?m)^\d+\. erase ", p)) for m, p in plans.items()},
                   next(d["role"] for d in status["devices"] if d["name"] == "sda"))


def want_kept(guest, role, is_clean):
    """The medium is as it was before; where it was the persistence, too, its file system is closed."""
    stick = guest.medium
    compared = ["qemu-img", "compare", "-U", "-f", "qcow2", "-F", "raw", stick.overlay, stick.image]
    if role == "medium":
        want(not subprocess.run(compared, stdout=subprocess.DEVNULL).returncode, "the medium was written to")
    elif is_clean:
        with tempfile.TemporaryDirectory(dir=guest.folder) as folder:
            image = Path(folder) / "image"
            stick.export(image)
            fsck = subprocess.run(["e2fsck", "-fn", image], capture_output=True, text=True)
        want(not fsck.returncode, fsck.stdout)


def want_over(guest, says, promise, moment):
    end = guest.wait_end(WITHIN)
    if verbose:
        print("\n".join(guest.said))
    want(end == "poweroff", f"it ended by {end}", guest)
    want(any(re.search(says, line) for line in guest.said), f"it said: {guest.said}", guest)
    zeroed, erased = max((int(mib), int(n)) for mib, n in re.findall(r"(\d+) MiB in \d+ files of (\d+) RAM file systems", "\n".join(guest.said)))
    want(promise.mib <= zeroed <= promise.mib + OWN_MIB and erased == promise.erased[moment], f"{promise} for {moment}, but: {guest.said}", guest)
    want_kept(guest, promise.role, moment == "end")
    want_gone(guest)


def end_without(guest):
    """The control: without Lethe what was planted in files is left, and the scan sees it."""
    guest.send("lethe disarm; poweroff -f")
    guest.wait_end(WITHIN)
    left = guest.scan(KINDS)
    want(left["rw"] >= BRANCH_MIB << 16 and left["shm"] >= 2 << 16 and left["run"] >= 1 << 16, f"some of it is gone: {left}")


def end_clean(guest, promise):
    guest.hand_over("poweroff", before="export UNMOUNT=yes")
    want_over(guest, "nothing is left$", promise, "end")


def end_now(guest, promise):
    guest.send("lethe now &")
    want_over(guest, "nothing else is known to be left$|nothing is left$", promise, "now")


def pull(guest, promise, foreign):
    """The watcher knows the medium, and takes nothing else for it."""
    guest.plug(foreign)
    guest.run("until [ -b /dev/sdb ]; do usleep 50000; done; mkdir -p /tmp/a /tmp/b; mount -r /dev/sdb /tmp/a; "
              "mount -r -o loop /tmp/a/live.iso /tmp/b", timeout=60)
    status = json.loads(guest.run("lethe status --json", check=False))
    disks = [d["name"] for d in status["devices"] if d["role"] in ("medium", "both") and d["name"].startswith("sd")]
    want(disks == ["sda"], f"status: {status['devices']}")
    listed = guest.run("lethe watch --list")
    want(re.search("^medium: sda", listed, re.M) and "medium: sdb" not in listed, f"the watcher's list: {listed}")
    pid = guest.run("/run/initramfs/lethe watch </dev/null >/run/said 2>&1 & echo $!").split()[-1]
    guest.run(f"until grep -q 'VmLck:.* [1-9]' /proc/{pid}/status && grep -q poll /proc/{pid}/wchan; do sleep 0.1; done", timeout=60)
    guest.unplug("foreign")
    time.sleep(3)
    want("kill switch" not in guest.console and guest.run("pidof lethe"), "it fired for a foreign stick", guest)
    guest.unplug("medium")
    want_over(guest, "kill switch: the medium sda is gone", promise, "now")


def ended(lethe, name):
    foreign = lab.Stick(small.iso_disk(), "foreign", "usb-storage,bus=xhci.0,removable=on")
    with small.booted(lethe, start=name, kernel=live.base(), load=USB) as guest:
        foreign.args(guest.folder)
        guest.qmp("blockdev-add", **{"node-name": "node-foreign", "driver": "qcow2", "file": {"driver": "file", "filename": str(foreign.overlay)}})
        guest.arm()
        branch = "/nix/store/tmp" if name == "nixos" else "/var/tmp"
        guest.run(f"plant rw:{BRANCH_MIB}M:{branch} names:500:{branch} shm:2M run:1M", timeout=60)
        found = guest.scan(KINDS)
        want(all(found.values()), f"planted, but not in RAM: {found}")
        if verbose:
            print(guest.run("cat /proc/self/mountinfo; lethe status; lethe plan", check=False))
        want(guest.run("lethe status").startswith("ready: "), "status does not call it ready")
        promise = promised(guest)
        want(promise.mib >= BRANCH_MIB + OTHER_MIB, f"status: {promise}")
        guest.save()
        end_without(guest)
        guest.restore()
        end_clean(guest, promise)
        guest.restore()
        end_now(guest, promise)
        guest.restore()
        pull(guest, promise, foreign)


def main():
    global verbose
    parser = cases.parser(__doc__)
    parser.add_argument("--lethe", type=Path, default=lab.HERE.parent.parent / "build/init/lethe", help="the program under test")
    parser.add_argument("--jobs", type=int, default=1, help="guests at a time (%(default)s)")
    parser.add_argument("--all", action="store_true", help=f"all of them, not only {' and '.join(BRIEF)}")
    args = parser.parse_args()
    verbose = args.verbose
    tally = cases.Tally("layouts", args.list, args.jobs)
    for name in LAYOUTS:
        if "." not in name and cases.is_chosen(name, args.cases) and (args.all or args.cases or name in BRIEF):
            tally.run(name, "its branch is found and zeroed in place, its medium watched", functools.partial(ended, args.lethe.resolve(), name))
    return tally.end()


if __name__ == "__main__":
    sys.exit(main())
