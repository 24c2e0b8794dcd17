/* SPDX-License-Identifier: GPL-3.0-or-later */
/* edges: what has to come before what, among the nodes in use, and why. With that it is known which
 * mounts are views (plan.h). */
#ifndef LETHE_PLAN_EDGES_H
#define LETHE_PLAN_EDGES_H

#include "lethe/plan/graph.h"

/* Adds all edges. 0, or -ENOMEM. */
int lethe_edges_add(struct lethe_graph *graph);

#endif
