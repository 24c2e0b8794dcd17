/* SPDX-License-Identifier: GPL-3.0-or-later */
/* process: ends every other process. */
#ifndef LETHE_PROCESS_H
#define LETHE_PROCESS_H

#include <stdint.h>

/* For PID 1: SIGKILLs every process of its pid namespace again and again, those that systemd spares
 * ('@' in argv[0]) too, and reaps them until it has no child left or `ms` are over. The number of
 * processes that did not end (0: all did). All processes come to PID 1 when their parents end, so
 * no child left means none left (pid_namespaces(7)). */
unsigned lethe_process_stop_all(int64_t ms);

/* Says of each process of user space that still lives, but for PID 1 and the caller, its pid, name
 * and state, at most `max` lines. How many there are. */
unsigned lethe_process_report(unsigned max);

/* Locks what this process has and will have in memory (as it is touched), makes the OOM killer
 * spare it, lets no signal but SIGKILL and SIGSTOP end it, and leaves no limit on files in the way.
 * Failures are no reason to stop and are not told. */
void lethe_process_harden(void);

#endif
