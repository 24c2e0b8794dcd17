/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * modules: file systems whose module keeps buffers with content as long as it is loaded.
 *
 * They are unloaded (delete_module(2)) once nothing of their kind is mounted: as long as a
 * superblock, a connection or a file is left the module is in use and the kernel refuses at once.
 * Only modules whose exit function, read in the kernel's sources (v6.1, v6.12), asks nothing of any
 * device or server are in the list: it frees caches, which waits for an RCU grace period. No
 * driver's is, whose removal can hang on its device and hold a lock that the power-off needs.
 */
#ifndef LETHE_KERNEL_MODULES_H
#define LETHE_KERNEL_MODULES_H

#include "lethe/kernel/policy.h"
#include "lethe/kernel/supervise.h"

/* Unloads the modules, each within its deadline. Runs inside a worker. */
void lethe_modules_unload(const struct lethe_policy *policy, struct lethe_progress *progress);

/* Counts and logs the modules that are still loaded. */
unsigned lethe_modules_report(void);

#endif
