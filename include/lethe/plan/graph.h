/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * graph: what a plan is made from (plan.h says which nodes and edges there are). nodes.h decides
 * which nodes are in use, edges.h ties them, order.h walks it.
 *
 * Nodes are numbered by their kind: mounts first, then swaps, devices and, for each mount, four
 * more (most stay unused), so that a node's kind and index follow from its number. Edges are kept
 * as two linked lists for each node: "when this is done, that waits for one less", and what it
 * waits for itself.
 */
#ifndef LETHE_PLAN_GRAPH_H
#define LETHE_PLAN_GRAPH_H

#include "lethe/plan/plan.h"
#include "lethe/plan/tree.h"

enum lethe_rank {
    LETHE_RANK_MOMENT,
    LETHE_RANK_ERASE,
    LETHE_RANK_MOUNT,
    LETHE_RANK_DEVICE,
    LETHE_RANK_VIEW,
};

/* Traits of a mount, on which its step's reason and its turn depend; bits. */
enum lethe_trait {
    LETHE_TRAIT_UNION = 1,
    LETHE_TRAIT_BRANCH = 2,
    LETHE_TRAIT_PART = 4,
    LETHE_TRAIT_RAM_BLOCKS = 8,
    LETHE_TRAIT_VIEW = 16,
};

/* Whether a device is held after all its visible users have gone. */
enum lethe_held {
    LETHE_HELD_NOT,
    LETHE_HELD_MAYBE, /* a pool of ZFS, which does not say what it lies on */
    LETHE_HELD_FAST,  /* a device that can't be taken apart (DRBD) */
};

/*
 * `first` stands for a mount's file system. `cover` is what hides a mount from a look-up, or
 * LETHE_NONE. `enter` and `leave` number a walk over the tree of mounts (lethe_graph_lies_on()).
 * `host` is, for each swap and then for each device, the first mount of the file system that it is
 * a file of, or LETHE_NONE. `stack` and `passed` are room for a walk over nodes; a walk leaves
 * none passed when it ends. `full` is set when an edge did not fit into the arena.
 */
struct lethe_graph {
    const struct lethe_snapshot *snapshot;
    const struct lethe_tree *tree;
    struct lethe_arena *arena;
    size_t base[LETHE_NODE_NAMESPACE + 1]; /* the number of each kind's first node */
    size_t n_nodes;
    struct lethe_edge *edges;
    size_t n_edges, room;
    size_t *first_out, *first_in; /* of each node's edges */
    unsigned *waits_for;          /* how many nodes must still come before each node */
    bool *used;
    unsigned char *traits; /* of each mount: enum lethe_trait, or'ed */
    size_t *first;         /* of each mount: the first mount of its file system */
    size_t *parent;        /* of each mount: what it is mounted on */
    size_t *cover, *enter, *leave;
    unsigned char *held; /* of each device: enum lethe_held */
    size_t *host;
    size_t *stack;
    bool *passed;
    bool full;
};

/* Makes a graph of unused nodes without edges. `tree` is the snapshot's. 0, or -ENOMEM. */
int lethe_graph_init(struct lethe_graph *graph, const struct lethe_snapshot *snapshot,
                     const struct lethe_tree *tree, struct lethe_arena *arena);

/* Returns how many nodes of the kind there are for a snapshot, used or not. */
size_t lethe_graph_count(const struct lethe_snapshot *snapshot, enum lethe_node_kind kind);

/* Returns a node's number. A mount's is its index. */
static inline size_t lethe_graph_node(const struct lethe_graph *graph, enum lethe_node_kind kind,
                                      size_t index)
{
    return graph->base[kind] + index;
}

/* Adds an edge. An edge from a node to itself, or from or to a node that is not used, is left
 * out. */
void lethe_graph_add(struct lethe_graph *graph, size_t before, size_t after, enum lethe_why why);

/* Returns what decides first which of the free nodes is next. */
enum lethe_rank lethe_graph_rank(const struct lethe_graph *graph, size_t node);

/* True for a node that becomes a step. Plain devices are nodes too, so that what lies on two of
 * them is ordered, but only what can be stopped or erased is a step. */
bool lethe_graph_is_step(const struct lethe_graph *graph, size_t node);

/* True for a device that can be taken apart (stop.h). */
bool lethe_graph_stops(const struct lethe_block *block);

/* True when the mount lies on the other one, directly or through others. Nothing lies on a mount in
 * a forged circle. */
static inline bool lethe_graph_lies_on(const struct lethe_graph *g, size_t mount, size_t on)
{
    return mount != on && g->leave[on] && g->enter[mount] > g->enter[on] &&
           g->leave[mount] <= g->leave[on];
}

/* True when what is written to a file of the union goes to the branch. */
static inline bool lethe_graph_is_host(const struct lethe_union *on,
                                       const struct lethe_branch *branch)
{
    return branch->writable && lethe_branch_is_shown(on, branch);
}

#endif
