#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets each stack of stacks.py up in the small system and captures it: capture.py [--lethe FILE] [--list] [STACK...]

Writes test/data/STACK with the plan that Lethe makes there, and fails if the captured tree does not give the same plan as the running
system. What changed in a plan is for a person to read before it is committed (test/data/README).
"""

import argparse
import base64
import io
import shutil
import sys
import tarfile
from pathlib import Path

import lab
import small
import stacks

DATA = lab.HERE.parent / "data"
ABOUT = "Linux 6.1 (Debian's {} kernel), the small guest of test/vm: {}.\n"


def captured(lethe, stack):
    """The tree, the live system's plan, and the tree's plan."""
    with stack.boot(lethe) as guest:
        guest.do(stacks.HELPERS + stack.setup, timeout=120)
        guest.do("cd /; lethe plan >/tmp/live; rm -rf /tmp/tree; lethe capture --names /tmp/tree; lethe plan --root /tmp/tree >/tmp/again")
        live, again = guest.run("cat /tmp/live"), guest.run("cat /tmp/again")
        text = guest.run("cd /tmp; tar -c tree | gzip -9 | base64", timeout=60)
        return base64.b64decode("".join(text.split())), live, again


def keep(stack, archive, plan, running):
    """`running` is the running system's plan, where a tree is known not to tell all."""
    place = DATA / stack.name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar.getmembers():
            member.name = member.name.partition("/")[2]
            if member.name:
                tar.extract(member, place)
    (place / "about").write_text(ABOUT.format("full" if stack.full else "cloud", stack.about))
    (place / "plan").write_text(plan + "\n")
    if running:
        (place / "running").write_text(running + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lethe", type=Path, default=lab.HERE.parent.parent / "build/init/lethe", help="the program that captures")
    parser.add_argument("--list", action="store_true", help="print the stacks")
    parser.add_argument("stacks", nargs="*", metavar="STACK", help="capture only these")
    args = parser.parse_args()
    failed = 0
    for stack in stacks.STACKS:
        if args.list or (args.stacks and stack.name not in args.stacks):
            print(f"{stack.name:<20} {stack.about}") if args.list else None
            continue
        try:
            archive, live, again = captured(args.lethe.resolve(), stack)
            differs = (DATA / stack.name / "running").exists()
            if live != again and not differs:
                raise lab.Failure(f"the running system's plan:\n{live}\nthe captured tree's:\n{again}")
            keep(stack, archive, again, live if differs else None)
            print(f"capture: ok    {stack.name}", flush=True)
        except lab.Failure as failure:
            failed += 1
            print(f"capture: FAIL  {stack.name}\n{failure}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
