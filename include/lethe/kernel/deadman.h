/* SPDX-License-Identifier: GPL-3.0-or-later */
/* deadman: a process with a clock of its own that ends the machine when nobody else has. */
#ifndef LETHE_KERNEL_DEADMAN_H
#define LETHE_KERNEL_DEADMAN_H

#include <stdint.h>
#include <sys/types.h>

#include "lethe/kernel/supervise.h"
#include "lethe/plan/verb.h"

/* Starts the deadman as a child of the caller. At `dead_ms` (lethe_sys_now_ms()) it wipes the keys
 * that are left, reports what was under way and how free memory was filled (`work`, which may be
 * NULL), and ends the machine by all ways there are (power.h), each in a child with a deadline.
 * Until then it keeps no log open (log.h). If the caller ends before, the deadman calls `go_on`,
 * unless that is NULL, and ends the machine when that comes back. With a `dead_ms` of 0 it ends the
 * machine when `work` counts no beats any more (lethe_watchdog_count()): the caller hangs. Returns
 * its pid, or -errno. */
pid_t lethe_deadman_start(int64_t dead_ms, enum lethe_verb verb, struct lethe_progress *work,
                          void (*go_on)(const void *context), const void *context);

#endif
