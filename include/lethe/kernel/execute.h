/* SPDX-License-Identifier: GPL-3.0-or-later */
/* execute: carries out a plan, step by step. Runs inside a worker of supervise.h. */
#ifndef LETHE_KERNEL_EXECUTE_H
#define LETHE_KERNEL_EXECUTE_H

#include "lethe/kernel/policy.h"
#include "lethe/kernel/supervise.h"
#include "lethe/plan/plan.h"

/* Carries out the plan and returns how many steps changed something. A step that fails is counted
 * and not logged, for the last look says what is left. A step that is stuck is gone around: a stuck
 * unmount by detaching the mount with a descriptor held on it, which needs no answer from the
 * device. */
unsigned lethe_execute(const struct lethe_plan *plan, const struct lethe_snapshot *snapshot,
                       const struct lethe_policy *policy, struct lethe_progress *progress);

/* Takes the keys out of the dm-crypt devices that are still there. */
void lethe_execute_wipe_keys(const struct lethe_snapshot *snapshot,
                             const struct lethe_policy *policy, struct lethe_progress *progress);

#endif
