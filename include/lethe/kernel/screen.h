/* SPDX-License-Identifier: GPL-3.0-or-later */
/* screen: erases what can still be read on virtual terminals and in frame buffers. */
#ifndef LETHE_KERNEL_SCREEN_H
#define LETHE_KERNEL_SCREEN_H

/* Resets every virtual terminal that exists, clears it with its scrollback (console_codes(4), ESC [
 * 3 J), but for the one where face.h draws, and zeroes the frame buffers
 * (Documentation/fb/api.rst). What a graphics card keeps elsewhere is out of reach. */
void lethe_screen_clear(void);

/* Returns how many terminals still show something, besides those where face.h draws and to which the
 * kernel's own messages go. */
unsigned lethe_screen_count_written(void);

#endif
