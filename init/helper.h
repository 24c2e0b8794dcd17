/* SPDX-License-Identifier: GPL-3.0-or-later */
/* helper: has `lethe watch`, or else systemd, do what `lethe now` may not do where it runs.
 * Whatever is written to a FIFO in /run/initramfs fires the watcher's kill switch. A FIFO can be
 * written to under every filter on system calls, through read-only mounts, and from another network
 * or mount namespace. Where nobody answers, systemd starts `lethe now` anew (transient.h). Either
 * answers by taking the kill switch's lock (now.c). */
#ifndef LETHE_INIT_HELPER_H
#define LETHE_INIT_HELPER_H

#include "now.h"

/* Makes the FIFO and listens. Returns a descriptor for poll(2), or -errno. */
int lethe_helper_listen(void);

/* Reads a request into *kill; what it does not name stays as it is. False when there was none. */
bool lethe_helper_receive(int fd, struct lethe_kill *kill);

/* Asks both in turn, and waits to be ended by one of them. Returns when nobody does so in time. */
void lethe_helper_ask(const struct lethe_kill *kill);

#endif
