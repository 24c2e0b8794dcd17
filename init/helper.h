/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * helper: `lethe now`, where it may not do all that it has to, has `lethe watch` do it.
 *
 * Whatever is written to a FIFO in /run/initramfs fires the kill switch of the one who watches. A
 * FIFO can be written to under every filter on system calls, through mounts that are read-only, and
 * from another network or mount namespace. The answer is that somebody takes the kill switch's lock
 * (now.c).
 */
#ifndef LETHE_INIT_HELPER_H
#define LETHE_INIT_HELPER_H

#include "now.h"

/* Makes the FIFO and listens. A descriptor for poll(2), or -errno. */
int lethe_helper_listen(void);

/* Takes what was written into *kill, with what it leaves out as it was. False when it was nothing.
 */
bool lethe_helper_receive(int fd, struct lethe_kill *kill);

/* Asks, and waits to be ended by the one who does it. Returns when nobody does, or not in time. */
void lethe_helper_ask(const struct lethe_kill *kill);

#endif
