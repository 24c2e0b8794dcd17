#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a live system's secrets lie in RAM: in use, after systemd's power-off alone, and after Lethe's. See test/demo."""

import argparse
import base64
import re
import struct
import sys
import tempfile
import threading
import time
import zlib
from contextlib import ExitStack, contextmanager
from pathlib import Path

import lab
import live

ARGUMENTS = "init_on_free=1"
SUITE = "bookworm"  # Debian 12
# kind: (what it is, its colour in the picture)
KINDS = {
    "rw": ("files written to the live system", "#ff6b5e"),
    "shm": ("files in /dev/shm", "#ffb224"),
    "run": ("files in /run", "#f5e663"),
    "heap": ("memory of a running program", "#7bd88f"),
    "cache": ("cached files of the persistence", "#4cc9f0"),
    "names": ("1,000 file names", "#c792ea"),
    "pipe": ("what is in a pipe", "#ffffff"),
}
KEY = ("volume key of the persistence", "#ff2e93")
SECRETS = {**KINDS, "key": KEY}
EMPTY, OTHER = "#12161d", "#3b4556"

SIDE = 128  # cells in a row of the map, and rows
ZOOM = 3


@contextmanager
def step(what):
    """Say what is being done and for how long; on a terminal the clock runs."""
    begun, done = time.monotonic(), threading.Event()
    running = sys.stdout.isatty()

    def tick():
        while not done.wait(1):
            print(f"\r  {what} … {time.monotonic() - begun:.0f} s ", end="", flush=True)

    print(f"  {what} …", end="" if running else "\n", flush=True)
    if running:
        threading.Thread(target=tick, daemon=True).start()
    try:
        yield
    finally:
        done.set()
        start = "\r" if running else ""
        print(f"{start}  {what}: {time.monotonic() - begun:.1f} s   ", flush=True)


def show(text):
    """What the guest says, set off from what is said here."""
    for line in text.splitlines():
        print(f"    | {line}", flush=True)


def power_off(name, lethe, folder):
    """Boot, plant, power off; returns the counts and maps, each (before, after)."""
    with step(f"{name}: making the stick"):
        image = live.stick(lethe, SUITE)
    with ExitStack() as stack:
        with step(f"{name}: booting Debian 12 from it"):
            guest = stack.enter_context(live.booted(image, ARGUMENTS, name=SUITE))
        if lethe:
            print("  lethe status:")
            show(guest.run("lethe status", check=False))
        with step(f"{name}: planting secrets"):
            guest.run("plant " + " ".join(KINDS), timeout=120)
        key, maps = live.persistence() / "key", (folder / f"{name}.before", folder / f"{name}.after")
        before = guest.scan(KINDS, key, map=maps[0])
        with step(f"{name}: systemctl poweroff"):
            guest.send("systemctl poweroff")
            end = guest.wait_end()
        if end != "poweroff":
            raise lab.Failure(f"it ended with {end}")
        after = guest.scan(KINDS, key, map=maps[1])
        show("\n".join(re.findall(r"lethe: .*", guest.console.replace("\r", ""))))
        return (before, after), [m.read_bytes() for m in maps]


def table(columns):
    """Counts of patterns and their size side by side: {title: {kind: count}}."""
    print(f"\n  {'16-byte patterns in RAM':32}" + "".join(f"{title:>24}" for title in columns))
    for kind, (what, _) in SECRETS.items():
        print(f"  {what:32}" + "".join(f"{column[kind]:>13,}{amount(column[kind]):>11}" for column in columns.values()))
    totals = [sum(column.values()) for column in columns.values()]
    print(f"  {'in all':32}" + "".join(f"{total:>13,}{amount(total):>11}" for total in totals) + "\n")


def amount(patterns):
    bytes = patterns * 16
    return f"{bytes / 2**20:.1f} MiB" if bytes >= 2**20 else f"{bytes / 2**10:.1f} KiB" if bytes else "nothing"


def rgb(colour):
    return bytes.fromhex(colour[1:])


