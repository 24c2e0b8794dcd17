/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * pools: buffers of the kernel's that hold content and that nobody frees: those of file systems'
 * modules, of sound cards, of zswap. docs/threat-model.md has the whole list.
 */
#ifndef LETHE_KERNEL_POOLS_H
#define LETHE_KERNEL_POOLS_H

#include "lethe/kernel/policy.h"
#include "lethe/kernel/supervise.h"

/* Frees them or overwrites them by use, each within its deadline. All file systems and swaps have
 * to be gone. Runs inside a worker. */
void lethe_pools_clear(const struct lethe_policy *policy, struct lethe_progress *progress);

/* How many kinds of them are there all the same, each of which is logged. */
unsigned lethe_pools_report(const struct lethe_progress *progress);

#endif
