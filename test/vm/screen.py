# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be read on a guest's real screen, by QEMU's pictures of it (screendump)."""

import time

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


class Screen:
    """A guest's screen. Its font is learnt from itself: call learn() while a shell of the guest's answers."""

    def __init__(self, guest, width=CELL[0]):
        self.guest, self.width, self.font = guest, width, {}

    def picture(self):
        file = self.guest.folder / "screen.ppm"
        self.guest.qmp("screendump", filename=str(file))
        return Picture(file.read_bytes())

    def learn(self):
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