def png(pages):
    """A map of RAM as a PNG: a cell stands for as many pages as it takes, and shows the rarest secret among them."""
    palette = [EMPTY, OTHER, *(colour for _, colour in SECRETS.values())]
    totals = [pages.count(value) for value in range(len(palette))]
    size = -(-len(pages) // SIDE**2)
    cells = bytearray()
    for at in range(0, SIDE**2 * size, size):
        values = set(pages[at:at + size])
        found = [value for value in values if value > 1]
        cells.append(min(found, key=lambda value: totals[value]) if found else max(values, default=0))
    rows = b"".join(b"\0" + cells[y * SIDE:(y + 1) * SIDE] for y in range(SIDE))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 3, 0, 0, 0))
            + chunk(b"PLTE", b"".join(map(rgb, palette))) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def svg(panels, in_use):
    """The picture: a map a panel {title: (subtitle, pages)} in a row, and what the colours mean and were in use below."""
    edge, gap, margin, top = SIDE * ZOOM, 28, 32, 92
    width = 2 * margin + len(panels) * edge + (len(panels) - 1) * gap
    legend = [(what, colour, amount(in_use[kind])) for kind, (what, colour) in SECRETS.items()]
    legend += [("other memory in use", OTHER, ""), ("zeros", EMPTY, "")]
    columns = len(panels)
    height = top + edge + 34 + 26 * -(-len(legend) // columns) + 44
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
           'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">',
           "<!-- SPDX-License-Identifier: GPL-3.0-or-later; written by test/demo -->",
           f'<rect width="{width}" height="{height}" rx="14" fill="#1b212b"/>']
    pages_a_cell = 1
    for i, (title, (subtitle, pages)) in enumerate(panels.items()):
        x = margin + i * (edge + gap)
        pages_a_cell = -(-len(pages) // SIDE**2)
        data = base64.b64encode(png(pages)).decode()
        out += [f'<text x="{x}" y="44" font-size="21" font-weight="600" fill="#f2f5f9">{title}</text>',
                f'<text x="{x}" y="70" font-size="15" fill="#aab4c3">{subtitle}</text>',
                f'<rect x="{x - 1}" y="{top - 1}" width="{edge + 2}" height="{edge + 2}" fill="none" stroke="#3b4556"/>',
                f'<image x="{x}" y="{top}" width="{edge}" height="{edge}" style="image-rendering:pixelated" '
                f'href="data:image/png;base64,{data}"/>']
    step_x = edge + gap  # below each panel a column
    for i, (what, colour, much) in enumerate(legend):
        x, y = margin + i % columns * step_x, top + edge + 34 + i // columns * 26
        out += [f'<rect x="{x}" y="{y}" width="14" height="14" rx="3" fill="{colour}" stroke="#566173" stroke-width="0.5"/>',
                f'<text x="{x + 22}" y="{y + 12}" font-size="14" fill="#d5dce6">{what}'
                f'<tspan dx="8" fill="#8793a5">{much}</tspan></text>']
    out += [f'<text x="{margin}" y="{height - 20}" font-size="13" fill="#8793a5">All RAM of a Debian 12 live system, in use and at '
            f'the moment of its power-off ({ARGUMENTS or "default kernel arguments"}). One cell is {pages_a_cell} pages ({4 * pages_a_cell} KiB).</text>', "</svg>"]
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build", help="Lethe's build folder (build)")
    parser.add_argument("--picture", metavar="FILE", help="write the picture to this file, such as docs/ram.svg")
    options = parser.parse_args()
    with step("the base system and its persistence (the first time: minutes)"):
        live.base(SUITE), live.persistence()
    with tempfile.TemporaryDirectory() as tmp:
        lethe = live.installed(options.build, Path(tmp) / "lethe")
        (_, alone), (_, alone_map) = power_off("systemd alone", None, Path(tmp))
        (before, after), (before_map, after_map) = power_off("with Lethe", lethe, Path(tmp))
    table({"in use": before, "off, systemd alone": alone, "off, Lethe": after})

    def sum_up(counts):
        n = sum(counts.values())
        return f"{n:,} secrets of 16 bytes" if n else "no secret left"

    if options.picture:
        Path(options.picture).write_text(svg({
            "In use": (sum_up(before), before_map),
            "Switched off by systemd alone": (sum_up(alone), alone_map),
            "Switched off through Lethe": (sum_up(after), after_map)}, before))
        print(f"  The picture of RAM is in {options.picture}")
    return 1 if any(after.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
