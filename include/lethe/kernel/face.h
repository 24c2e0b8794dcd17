/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * face: the screen at the end, for whoever sits in front of it.
 *
 * A process of its own takes a virtual terminal at the beginning, whatever has the screen by then
 * (a splash, Xorg, a greeter), and draws there what lethe_page_print() lays out. It may hang in a
 * driver, and nobody waits for it. What the bar shows is counted by sysinfo(2): pages of RAM file
 * systems that are no more, free memory that has been taken. The kernel's messages go to another
 * terminal meanwhile (ioctl_console(2), TIOCLINUX 11), and still to the serial line and the log.
 * Until it has drawn, and where there is no screen, the end is as it would be without it.
 */
#ifndef LETHE_KERNEL_FACE_H
#define LETHE_KERNEL_FACE_H

#include "lethe/kernel/supervise.h"
#include "lethe/plan/page.h"

/* Starts the process that draws, in either stage of the end; an earlier one must have ended. What
 * lethe_log() says from now on is shown too. */
void lethe_face_start(const struct lethe_progress *progress);

/* Returns the number of the terminal that it has, 0 when it has none. */
int lethe_face_terminal(void);

/* Has the whole screen drawn anew after the frame buffer was zeroed. */
void lethe_face_redraw(void);

/* Shows how the end went: nothing is left, or `left`, bits of page.h. True when that is on a screen
 * by now. */
bool lethe_face_end(unsigned left);

/* The file of words that is written when the system is armed. */
#define LETHE_FACE_WORDS "/run/initramfs/words"

#endif
