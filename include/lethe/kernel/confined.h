/* SPDX-License-Identifier: GPL-3.0-or-later */
/* confined: whether this process may do less than PID 1, as what a udev rule, a sandboxed service
 * or a container has started. */
#ifndef LETHE_KERNEL_CONFINED_H
#define LETHE_KERNEL_CONFINED_H

#include <stdbool.h>

/* True under a filter on system calls that PID 1 is not under, or without a capability that it has
 * (/proc/PID/status, proc(5)). Uses no call that such a filter is known to forbid. */
bool lethe_confined(void);

/* True in the mount namespace and the root of PID 1, whose mounts are those that count, or when that
 * can't be told. */
bool lethe_confined_has_mounts(void);

/* Moves into the namespaces and the root of PID 1: from others neither its mounts nor its shared
 * memory, messages and network links can be reached. False where the process still has other mounts. */
bool lethe_confined_join(void);

#endif
