/* SPDX-License-Identifier: GPL-3.0-or-later */
/* self: what a process of Lethe's does about itself: keeps itself in memory and alive, and lets go
 * of what it was started with. */
#ifndef LETHE_KERNEL_SELF_H
#define LETHE_KERNEL_SELF_H

#include <stdbool.h>

/* Locks this process in memory: the program as a whole, since it may have been swapped out, all
 * else as it is touched. It may wait for the device that the program lies on, or is swapped out to.
 * Failures here and below are no reason to stop, and are not logged. */
void lethe_self_lock(void);

/* Makes the OOM killer spare this process. */
void lethe_self_spare(void);

/* Reads the whole program in and keeps it, so that it needs the device that it lies on no more. */
void lethe_self_load(void);

/* Unlocks the pages of the program's variables that nobody has touched: they hold nothing yet, and
 * are most of what the program keeps in memory. */
void lethe_self_unlock_unused(void);

/* Shields this process: no signal but SIGKILL and SIGSTOP reaches it, no limit ends it, nor do its
 * parent's end and the OOM killer; it may use all processors and all memory. */
void lethe_self_shield(void);

/* Does both: lethe_self_lock() and lethe_self_shield(). */
void lethe_self_harden(void);

/* Closes all descriptors but the standard ones: inherited, they hold files of the old system. */
void lethe_self_close_all(void);

/* Opens /dev/null as the three standard descriptors: no terminal is held, and nothing else gets
 * their numbers. */
void lethe_self_take_stdio(void);

/* True when this process runs the program at `path` (/proc/self/exe, proc(5)). */
bool lethe_self_runs(const char *path);

#endif
