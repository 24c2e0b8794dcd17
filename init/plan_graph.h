/* SPDX-License-Identifier: GPL-3.0-or-later */
/* plan_graph: a plan with its whole graph, for programs. */
#ifndef LETHE_PLAN_GRAPH_H
#define LETHE_PLAN_GRAPH_H

#include "lethe/plan.h"
#include "lethe/roles.h"

/* One JSON object, as lethe-plan(5) explains it, to stdout. 0, or -ENOMEM. */
int lethe_plan_print_json(const struct lethe_plan *plan, const struct lethe_snapshot *snapshot,
                          bool own_root);

/* The same for Graphviz. */
int lethe_plan_print_dot(const struct lethe_plan *plan, const struct lethe_snapshot *snapshot);

/* Why something stays that the plan does not take apart, NULL for what does not stay or is of no
 * concern. */
const char *lethe_plan_mount_stays(const struct lethe_mount *mount, bool own_root);
const char *lethe_plan_device_stays(const struct lethe_snapshot *snapshot, size_t device,
                                    const enum lethe_role *roles);

#endif
