/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * Nodes are numbered mounts first, then swaps, devices, one erasure for each mount (most stay
 * unused) and one way to each mount, so that a node's kind and index follow from its number. A way
 * is no step: it is done when nothing turns a look-up of the mount's path aside any more. Edges are
 * kept as two linked lists for each node: "when this is done, that waits for one less", and what
 * it waits for itself.
 */
enum rank { RANK_WAY, RANK_ERASE, RANK_MOUNT, RANK_DEVICE };

struct edge {
    size_t before, after, next_out, next_in;
};

struct graph {
    const struct lethe_snapshot *snapshot;
    const struct lethe_tree *tree;
    struct lethe_arena *arena;
    size_t n_nodes;
    struct edge *edges;
    size_t n_edges, room;
    size_t *first_out, *first_in; /* of each node's edges; those in from done nodes are dropped */
    unsigned *waits_for;          /* how many nodes must still come before it */
    bool *used, *done, *lazy;
    size_t *heap, n_heap;
    size_t *seen, n_walks; /* the last walk for a cycle that came by each node */
    bool full;
};

static size_t swap_node(const struct graph *g, size_t swap)
{
    return g->snapshot->n_mounts + swap;
}

static size_t device_node(const struct graph *g, size_t device)
{
    return g->snapshot->n_mounts + g->snapshot->n_swaps + device;
}

static size_t erase_node(const struct graph *g, size_t mount)
{
    return g->snapshot->n_mounts + g->snapshot->n_swaps + g->snapshot->n_blocks + mount;
}

static size_t way_node(const struct graph *g, size_t mount)
{
    return erase_node(g, g->snapshot->n_mounts) + mount;
}

static enum rank rank_of(const struct graph *g, size_t node)
{
    if (node >= way_node(g, 0))
        return RANK_WAY;
    if (node >= erase_node(g, 0))
        return RANK_ERASE;
    return node >= device_node(g, 0) ? RANK_DEVICE : RANK_MOUNT;
}

static void add_edge(struct graph *g, size_t before, size_t after)
{
    if (before == after || !g->used[before] || !g->used[after])
        return;
    if (g->n_edges == g->room) {
        size_t room = 2 * g->room;
        struct edge *edges = lethe_arena_alloc(g->arena, room, sizeof *edges);
        if (!edges) {
            g->full = true;
            return;
        }
        memcpy(edges, g->edges, g->n_edges * sizeof *edges);
        g->edges = edges;
        g->room = room;
    }
    g->edges[g->n_edges] = (struct edge){before, after, g->first_out[before], g->first_in[after]};
    g->first_in[after] = g->n_edges;
    g->first_out[before] = g->n_edges++;
    g->waits_for[after]++;
}

/* Which of two free nodes goes first: the better rank, then the newest. A mount's age is its place
 * in mountinfo. */
static bool goes_first(const struct graph *g, size_t a, size_t b)
{
    enum rank ra = rank_of(g, a), rb = rank_of(g, b);
    return ra != rb ? ra < rb : a > b;
}

