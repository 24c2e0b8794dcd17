# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be read on a guest's real screen, by QEMU's pictures of it (screendump)."""

import os
import struct
import time
import zlib

CELL = 8, 16  # of the fonts of VGA's text mode (drawn 9 wide there) and of small frame buffers
CHARACTERS = "".join(chr(c) for c in range(33, 127))


class Picture:
    """A picture of the screen (PPM, binary)."""

    def __init__(self, data):
        fields = data.split(maxsplit=4)[:4]
        self.width, self.height = int(fields[1]), int(fields[2])
        self.pixels = data[-3 * self.width * self.height:]

    @property
    def is_black(self):
        return not any(self.pixels)

    @property
    def is_dark(self):
        """Whether most of it is black."""
        return self.pixels.count(0) > len(self.pixels) // 2

    @property
    def n_colours(self):
        return len({self.pixels[i:i + 3] for i in range(0, len(self.pixels), 3)})

    def png(self):
        """It as the bytes of a PNG, with a palette: at most 256 colours, which are few on a text screen."""
        pixels = [self.pixels[i:i + 3] for i in range(0, len(self.pixels), 3)]
        colours = sorted(set(pixels))
        bits = next(n for n in (1, 2, 4, 8) if len(colours) <= 1 << n)
        index, rows = {colour: i for i, colour in enumerate(colours)}, b""
        for top in range(0, len(pixels), self.width):
            row, each = [index[p] for p in pixels[top:top + self.width]], 8 // bits
            row += [0] * (-len(row) % each)
            rows += b"\0" + bytes(sum(row[at + i] << bits * (each - 1 - i) for i in range(each)) for at in range(0, len(row), each))

        def chunk(kind, data):
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        header = struct.pack(">IIBBBBB", self.width, self.height, bits, 3, 0, 0, 0)
        return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"PLTE", b"".join(colours)) +
                chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))

    def cells(self, width):
        """Each row of characters as a list of cells, each a tuple of rows of bits: set where it differs from the cell's corner."""
        bright = [self.pixels[i:i + 3] for i in range(0, len(self.pixels), 3)]
        rows = []
        for top in range(0, self.height - CELL[1] + 1, CELL[1]):
            row = []
            for left in range(0, self.width - width + 1, width):
                ground = bright[top * self.width + left]
                row.append(tuple(tuple(p != ground for p in bright[y * self.width + left:y * self.width + left + CELL[0]])
                                 for y in range(top, top + CELL[1])))
            rows.append(row)
        return rows


class Clock:
    """A guest's own time in seconds, from its RAM: the ticks that its kernel counts, which are of instructions in a guest that is counted.
    It has to be booted with `nokaslr`, and ready."""
    KERNEL, HZ = 0xffffffff80000000, 250  # where a kernel without it maps itself; of Debian's kernels

    def __init__(self, guest):
        self.file = guest.ram_file
        self.place = int(guest.run("awk '$3 == \"jiffies_64\" { print $1 }' /proc/kallsyms"), 16) - self.KERNEL

    def now(self):
        with open(self.file, "rb") as ram:
            return struct.unpack("<Q", os.pread(ram.fileno(), 8, self.place))[0] / self.HZ


class Screen:
    """A guest's screen. Its font is learnt from itself: call learn() while a shell of the guest's answers."""

    def __init__(self, guest, width=CELL[0]):
        self.guest, self.width, self.font, self.clock = guest, width, {}, None

    def picture(self):
        file = self.guest.folder / "screen.ppm"
        self.guest.qmp("screendump", filename=str(file))
        return Picture(file.read_bytes())

    def learn(self):
        self.clock = Clock(self.guest)
        half = len(CHARACTERS) // 2
        rows = CHARACTERS[:half], CHARACTERS[half:]
        quoted = ["".join("\\%03o" % ord(c) for c in row) for row in rows]
        self.guest.run(f"printf '\\033c\\033[?25l{quoted[0]}\\r\\n{quoted[1]}' >/dev/tty0")
        time.sleep(0.5)
        cells = self.picture().cells(self.width)
        for row, line in zip(rows, cells):
            self.font.update(zip(line, row))

    def read(self, picture):
        """The text on a picture, "?" for what is none of the learnt characters."""
        blank = tuple((False,) * CELL[0] for _ in range(CELL[1]))
        return "\n".join("".join(" " if cell == blank else self.font.get(cell, "?") for cell in row).rstrip()
                         for row in picture.cells(self.width))

    def follow(self, timeout=120, since="", until=()):
        """What was on the screen from now to the guest's end: pictures that differ, and for how many seconds of the guest's it told nothing
        since its console said `since`: until all the lines of `until` were there, or black later on. It is what is certain: from a
        picture that shows nothing to the last one after it that does not either."""
        pictures, dark, blank_since, told = [], 0.0, None, False
        deadline, is_over = time.monotonic() + timeout, False
        while not is_over:  # the last picture is one of the end
            is_over = self.guest.has_ended or time.monotonic() > deadline
            begun, has_begun = self.clock.now(), since in self.guest.console
            now = self.picture()
            if not pictures or now.pixels != pictures[-1].pixels:
                pictures.append(now)
                shown = not now.is_black and (told or has_lines(self.read(now), until))
            told = told or has_begun and shown
            if shown or not has_begun:
                blank_since = None
            elif blank_since is None:
                blank_since = self.clock.now()
            else:
                dark = max(dark, begun - blank_since)
        return pictures, dark


def has_lines(text, lines):
    return all(line in " ".join(text.split()) for line in lines)
