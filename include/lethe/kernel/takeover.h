/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * takeover: makes PID 1 become Lethe even when the medium is gone.
 *
 * systemd ends a machine at once when it gets SIGRTMIN+13, 14 or 15 (systemd(1)): it execs
 * systemd-shutdown. The armed copy is bound over that program's path, where every directory is then
 * pinned by the mount; a symbolic link on the way, /lib, is copied up to the union's branch in RAM.
 * What PID 1 itself runs has to be in memory at that moment (docs/facts.md, How systemd
 * hands over).
 */
#ifndef LETHE_KERNEL_TAKEOVER_H
#define LETHE_KERNEL_TAKEOVER_H

#include <stdbool.h>
#include <sys/types.h>

#include "lethe/plan/verb.h"

/* Binds `program` over systemd-shutdown. 0 when it stands there, -ENOENT when PID 1 is not systemd,
 * or -errno. */
int lethe_takeover_arm(const char *program);

/* Unmounts what lethe_takeover_arm() bound. 0, or -errno. */
int lethe_takeover_disarm(void);

/* True when `program` stands in the place of systemd-shutdown. */
bool lethe_takeover_is_armed(const char *program);

/* True when all that PID 1 has mapped of files is in memory, so that it can go on without their
 * device. Reads no such file (mincore(2)). */
bool lethe_takeover_is_resident(void);

/* Reads in all that PID 1 has mapped of files, and keeps it mapped. It may wait for the device: for
 * a worker. */
void lethe_takeover_load(void);

/* Keeps what PID 1 has mapped of files in memory, in a child that ends with the caller. The files
 * are read at once. Returns its pid, or -errno. */
pid_t lethe_takeover_hold(void);

/* Keeps systemd from unmounting what stands in the place of systemd-shutdown, by a process that has
 * it open until it is killed. */
void lethe_takeover_keep(void);

/* Sends PID 1 the signal for poweroff, reboot or halt. 0, or -errno. */
int lethe_takeover_signal(enum lethe_verb verb);

/* True when PID 1 no longer runs systemd. */
bool lethe_takeover_has_begun(void);

#endif