static void heap_push(struct graph *g, size_t node)
{
    size_t at = g->n_heap++;
    while (at && goes_first(g, node, g->heap[(at - 1) / 2])) {
        g->heap[at] = g->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    g->heap[at] = node;
}

static size_t heap_pop(struct graph *g)
{
    size_t top = g->heap[0], moved = g->heap[--g->n_heap], at = 0;
    for (size_t child; (child = 2 * at + 1) < g->n_heap; at = child) {
        if (child + 1 < g->n_heap && goes_first(g, g->heap[child + 1], g->heap[child]))
            child++;
        if (!goes_first(g, g->heap[child], moved))
            break;
        g->heap[at] = g->heap[child];
    }
    g->heap[at] = moved;
    return top;
}

/* Mounts sorted by a number (their id, or their device) for look-ups. */
struct key {
    uint64_t key;
    size_t mount;
};

static int compare_keys(const void *left, const void *right)
{
    const struct key *a = left, *b = right;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return (a->mount > b->mount) - (a->mount < b->mount);
}

/* The first of the n sorted keys that is not below `key`. */
static size_t find_key(const struct key *keys, size_t n, uint64_t key)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (keys[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint64_t devno_key(struct lethe_devno devno)
{
    return (uint64_t)devno.major << 32 | devno.minor;
}

/* Of mounts with the same id, which only a forged tree has, the first. */
static size_t find_parent(const struct graph *g, size_t mount, const struct key *by_id)
{
    size_t n = g->snapshot->n_mounts;
    unsigned id = g->snapshot->mounts[mount].parent;
    size_t at = find_key(by_id, n, id);
    return at < n && by_id[at].key == id ? by_id[at].mount : LETHE_NONE;
}

/* How well a mount serves to reach the files of its file system: the whole of it and in the open is
 * best. */
static int reach(const struct graph *g, size_t mount)
{
    const struct lethe_mount *m = &g->snapshot->mounts[mount];
    return 2 * (lethe_tree_lookup(g->tree, m->path) == mount) + !strcmp(m->root, "/");
}

/* The mount that shows most of the RAM-backed file system that the n mounts belong to, the newest
 * of equals; LETHE_NONE for other file systems. A look-up is dear where mounts are stacked: the
 * first that serves best ends it. */
static size_t best_reach(const struct graph *g, const struct key *mounts, size_t n)
{
    enum { REACH_MAX = 3 };
    size_t best = LETHE_NONE;
    int most = -1;
    while (n-- && most < REACH_MAX) {
        size_t m = mounts[n].mount;
        int r = lethe_mount_is_ram(&g->snapshot->mounts[m]) ? reach(g, m) : -1;
        if (r > most) {
            best = m;
            most = r;
        }
    }
    return best;
}

/* One erasure for each RAM-backed file system. */
static void choose_erasures(struct graph *g, const struct lethe_plan_options *options,
                            const struct key *by_device)
{
    const struct lethe_snapshot *s = g->snapshot;
    for (size_t i = 0, end; i < s->n_mounts; i = end) {
        bool own = false;
        for (end = i; end < s->n_mounts && by_device[end].key == by_device[i].key; end++)
            own = own || (options->own_root && !strcmp(s->mounts[by_device[end].mount].path, "/"));
        size_t best = own ? LETHE_NONE : best_reach(g, by_device + i, end - i);
        if (best != LETHE_NONE)
            g->used[erase_node(g, best)] = true;
    }
}

/* The way to a mount is the way to its parent and no mount on the parent that stands before it on
 * the path. */
static void add_way_edges(struct graph *g, size_t mount, size_t parent)
{
    const struct lethe_mount *m = &g->snapshot->mounts[mount];
    add_edge(g, way_node(g, mount), mount);
    add_edge(g, way_node(g, mount), erase_node(g, mount));
    if (parent == mount) /* rootfs */
        return;
    if (parent != LETHE_NONE)
        add_edge(g, way_node(g, parent), way_node(g, mount));
    for (size_t n = 1; m->path[n - 1]; n++) {
        while (n > 1 && m->path[n] && m->path[n] != '/')
            n++;
        size_t cover = lethe_tree_child(g->tree, m->parent, m->path, n);
        if (cover != LETHE_NONE && cover != mount && cover != parent)
            add_edge(g, cover, way_node(g, mount));
        if (!m->path[n])
            break;
    }
}

static void add_erase_edges(struct graph *g, size_t mount, const struct key *by_id,
                            const struct key *by_device)
{
    const struct lethe_snapshot *s = g->snapshot;
    const struct lethe_mount *m = &s->mounts[mount];
    size_t on_top = lethe_tree_child(g->tree, m->id, m->path, strlen(m->path));
    uint64_t key = devno_key(m->devno);
    if (on_top != LETHE_NONE && on_top != mount && find_parent(g, on_top, by_id) == mount)
        add_edge(g, on_top, erase_node(g, mount));
    for (size_t j = find_key(by_device, s->n_mounts, key);
         j < s->n_mounts && by_device[j].key == key; j++)
        add_edge(g, erase_node(g, mount), by_device[j].mount);
}

static void add_mount_edges(struct graph *g, const struct key *by_id, const struct key *by_device)
{
    const struct lethe_snapshot *s = g->snapshot;
    for (size_t i = 0; i < s->n_mounts; i++) {
        const struct lethe_mount *m = &s->mounts[i];
        size_t parent = find_parent(g, i, by_id);
        if (parent != LETHE_NONE)
            add_edge(g, i, parent);
        add_way_edges(g, i, parent);
        if (m->device != LETHE_NONE)
            add_edge(g, i, device_node(g, m->device));
        if (g->used[erase_node(g, i)])
            add_erase_edges(g, i, by_id, by_device);
    }
}

/* `node` lies in a file on that file system: it goes before its mounts and its erasure. */
static void add_host_edges(struct graph *g, size_t node, struct lethe_devno host,
                           const struct key *by_device)
{
    uint64_t key = devno_key(host);
    if (!key)
        return;
    for (size_t j = find_key(by_device, g->snapshot->n_mounts, key);
         j < g->snapshot->n_mounts && by_device[j].key == key; j++) {
        add_edge(g, node, by_device[j].mount);
        add_edge(g, node, erase_node(g, by_device[j].mount));
    }
}

static void add_device_edges(struct graph *g, const struct key *by_device)
{
    const struct lethe_snapshot *s = g->snapshot;
    for (size_t i = 0; i < s->n_blocks; i++) {
        for (size_t j = 0; j < s->blocks[i].n_slaves; j++)
            add_edge(g, device_node(g, i), device_node(g, s->blocks[i].slaves[j]));
        if (s->blocks[i].disk != LETHE_NONE)
            add_edge(g, device_node(g, i), device_node(g, s->blocks[i].disk));
        if (s->blocks[i].kind == LETHE_BLOCK_LOOP)
            add_host_edges(g, device_node(g, i), s->blocks[i].file_devno, by_device);
    }
    for (size_t i = 0; i < s->n_swaps; i++) {
        if (s->swaps[i].device != LETHE_NONE)
            add_edge(g, swap_node(g, i), device_node(g, s->swaps[i].device));
        add_host_edges(g, swap_node(g, i), s->swaps[i].devno, by_device);
    }
}

/* A branch whose path leads nowhere, or to Lethe itself, is pinned by the union alone: no mount
 * shows what it lies on, so every device may be it. */
static bool is_known(const struct graph *g, const struct lethe_union *u,
                     const struct lethe_branch *branch)
{
    return branch->mount != LETHE_NONE && branch->mount != u->mount && g->used[branch->mount];
}

static void add_union_edges(struct graph *g)
{
    const struct lethe_snapshot *s = g->snapshot;
    for (size_t i = 0; i < s->n_unions; i++) {
        const struct lethe_union *u = &s->unions[i];
        bool known = true;
        for (size_t j = 0; j < u->n_branches; j++) {
            if (u->branches[j].mount != LETHE_NONE)
                add_edge(g, u->mount, u->branches[j].mount);
            known = known && is_known(g, u, &u->branches[j]);
        }
        for (size_t j = 0; !known && j < s->n_blocks; j++)
            add_edge(g, u->mount, device_node(g, j));
    }
}

static bool can_be_stopped(const struct lethe_block *block)
{
    switch (block->kind) {
    case LETHE_BLOCK_LOOP:
        return block->file[0];
    case LETHE_BLOCK_CRYPT:
    case LETHE_BLOCK_DM:
    case LETHE_BLOCK_MD:
    case LETHE_BLOCK_ZRAM:
        return true;
    case LETHE_BLOCK_BRD:
    case LETHE_BLOCK_PLAIN:
        break;
    }
    return false;
}

/* Plain devices are nodes too, so that what lies on two of them is ordered, but only what can be
 * stopped becomes a step. */
static bool is_step(const struct graph *g, size_t node)
{
    enum rank rank = rank_of(g, node);
    return rank == RANK_DEVICE ? can_be_stopped(&g->snapshot->blocks[node - device_node(g, 0)])
                               : rank != RANK_WAY;
}

static int allocate(struct graph *g)
{
    size_t n = g->n_nodes;
    g->room = 2 * n + 8;
    g->edges = lethe_arena_alloc(g->arena, g->room, sizeof *g->edges);
    g->first_out = lethe_arena_alloc(g->arena, n, sizeof *g->first_out);
    g->first_in = lethe_arena_alloc(g->arena, n, sizeof *g->first_in);
    g->seen = lethe_arena_alloc(g->arena, n, sizeof *g->seen);
    g->waits_for = lethe_arena_alloc(g->arena, n, sizeof *g->waits_for);
    g->used = lethe_arena_alloc(g->arena, n, sizeof *g->used);
    g->done = lethe_arena_alloc(g->arena, n, sizeof *g->done);
    g->lazy = lethe_arena_alloc(g->arena, n, sizeof *g->lazy);
    g->heap = lethe_arena_alloc(g->arena, n, sizeof *g->heap);
    if (!g->edges || !g->first_out || !g->first_in || !g->seen || !g->waits_for || !g->used ||
        !g->done || !g->lazy || !g->heap)
        return -ENOMEM;
    memset(g->first_out, 0xff, n * sizeof *g->first_out); /* LETHE_NONE */
    memset(g->first_in, 0xff, n * sizeof *g->first_in);
    return 0;
}

static int build(struct graph *g, const struct lethe_plan_options *options)
{
    const struct lethe_snapshot *s = g->snapshot;
    struct key *by_id = lethe_arena_alloc(g->arena, s->n_mounts, sizeof *by_id);
    struct key *by_device = lethe_arena_alloc(g->arena, s->n_mounts, sizeof *by_device);
    if (!by_id || !by_device)
        return -ENOMEM;
    for (size_t i = 0; i < s->n_mounts; i++) {
        by_id[i] = (struct key){s->mounts[i].id, i};
        by_device[i] = (struct key){devno_key(s->mounts[i].devno), i};
        g->used[i] = !lethe_mount_is_own(&s->mounts[i], options->own_root);
        g->used[way_node(g, i)] = true;
    }
    qsort(by_id, s->n_mounts, sizeof *by_id, compare_keys);
    qsort(by_device, s->n_mounts, sizeof *by_device, compare_keys);
    for (size_t node = s->n_mounts; node < erase_node(g, 0); node++)
        g->used[node] = true;
    choose_erasures(g, options, by_device);
    add_mount_edges(g, by_id, by_device);
    add_device_edges(g, by_device);
    add_union_edges(g);
    return g->full ? -ENOMEM : 0;
}

static const char *reason_of(const struct graph *g, size_t node)
{
    enum rank rank = rank_of(g, node);
    if (g->lazy[node])
        return rank == RANK_ERASE
                   ? "part of a cycle: its files are RAM, zeroed while they are in use"
                   : "part of a cycle: detached, and let go by the last that holds it";
    switch (rank) {
    case RANK_ERASE:
        return "its files are RAM: zeroed before anything frees their pages";
    case RANK_DEVICE:
        return "nothing holds it any more";
    case RANK_MOUNT:
    case RANK_WAY:
        break;
    }
    return "all that depends on it is gone";
}

static struct lethe_step step_of(const struct graph *g, size_t node)
{
    struct lethe_step step = {.lazy = g->lazy[node], .reason = reason_of(g, node)};
    if (node >= erase_node(g, 0)) {
        step.kind = LETHE_STEP_ERASE;
        step.index = node - erase_node(g, 0);
    } else if (node >= device_node(g, 0)) {
        step.kind = LETHE_STEP_STOP;
        step.index = node - device_node(g, 0);
    } else if (node >= swap_node(g, 0)) {
        step.kind = LETHE_STEP_SWAPOFF;
        step.index = node - swap_node(g, 0);
    } else {
        step.kind = LETHE_STEP_UNMOUNT;
        step.index = node;
    }
    return step;
}

static void finish_node(struct graph *g, size_t node)
{
    g->done[node] = true;
    for (size_t e = g->first_out[node]; e != LETHE_NONE; e = g->edges[e].next_out)
        if (!--g->waits_for[g->edges[e].after] && !g->done[g->edges[e].after])
            heap_push(g, g->edges[e].after);
}

/* A node that `node` still waits for. All of its edges in are walked over once, whatever the number
 * of cycles. */
static size_t find_blocker(struct graph *g, size_t node)
{
    size_t *e = &g->first_in[node];
    while (g->done[g->edges[*e].before])
        *e = g->edges[*e].next_in;
    return g->edges[*e].before;
}

/* Which of two nodes is better to be done before its turn: an erasure, which then happens at all;
 * else a mount, which can be detached; ways never but among themselves. The newest of equals. */
static bool breaks_better(const struct graph *g, size_t a, size_t b)
{
    static const int order[] = {
        [RANK_ERASE] = 0, [RANK_MOUNT] = 1, [RANK_DEVICE] = 2, [RANK_WAY] = 3};
    int oa = order[rank_of(g, a)], ob = order[rank_of(g, b)];
    return oa != ob ? oa < ob : a > b;
}

/* The erasure that must happen before the mount is detached, else the mount itself. */
static size_t erase_first(const struct graph *g, size_t node)
{
    for (size_t e = g->first_in[node]; e != LETHE_NONE; e = g->edges[e].next_in)
        if (rank_of(g, g->edges[e].before) == RANK_ERASE && !g->done[g->edges[e].before])
            return g->edges[e].before;
    return node;
}

/* When nothing is free: follows from a node that waits what it waits for until that goes in a
 * circle, and picks the node in the circle that breaks it. `hint` only ever falls. */
static size_t break_cycle(struct graph *g, size_t *hint)
{
    while (g->done[*hint - 1] || !g->used[*hint - 1])
        --*hint;
    size_t node = *hint - 1;
    for (g->n_walks++; g->seen[node] != g->n_walks; node = find_blocker(g, node))
        g->seen[node] = g->n_walks;
    size_t best = node;
    for (size_t n = find_blocker(g, node); n != node; n = find_blocker(g, n))
        if (breaks_better(g, n, best))
            best = n;
    return rank_of(g, best) == RANK_MOUNT ? erase_first(g, best) : best;
}

int lethe_plan_make(struct lethe_plan *plan, const struct lethe_snapshot *snapshot,
                    const struct lethe_plan_options *options, struct lethe_arena *arena)
{
    struct lethe_tree tree;
    struct graph g = {.snapshot = snapshot, .tree = &tree, .arena = arena};
    g.n_nodes = 3 * snapshot->n_mounts + snapshot->n_swaps + snapshot->n_blocks;
    *plan = (struct lethe_plan){.steps = lethe_arena_alloc(arena, g.n_nodes, sizeof *plan->steps)};
    int r = lethe_tree_build(&tree, snapshot, arena);
    if (r == -ENOENT) /* no root: nothing can be looked up, but all can still be ordered */
        r = 0;
    if (!plan->steps || r || (r = allocate(&g)) || (r = build(&g, options)))
        return r ? r : -ENOMEM;

    size_t n_left = 0, hint = g.n_nodes;
    for (size_t node = 0; node < g.n_nodes; node++) {
        n_left += g.used[node];
        if (g.used[node] && !g.waits_for[node])
            heap_push(&g, node);
    }
    for (; n_left; n_left--) {
        size_t node;
        do
            node = g.n_heap ? heap_pop(&g) : LETHE_NONE;
        while (node != LETHE_NONE && g.done[node]);
        if (node == LETHE_NONE) {
            node = break_cycle(&g, &hint);
            g.lazy[node] = true;
        }
        if (is_step(&g, node))
            plan->steps[plan->n_steps++] = step_of(&g, node);
        finish_node(&g, node);
    }
    return 0;
}
