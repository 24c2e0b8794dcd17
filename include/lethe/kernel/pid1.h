/* SPDX-License-Identifier: GPL-3.0-or-later */
/* pid1: what an end beside PID 1 does about it. No signal stops or ends PID
 * 1. */
#ifndef LETHE_KERNEL_PID1_H
#define LETHE_KERNEL_PID1_H

#include <stdbool.h>

/* Moves the caller to the top of the cgroups, where neither a freezer nor a limit on processes nor
 * a stopped unit concerns it. */
void lethe_pid1_leave_cgroup(void);

/* Has what is swapped out of PID 1's own memory read in again: it needs that to become Lethe, and
 * one that can't get a page back is a panic. False where that fails. May wait for the disk. */
bool lethe_pid1_recall(void);

/* runit ends the machine when its second stage has ended: that is kept (process.h). */
void lethe_pid1_keep_stage(void);

/* Freezes PID 1 for good by its cgroup's freezer (Documentation/admin-guide/cgroup-v2.rst); where
 * it is in none, in one of Lethe's own. True when it stands still. */
bool lethe_pid1_freeze(void);

/* Empties what PID 1 keeps open: files of RAM that have no name any more (memfds) are zeroed, pipes
 * and sockets read until there is nothing left in them. */
void lethe_pid1_empty_files(void);

/* Zeroes the writable memory of PID 1 and of those that are kept: only once they stand still, for
 * they can't run after that. False when not all of PID 1's could be: Yama's ptrace_scope 3 and
 * other security modules close it. */
bool lethe_pid1_zero_memory(void);

#endif
