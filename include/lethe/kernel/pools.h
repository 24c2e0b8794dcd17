/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * pools: buffers of the kernel's that hold content and that nobody frees: those of file systems'
 * modules, of sound cards, of zswap, of KFENCE, and its stacks. docs/threat-model.md has the whole list.
 */
#ifndef LETHE_KERNEL_POOLS_H
#define LETHE_KERNEL_POOLS_H

#include "lethe/kernel/policy.h"
#include "lethe/kernel/supervise.h"

/* Frees the buffers or overwrites them by use, each within its deadline. All file systems and swaps
 * have to be gone. Runs inside a worker. */
void lethe_pools_clear(const struct lethe_policy *policy, struct lethe_progress *progress);

/* Overwrites what the kernel keeps of what was freed before: stacks of the dead and, for `ms` at
 * most, the pages of KFENCE, unless it is seen to clear them. Runs inside a worker. */
void lethe_pools_clear_freed(const struct lethe_policy *policy, int64_t ms,
                             struct lethe_progress *progress);

/* Counts and logs the kinds of buffers that are still there. */
unsigned lethe_pools_report(const struct lethe_progress *progress);

#endif
