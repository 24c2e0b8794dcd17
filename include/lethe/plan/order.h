/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * order: the nodes of a graph one after the other, each after those that it waits for, but where a
 * cycle has to be broken. plan.h says which of those that are free goes first.
 */
#ifndef LETHE_PLAN_ORDER_H
#define LETHE_PLAN_ORDER_H

#include "lethe/plan/graph.h"

enum { LETHE_ORDER_CYCLE_MAX = 16 };

/*
 * A node that is `lazy` goes before its turn, to break a cycle; `cycle` is what stood in the circle
 * with the last of them. `heap` holds the turns of the nodes that are free. `path` is the walk for
 * a cycle, and `on_path` each node's place on it, from 1.
 */
struct lethe_order {
    struct lethe_graph *graph;
    size_t n_left;
    bool *done, *lazy; /* of each node */
    uint64_t *heap;
    size_t n_heap;
    size_t *path, n_path;
    size_t *on_path;
    size_t n_walked; /* the length of all cycles so far */
    size_t hint;     /* from this number on no node is left */
    size_t cycle[LETHE_ORDER_CYCLE_MAX];
    size_t n_cycle;
};

/* The graph stays the caller's, but what it has for walks is the order's from here on, and so are
 * its counts and lists of edges in, from which those from done nodes are dropped. 0, or -ENOMEM. */
int lethe_order_begin(struct lethe_order *order, struct lethe_graph *graph);

/* Returns the next node, which may be a moment, or LETHE_NONE after the last. */
size_t lethe_order_next(struct lethe_order *order);

#endif
