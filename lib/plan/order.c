/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/order.h"

#include <errno.h>
#include <stdint.h>

/* Of two free nodes the one with the greater turn goes first. The turn is the rank, then the age,
 * which for a mount is its place in mountinfo. Views are sorted by what they are mounted on, so
 * that they can go together. */
enum { RANK_SHIFT = 60, PARENT_SHIFT = 30 };

static uint64_t turn_of(const struct lethe_graph *g, size_t node)
{
    enum lethe_rank rank = lethe_graph_rank(g, node);
    size_t parent = 0;
    if (rank == LETHE_RANK_MOUNT && node < g->snapshot->n_mounts &&
        g->traits[node] & LETHE_TRAIT_VIEW) {
        rank = LETHE_RANK_VIEW;
        parent = g->parent[node] + 1; /* 0 for none */
    }
    return (uint64_t)(LETHE_RANK_VIEW - rank) << RANK_SHIFT | (uint64_t)parent << PARENT_SHIFT |
           node;
}

static void heap_push(struct lethe_order *o, size_t node)
{
    const uint64_t turn = turn_of(o->graph, node);
    size_t at = o->n_heap++;
    while (at && turn > o->heap[(at - 1) / 2]) {
        o->heap[at] = o->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    o->heap[at] = turn;
}

static size_t heap_pop(struct lethe_order *o)
{
    const uint64_t top = o->heap[0], moved = o->heap[--o->n_heap];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < o->n_heap; at = child) {
        if (child + 1 < o->n_heap && o->heap[child + 1] > o->heap[child])
            child++;
        if (o->heap[child] <= moved)
            break;
        o->heap[at] = o->heap[child];
    }
    o->heap[at] = moved;
    return (size_t)(top & ((UINT64_C(1) << PARENT_SHIFT) - 1));
}

static void drop_path(struct lethe_order *o, size_t n)
{
    while (o->n_path > n)
        o->on_path[o->path[--o->n_path]] = 0;
}

static void finish_node(struct lethe_order *o, size_t node)
{
    const struct lethe_graph *g = o->graph;
    o->done[node] = true;
    if (o->on_path[node] && o->on_path[node] <= o->n_path) /* the walk can't go on through it */
        drop_path(o, o->on_path[node] - 1);
    for (size_t e = g->first_out[node]; e != LETHE_NONE; e = g->edges[e].next_out)
        if (!--g->waits_for[g->edges[e].after] && !o->done[g->edges[e].after])
            heap_push(o, g->edges[e].after);
}

/* Returns a node that `node` still waits for. Each edge into it is passed once only, whatever the
 * number of cycles. */
static size_t find_blocker(struct lethe_order *o, size_t node)
{
    const struct lethe_graph *g = o->graph;
    size_t *e = &g->first_in[node];
    while (o->done[g->edges[*e].before])
        *e = g->edges[*e].next_in;
    return g->edges[*e].before;
}

/* True when `a` is the better node to break a cycle with. An erasure comes first, so that it
 * happens at all; then a mount, which can be detached; a moment only among moments. Of two mounts
 * it is the one that lies on the other, since a detach takes along what lies on a mount; of equals
 * the newest. */
static bool breaks_better(const struct lethe_graph *g, size_t a, size_t b)
{
    static const int order[] = {[LETHE_RANK_ERASE] = 0,
                                [LETHE_RANK_MOUNT] = 1,
                                [LETHE_RANK_DEVICE] = 2,
                                [LETHE_RANK_MOMENT] = 3};
    int oa = order[lethe_graph_rank(g, a)], ob = order[lethe_graph_rank(g, b)];
    if (oa != ob)
        return oa < ob;
    if (a < g->snapshot->n_mounts && b < g->snapshot->n_mounts && g->enter[a] != g->enter[b])
        return g->enter[a] > g->enter[b];
    return a > b;
}

static void keep_cycle(struct lethe_order *o, size_t from, size_t but)
{
    const struct lethe_graph *g = o->graph;
    o->n_cycle = 0;
    for (size_t i = from; i < o->n_path && o->n_cycle < LETHE_ORDER_CYCLE_MAX; i++)
        if (o->path[i] != but && lethe_graph_rank(g, o->path[i]) != LETHE_RANK_MOMENT)
            o->cycle[o->n_cycle++] = o->path[i];
}

/* Returns the erasure that must happen before the mount is detached, or else the mount itself.
 * Erasures that are done are passed once. */
static size_t erase_first(struct lethe_order *o, size_t mount)
{
    const struct lethe_graph *g = o->graph;
    size_t *e = &g->first_in[lethe_graph_node(g, LETHE_NODE_ERASED, g->first[mount])];
    while (*e != LETHE_NONE && o->done[g->edges[*e].before])
        *e = g->edges[*e].next_in;
    return *e == LETHE_NONE ? mount : g->edges[*e].before;
}

/* Chooses a node when nothing is free: follows from a waiting node what it waits for until that
 * goes in a circle, and takes the node of the circle that breaks it best. The next walk goes on
 * where this one ended, and walks again over what lies behind the node taken. In a forged tree that
 * can be so much, so often, that at last only the end of the circle is looked at. */
static size_t break_cycle(struct lethe_order *o)
{
    const struct lethe_graph *g = o->graph;
    while (o->done[o->hint - 1] || !g->used[o->hint - 1])
        o->hint--;
    size_t node = o->n_path ? find_blocker(o, o->path[o->n_path - 1]) : o->hint - 1;
    for (; !o->on_path[node]; node = find_blocker(o, node)) {
        o->path[o->n_path] = node;
        o->on_path[node] = ++o->n_path;
    }
    enum { WALKS_MAX = 16, END = 64 };
    size_t from = o->on_path[node];
    o->n_walked += o->n_path - from;
    if (o->n_path - from > END && o->n_walked > WALKS_MAX * (g->n_nodes + g->n_edges))
        from = o->n_path - END;
    size_t best = o->path[from - 1];
    for (size_t i = from; i < o->n_path; i++)
        if (breaks_better(g, o->path[i], best))
            best = o->path[i];
    if (lethe_graph_rank(g, best) == LETHE_RANK_MOUNT)
        best = erase_first(o, best);
    keep_cycle(o, from - 1, best);
    return best;
}

int lethe_order_begin(struct lethe_order *o, struct lethe_graph *g)
{
    const size_t n = g->n_nodes;
    *o = (struct lethe_order){.graph = g, .done = g->passed, .path = g->stack, .hint = n};
    o->on_path = lethe_arena_alloc(g->arena, n, sizeof *o->on_path);
    o->lazy = lethe_arena_alloc(g->arena, n, sizeof *o->lazy);
    o->heap = lethe_arena_take(g->arena, n, sizeof *o->heap);
    if (!o->on_path || !o->lazy || !o->heap)
        return -ENOMEM;
    for (size_t node = 0; node < n; node++) {
        o->n_left += g->used[node];
        if (g->used[node] && !g->waits_for[node])
            heap_push(o, node);
    }
    return 0;
}

size_t lethe_order_next(struct lethe_order *o)
{
    size_t node;
    if (!o->n_left)
        return LETHE_NONE;
    o->n_left--;
    do
        node = o->n_heap ? heap_pop(o) : LETHE_NONE;
    while (node != LETHE_NONE && o->done[node]); /* before its turn */
    if (node == LETHE_NONE) {
        node = break_cycle(o);
        o->lazy[node] = true;
    }
    finish_node(o, node);
    return node;
}
