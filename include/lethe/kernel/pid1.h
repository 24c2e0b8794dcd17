/* SPDX-License-Identifier: GPL-3.0-or-later */
/* pid1: what an end beside PID 1 does about it. No signal stops or ends PID 1. */
#ifndef LETHE_KERNEL_PID1_H
#define LETHE_KERNEL_PID1_H

#include <stdbool.h>

/* Moves the caller to the top of the cgroups, so that no freezer, no limit on processes and no
 * stopped unit concerns it. */
void lethe_pid1_leave_cgroup(void);

/* Has PID 1's own memory that is swapped out read in again: PID 1 needs it to become Lethe, and a
 * PID 1 that can't get a page back is a panic. False where that fails. It may wait for the disk. */
bool lethe_pid1_recall(void);

/* Keeps runit's second stage (process.h), at whose end runit ends the machine. */
void lethe_pid1_keep_stage(void);

/* Freezes PID 1 for good by its cgroup's freezer (Documentation/admin-guide/cgroup-v2.rst), or in a
 * group of Lethe's own where it is in none. True when it stands still. */
bool lethe_pid1_freeze(void);

/* Empties what PID 1 keeps open: zeroes files of RAM that have no name any more (memfds), and reads
 * pipes and sockets until nothing is left in them. */
void lethe_pid1_empty_files(void);

/* Zeroes the writable memory of PID 1 and of the processes that are kept. They must stand still,
 * for they can't run after that. False when not all of PID 1's could be zeroed: Yama's ptrace_scope
 * 3 and other security modules close it. */
bool lethe_pid1_zero_memory(void);

#endif
