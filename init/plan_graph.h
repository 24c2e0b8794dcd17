/* SPDX-License-Identifier: GPL-3.0-or-later */
/* plan_graph: a plan with its whole graph, for programs. */
#ifndef LETHE_INIT_PLAN_GRAPH_H
#define LETHE_INIT_PLAN_GRAPH_H

#include "lethe/plan/handed.h"
#include "lethe/plan/stays.h"

/* Prints one JSON object, as lethe-plan(5) explains it, to stdout. `plan` is of handed->after,
 * `left` of handed->before. 0, or -ENOMEM. */
int lethe_plan_graph_json(const struct lethe_plan *plan, const struct lethe_handed *handed,
                          const struct lethe_stays_list *left, bool own_root);

/* Prints the plan for Graphviz to stdout. 0, or -ENOMEM. */
int lethe_plan_graph_dot(const struct lethe_plan *plan, const struct lethe_snapshot *snapshot);

#endif
