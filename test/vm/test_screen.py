#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the person in front of it sees, in the small system: test_screen.py [--lethe FILE] [--list] [CASE...]

It is read off the guest's real screen, where a splash in graphics mode was before that lets nobody in. With $PICTURES the pictures of
each card are written into that folder; so were those in docs/screen made:

    PICTURES=docs/screen test/vm/test_screen.py bochs virtio plain
"""

import os
import re
import sys
from pathlib import Path

import lab
import live
import screen
import small
import test_small as t
from cases import want

t.CASES.clear()
t.LONG.clear()

FACE = "console=tty0 quiet nokaslr lethe.show=3"  # in an emergency, too
WORKING = ["What was done on this computer", "do not switch it off", "[", "Files: ", " MiB"]
DONE = ["All is erased. The boot medium can be taken out."]
LEFT = ["NOT everything could be erased.", "ten minutes", "NOT all is gone, see above"]
DARK = 0.5  # seconds of the guest's in which the screen may tell nothing
COUNTED = {"counted": True, "cpus": 1}
LAST_WORD = "lab: hands over"  # of systemd-shutdown, or what stands for it, before it executes Lethe
CARDS = {
    "bochs": dict(load=["ext4", "bochs"], args=["-device", "VGA,xres=800,yres=600"]),
    "virtio": dict(load=["ext4", "virtio_gpu"], args=["-device", "virtio-gpu-pci,xres=800,yres=600"]),
    "plain": dict(load=["ext4"], args=["-device", "VGA"]),  # a frame buffer of the firmware's, without a driver of the card's
}


def splash(guest):
    guest.run("splash 7 >/run/splash & until grep -q splash /run/splash; do sleep 0.1; done")


def want_shown(texts, *wanted):
    """One text after the other has all the lines of one of `wanted`, in their order; returns where the last of them are."""
    at = 0
    for lines in wanted:
        at = next((i for i in range(at, len(texts)) if screen.has_lines(texts[i], lines)), None)
        want(at is not None, f"not shown: {lines}\n" + "\n---\n".join(texts[-3:]))
    return at


def followed(guest, seen, name, working, end, **how):
    """Follow it to its end: it is never dark for long; a picture from the middle of its work, and the one that shows how it ended."""
    pictures, dark = seen.follow(until=working[:1], **how)
    t.want_end(guest, "poweroff")
    texts = [seen.read(picture) for picture in pictures]
    at = want_shown(texts, working, end)
    print(f"     {name}: {len(pictures)} pictures, told nothing for {dark:.3f} s", flush=True)
    want(dark <= DARK or not guest.is_counted, f"it told nothing for {dark:.2f} s", guest)
    before = [i for i in range(at) if screen.has_lines(texts[i], working)]
    return pictures[before[len(before) // 2]], pictures[at]


def keep(card, **pictures):
    for state, picture in pictures.items() if "PICTURES" in os.environ else ():
        (Path(os.environ["PICTURES"]) / f"{card}-{state}.png").write_bytes(picture.png())


@t.case
def text_mode(boot):
    """of VGA: a bar with real amounts, then that all is erased"""
    in_text_mode(boot, "text mode")


def in_text_mode(boot, name, prepare=":"):
    with boot(FACE, args=["-device", "VGA"], **COUNTED) as guest:
        seen = screen.Screen(guest, 9)
        seen.learn()
        guest.arm()
        t.plant(guest, "rw:48M", "shm:16M")
        splash(guest)
        guest.run(prepare, timeout=120)
        guest.hand_over("poweroff")
        followed(guest, seen, name, WORKING, [*DONE, "nothing is left"], timeout=300, since=LAST_WORD)
        t.want_gone(guest, ["rw", "shm"])


@t.long_case
def busy(boot):
    """the same on one processor that eighty processes keep busy which systemd spares"""
    in_text_mode(boot, "busy", "cd /tmp; mkdir @; cp /bin/busybox @; for i in $(seq 80); do @/busybox sh -c 'while :; do :; done' & done; cd /")


@t.case
def left_in_german(boot):
    """something is left: what, what it means and what to do, in the language of the system, with the technical line, for as long as asked"""
    german = (lab.HERE.parent.parent / "init/words/de").read_text()
    with small.booted(t.skipping, f"{FACE} lethe.skip=fill-memory,fill-rest lethe.show=5", memory="", args=["-device", "VGA"]) as guest:
        seen = screen.Screen(guest, 9)
        seen.learn()
        guest.run(f"mkdir -p /etc/lethe; cat >/etc/lethe/words <<'END'\n{german}left-files=\nEND")
        said = guest.run("lethe arm")
        want(re.search(r"/etc/lethe/words:\d+: the sentence is empty", said), f"arm said: {said}")
        guest.hand_over("poweroff")
        pictures, _ = seen.follow()
        t.want_end(guest, "poweroff")
        texts = [seen.read(picture) for picture in pictures]
        want_shown(texts, ["Bitte warten und nicht ausschalten"],
                   ["Es konnte NICHT alles gel?scht werden.", "Freier Speicher wurde nicht", "zehn Minuten", "NOT all is gone, see above"])
        want(not any("Out of memory" in text for text in texts), "the kernel's messages are on the screen")


def on_card(boot, card, command=None):
    """An end on a card's frame buffer, of which nothing is left, and one of which something is."""
    with boot(f"{FACE} vga=0x315", kernel=live.base(), **CARDS[card], **COUNTED) as guest:
        seen = ready(guest)
        t.plant(guest, "rw:48M", "shm:16M")
        splash(guest)
        guest.send(command) if command else guest.hand_over("poweroff")
        working, done = followed(guest, seen, card, WORKING, DONE, timeout=300, since="" if command else LAST_WORD)
        t.want_gone(guest, ["rw", "shm"])
    if command:
        return
    keep(card, working=working, done=done)
    partial = f"{FACE} vga=0x315 lethe.skip=fill-memory,fill-rest lethe.show=5"
    with small.booted(t.skipping, partial, memory="", kernel=live.base(), **CARDS[card], **COUNTED) as guest:
        seen = ready(guest)
        splash(guest)
        guest.hand_over("poweroff")
        _, left = followed(guest, seen, card, WORKING[:2], LEFT, timeout=300, since=LAST_WORD)
    keep(card, left=left)


def ready(guest):
    guest.run("until grep . /proc/fb; do sleep 0.2; done")
    seen = screen.Screen(guest)
    seen.learn()
    guest.arm()
    return seen


@t.long_case
def bochs(boot):
    """the states, and what is left, on a frame buffer of the DRM driver bochs"""
    on_card(boot, "bochs")


@t.long_case
def virtio(boot):
    """the same with the DRM driver virtio-gpu"""
    on_card(boot, "virtio")


@t.long_case
def plain(boot):
    """the same on a frame buffer that the firmware has set up, without a driver of the card's"""
    on_card(boot, "plain")


@t.long_case
def bochs_now(boot):
    """the same in an emergency"""
    on_card(boot, "bochs", "lethe now")


if __name__ == "__main__":
    sys.exit(t.main())
