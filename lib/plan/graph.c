/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/graph.h"

#include <errno.h>
#include <string.h>

size_t lethe_graph_count(const struct lethe_snapshot *s, enum lethe_node_kind kind)
{
    switch (kind) {
    case LETHE_NODE_SWAP:
        return s->n_swaps;
    case LETHE_NODE_DEVICE:
        return s->n_blocks;
    case LETHE_NODE_HOLDERS_GONE:
        return LETHE_HOLDERS_KINDS;
    case LETHE_NODE_NAMESPACE:
        return s->n_namespaces;
    case LETHE_NODE_MOUNT:
    case LETHE_NODE_ERASURE:
    case LETHE_NODE_PATH_CLEAR:
    case LETHE_NODE_FILES_UNUSED:
    case LETHE_NODE_ERASED:
        break;
    }
    return s->n_mounts;
}

int lethe_graph_init(struct lethe_graph *g, const struct lethe_snapshot *snapshot,
                     const struct lethe_tree *tree, struct lethe_arena *arena)
{
    *g = (struct lethe_graph){.snapshot = snapshot, .tree = tree, .arena = arena};
    for (enum lethe_node_kind kind = 0; kind <= LETHE_NODE_NAMESPACE; kind++) {
        g->base[kind] = g->n_nodes;
        g->n_nodes += lethe_graph_count(snapshot, kind);
    }
    const size_t n = g->n_nodes, n_mounts = snapshot->n_mounts;
    g->room = 2 * n + 8;
    g->edges = lethe_arena_take(arena, g->room, sizeof *g->edges);
    g->first_out = lethe_arena_take(arena, n, sizeof *g->first_out);
    g->first_in = lethe_arena_take(arena, n, sizeof *g->first_in);
    g->waits_for = lethe_arena_alloc(arena, n, sizeof *g->waits_for);
    g->used = lethe_arena_alloc(arena, n, sizeof *g->used);
    g->traits = lethe_arena_alloc(arena, n_mounts, sizeof *g->traits);
    g->first = lethe_arena_take(arena, n_mounts, sizeof *g->first);
    g->parent = lethe_arena_take(arena, n_mounts, sizeof *g->parent);
    g->cover = lethe_arena_take(arena, n_mounts, sizeof *g->cover);
    g->enter = lethe_arena_alloc(arena, n_mounts, sizeof *g->enter);
    g->leave = lethe_arena_alloc(arena, n_mounts, sizeof *g->leave);
    g->held = lethe_arena_alloc(arena, snapshot->n_blocks, sizeof *g->held);
    g->host = lethe_arena_take(arena, snapshot->n_swaps + snapshot->n_blocks, sizeof *g->host);
    g->stack = lethe_arena_take(arena, n, sizeof *g->stack);
    g->passed = lethe_arena_alloc(arena, n, sizeof *g->passed);
    if (!g->edges || !g->first_out || !g->first_in || !g->waits_for || !g->used || !g->traits ||
        !g->first || !g->parent || !g->cover || !g->enter || !g->leave || !g->held || !g->host ||
        !g->stack || !g->passed)
        return -ENOMEM;
    memset(g->first_out, 0xff, n * sizeof *g->first_out); /* LETHE_NONE */
    memset(g->first_in, 0xff, n * sizeof *g->first_in);
    return 0;
}

void lethe_graph_add(struct lethe_graph *g, size_t before, size_t after, enum lethe_why why)
{
    if (before == after || !g->used[before] || !g->used[after])
        return;
    if (g->n_edges == g->room) {
        size_t room = 2 * g->room;
        struct lethe_edge *edges = lethe_arena_take(g->arena, room, sizeof *edges);
        if (!edges) {
            g->full = true;
            return;
        }
        memcpy(edges, g->edges, g->n_edges * sizeof *edges);
        g->edges = edges;
        g->room = room;
    }
    g->edges[g->n_edges] =
        (struct lethe_edge){before, after, g->first_out[before], g->first_in[after], why};
    g->first_in[after] = g->n_edges;
    g->first_out[before] = g->n_edges++;
    g->waits_for[after]++;
}

enum lethe_rank lethe_graph_rank(const struct lethe_graph *g, size_t node)
{
    if (node >= g->base[LETHE_NODE_PATH_CLEAR])
        return LETHE_RANK_MOMENT;
    if (node >= g->base[LETHE_NODE_ERASURE])
        return LETHE_RANK_ERASE;
    return node >= g->base[LETHE_NODE_DEVICE] ? LETHE_RANK_DEVICE : LETHE_RANK_MOUNT;
}

bool lethe_graph_stops(const struct lethe_block *block)
{
    switch (block->kind) {
    case LETHE_BLOCK_LOOP:
        return block->file[0];
    case LETHE_BLOCK_CRYPT:
    case LETHE_BLOCK_DM:
    case LETHE_BLOCK_MD:
    case LETHE_BLOCK_ZRAM:
    case LETHE_BLOCK_NBD:
    case LETHE_BLOCK_BCACHE:
        return true;
    case LETHE_BLOCK_BRD:
    case LETHE_BLOCK_PLAIN:
        break;
    }
    return false;
}

bool lethe_graph_is_step(const struct lethe_graph *g, size_t node)
{
    enum lethe_rank rank = lethe_graph_rank(g, node);
    if (rank != LETHE_RANK_DEVICE)
        return rank != LETHE_RANK_MOMENT;
    const struct lethe_block *block = &g->snapshot->blocks[node - g->base[LETHE_NODE_DEVICE]];
    return lethe_graph_stops(block) || block->kind == LETHE_BLOCK_BRD;
}
