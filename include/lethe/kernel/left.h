/* SPDX-License-Identifier: GPL-3.0-or-later */
/* left: says what is left when all is done that could be, from a last look. */
#ifndef LETHE_KERNEL_LEFT_H
#define LETHE_KERNEL_LEFT_H

#include <stdbool.h>

#include "lethe/kernel/policy.h"
#include "lethe/kernel/supervise.h"
#include "lethe/plan/plan.h"

/* Logs what the steps of a last plan show to be left, and who holds it. Returns how many things
 * that are. Where PID 1 stays, it holds the medium, which is not reported. */
unsigned lethe_left_report(const struct lethe_plan *plan, const struct lethe_snapshot *snapshot,
                           bool init_stays);

/* Notes the devices that carry file systems which may be written to, for the look below. */
void lethe_left_note_stores(const struct lethe_snapshot *snapshot, struct lethe_progress *progress);

/* Logs which devices still carry a file system, or are held, though the snapshot shows no user of
 * theirs. Returns how many. No device is opened where the policy does not wait for any. Where PID 1
 * stays, only devices that were noted count: it holds the medium. Runs inside a worker. */
unsigned lethe_left_report_claimed(const struct lethe_snapshot *snapshot, bool init_stays,
                                   const struct lethe_policy *policy,
                                   struct lethe_progress *progress);

/* Logs tmpfs pages beyond Lethe's own root and the frame buffers of graphics cards, which are
 * cleared (drm.h): somebody must be holding them. Returns 1 if there are any, else 0. Runs inside a
 * worker. */
unsigned lethe_left_report_shmem(const struct lethe_policy *policy,
                                 struct lethe_progress *progress);

/* Logs what is still there of System V's objects, queues, keys, files in devtmpfs, what terminals
 * show, interfaces that are up, and huge pages. Returns how many of these kinds there are. */
unsigned lethe_left_report_objects(void);

/* Logs what tasks that were not done in time have left where nobody can look. Returns how many
 * those are. Other looks judge the rest: a task that came to its end late has left nothing. */
unsigned lethe_left_report_stuck(const struct lethe_progress *progress);

#endif
