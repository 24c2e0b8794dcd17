/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * nodes: which nodes of the graph are in use, and what is known of each mount: what it is mounted
 * on, what hides it, where its RAM is erased from.
 */
#ifndef LETHE_PLAN_NODES_H
#define LETHE_PLAN_NODES_H

#include "lethe/plan/graph.h"

/* Decides which nodes are in use. 0, or -ENOMEM. */
int lethe_nodes_use(struct lethe_graph *graph, const struct lethe_plan_options *options);

#endif
