/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * served: the steps of a plan that a process may have to answer for, and which come before its end.
 *
 * A FUSE file system, an array whose metadata mdmon writes and a network block device are of no use
 * any more when their daemons have gone. So are the devices of multipathd and iscsid. Nothing in a
 * snapshot shows which those are, so all that may be written to counts.
 */
#ifndef LETHE_PLAN_SERVED_H
#define LETHE_PLAN_SERVED_H

#include "lethe/plan/plan.h"

/* Picks the steps of `plan` that take apart what is served, with all that has to go before, in
 * their order. 0, or -ENOMEM. */
int lethe_served_pick(struct lethe_plan *served, const struct lethe_plan *plan,
                      const struct lethe_snapshot *snapshot, struct lethe_arena *arena);

#endif
