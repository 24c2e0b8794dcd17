/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * order: the nodes of a graph one after the other, each after those that it waits for, but where a
 * cycle has to be broken. plan.h says which of those that are free goes first.
 */
#ifndef LETHE_PLAN_ORDER_H
#define LETHE_PLAN_ORDER_H

#include "lethe/plan/graph.h"

enum { LETHE_ORDER_CYCLE_MAX = 16 };

struct lethe_order {
    struct lethe_graph *graph;
    size_t n_left;
    bool *done, *lazy; /* of each node; lazy: before its turn, to break a cycle */
    uint64_t *heap;    /* of the turns of those that are free */
    size_t n_heap;
    size_t *path, n_path; /* the walk for a cycle */
    size_t *on_path;      /* each node's place on the path, from 1 */
    size_t n_walked;      /* the length of all cycles so far */
    size_t hint;          /* from this number on no node is left */
    size_t cycle[LETHE_ORDER_CYCLE_MAX],
        n_cycle; /* what stood in the circle with the last lazy node */
};

/* The graph stays the caller's, but what it has for walks is the order's from here on, and so are
 * its counts and lists of edges in, from which those from done nodes are dropped. 0, or -ENOMEM. */
int lethe_order_begin(struct lethe_order *order, struct lethe_graph *graph);

/* Returns the next node, which may be a moment, or LETHE_NONE after the last. */
size_t lethe_order_next(struct lethe_order *order);

#endif
