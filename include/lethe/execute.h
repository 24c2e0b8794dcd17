/* SPDX-License-Identifier: GPL-3.0-or-later */
/* execute: carries out a plan, step by step, and says what is left. Runs inside a worker of
 * supervise.h. */
#ifndef LETHE_EXECUTE_H
#define LETHE_EXECUTE_H

#include "lethe/plan.h"
#include "lethe/policy.h"
#include "lethe/supervise.h"

/* How many steps changed something; what failed is logged when `loud`. Steps that are stuck are
 * gone around: a stuck unmount by detaching the mount with a descriptor held on it, which needs no
 * answer from the device. */
unsigned lethe_execute(const struct lethe_plan *plan, const struct lethe_snapshot *snapshot,
                       const struct lethe_policy *policy, struct lethe_progress *progress,
                       bool loud);

/* Erases what is neither a file nor a process: System V and POSIX IPC objects, users' keys. */
void lethe_execute_erase_ipc(const struct lethe_policy *policy, struct lethe_progress *progress);

/* Takes the keys out of the dm-crypt devices that are still there. */
void lethe_execute_wipe_keys(const struct lethe_snapshot *snapshot,
                             const struct lethe_policy *policy, struct lethe_progress *progress);

/* Gives back what is clean of the page cache, once, so that the unmounts have less to free. */
void lethe_execute_drop_page_cache(const struct lethe_policy *policy,
                                   struct lethe_progress *progress);

/* Writes back what there is to write, then drops the page cache and the slabs that can be. Each
 * within its deadline. */
uint64_t lethe_execute_sync_key(void); /* as lethe_begin() knows the sync */
void lethe_execute_sync(const struct lethe_policy *policy, struct lethe_progress *progress);
void lethe_execute_drop_caches(const struct lethe_policy *policy, struct lethe_progress *progress);

/* Logs what the steps of a last plan show to be left, and who holds it; how many things that are.
 * Where PID 1 stays what it was, it holds the medium: that is not told. */
unsigned lethe_execute_report(const struct lethe_plan *plan, const struct lethe_snapshot *snapshot,
                              bool init_stays);

#endif
