/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/plan.h"

#include <errno.h>
#include <string.h>

#include "lethe/plan/edges.h"
#include "lethe/plan/nodes.h"
#include "lethe/plan/order.h"
#include "lethe/plan/tree.h"

size_t lethe_plan_count_nodes(const struct lethe_snapshot *s)
{
    size_t n = 0;
    for (enum lethe_node_kind kind = 0; kind <= LETHE_NODE_NAMESPACE; kind++)
        n += lethe_graph_count(s, kind);
    return n;
}

struct lethe_node lethe_plan_node(const struct lethe_snapshot *s, size_t node)
{
    enum lethe_node_kind kind = LETHE_NODE_MOUNT;
    for (size_t n; kind < LETHE_NODE_NAMESPACE && node >= (n = lethe_graph_count(s, kind)); kind++)
        node -= n;
    return (struct lethe_node){kind, node};
}

size_t lethe_plan_step_node(const struct lethe_snapshot *s, const struct lethe_step *step)
{
    static const enum lethe_node_kind kinds[] = {[LETHE_STEP_ERASE] = LETHE_NODE_ERASURE,
                                                 [LETHE_STEP_UNMOUNT] = LETHE_NODE_MOUNT,
                                                 [LETHE_STEP_SWAPOFF] = LETHE_NODE_SWAP,
                                                 [LETHE_STEP_STOP] = LETHE_NODE_DEVICE,
                                                 [LETHE_STEP_ERASE_DEVICE] = LETHE_NODE_DEVICE};
    size_t node = step->index;
    for (enum lethe_node_kind kind = 0; kind < kinds[step->kind]; kind++)
        node += lethe_graph_count(s, kind);
    return node;
}

static const char *erase_reason(unsigned traits)
{
    if (traits & LETHE_TRAIT_BRANCH)
        return "a union's writable branch in RAM: zeroed before anything frees its pages";
    if (traits & LETHE_TRAIT_PART)
        return "its files are RAM, and no mount shows more of them: zeroed before anything frees "
               "their pages";
    return "its files are RAM: zeroed before anything frees their pages";
}

static const char *unmount_reason(const struct lethe_mount *m, unsigned traits)
{
    if (traits & LETHE_TRAIT_UNION)
        return "a union goes before its layers";
    if (traits & LETHE_TRAIT_RAM_BLOCKS)
        return "a union's writable branch on a device that is RAM: what that holds is erased "
               "after it";
    if (traits & LETHE_TRAIT_BRANCH && m->device != LETHE_NONE)
        return "a union's writable branch on a disk: unmounted, never zeroed, for it is the "
               "user's";
    if (lethe_mount_keeps_mounts(m))
        return "it keeps a mount namespace, whose mounts go with it";
    if (lethe_mount_is_ram(m))
        return "it is erased, and all that depends on it is gone";
    if (m->device != LETHE_NONE)
        return strncmp(m->super_options, "ro", 2)
                   ? "written back and unmounted before its device goes"
                   : "unmounted before its device goes";
    return "all that depends on it is gone";
}

static const char *held_reason(enum lethe_held held, bool crypt)
{
    if (held == LETHE_HELD_FAST)
        return crypt ? "held by something that Lethe can't take apart: its key is wiped in place"
                     : "held by something that Lethe can't take apart";
    return crypt
               ? "nothing is seen to hold it, but a pool of ZFS may, which Lethe can't take "
                 "apart: its key goes with it, or is wiped in place"
               : "nothing is seen to hold it, but a pool of ZFS may, which Lethe can't take apart";
}

static const char *device_reason(enum lethe_block_kind kind, enum lethe_held held)
{
    if (held != LETHE_HELD_NOT)
        return held_reason(held, kind == LETHE_BLOCK_CRYPT);
    switch (kind) {
    case LETHE_BLOCK_CRYPT:
        return "nothing holds it any more: its key goes with it";
    case LETHE_BLOCK_BRD:
        return "its blocks are RAM: zeroed when nothing uses them any more";
    case LETHE_BLOCK_ZRAM:
        return "nothing holds it any more: its memory is given back";
    case LETHE_BLOCK_NBD:
        return "nothing holds it any more: its connection is closed";
    default:
        return "nothing holds it any more";
    }
}

static const char *reason_of(const struct lethe_order *o, size_t node)
{
    const struct lethe_graph *g = o->graph;
    const struct lethe_snapshot *s = g->snapshot;
    enum lethe_rank rank = lethe_graph_rank(g, node);
    if (o->lazy[node])
        return rank == LETHE_RANK_ERASE
                   ? "part of a cycle: its files are RAM, zeroed while they are in use"
                   : "part of a cycle: detached, and let go by the last that holds it";
    if (rank == LETHE_RANK_ERASE)
        return erase_reason(g->traits[node - g->base[LETHE_NODE_ERASURE]]);
    if (rank == LETHE_RANK_DEVICE) {
        const size_t device = node - g->base[LETHE_NODE_DEVICE];
        return device_reason(s->blocks[device].kind, g->held[device]);
    }
    if (node < s->n_mounts)
        return unmount_reason(&s->mounts[node], g->traits[node]);
    return "called back into memory before what it lies on goes";
}

static struct lethe_step step_of(const struct lethe_order *o, size_t node)
{
    const struct lethe_snapshot *s = o->graph->snapshot;
    const struct lethe_node n = lethe_plan_node(s, node);
    struct lethe_step step = {
        .index = n.index, .lazy = o->lazy[node], .reason = reason_of(o, node)};
    if (n.kind == LETHE_NODE_ERASURE)
        step.kind = LETHE_STEP_ERASE;
    else if (n.kind == LETHE_NODE_SWAP)
        step.kind = LETHE_STEP_SWAPOFF;
    else if (n.kind == LETHE_NODE_MOUNT)
        step.kind = LETHE_STEP_UNMOUNT;
    else
        step.kind =
            lethe_graph_stops(&s->blocks[n.index]) ? LETHE_STEP_STOP : LETHE_STEP_ERASE_DEVICE;
    return step;
}

/* Keeps at *at what the lazy step stands in a circle with. Returns where the next is to be put. */
static const struct lethe_cycle **keep_cycle(const struct lethe_order *o, size_t step,
                                             const struct lethe_cycle **at)
{
    struct lethe_cycle *cycle = lethe_arena_take(o->graph->arena, 1, sizeof *cycle);
    size_t *nodes = lethe_arena_take(o->graph->arena, o->n_cycle, sizeof *nodes);
    if (!cycle || !nodes || !o->n_cycle)
        return at;
    memcpy(nodes, o->cycle, o->n_cycle * sizeof *nodes);
    *cycle = (struct lethe_cycle){step, nodes, o->n_cycle, NULL};
    *at = cycle;
    return &cycle->next;
}

/* True if the parent outlives these mounts and is still reachable by its path. */
static bool goes_later(const struct lethe_order *o, size_t parent)
{
    const struct lethe_graph *g = o->graph;
    return g->used[parent] && !o->lazy[parent] &&
           !g->used[lethe_graph_node(g, LETHE_NODE_PATH_CLEAR, parent)];
}

/* A medium that is detached to break a cycle may as well go with what it lies on: nothing is
 * written back to it. */
static bool goes_along(const struct lethe_order *o, size_t mount)
{
    return o->lazy[mount] && !lethe_mount_is_writable(&o->graph->snapshot->mounts[mount]);
}

/* Finds the runs of views on one parent that are the last on it, and notes how long each is in its
 * first step. */
static void join_unmounts(const struct lethe_order *o, struct lethe_plan *plan)
{
    const struct lethe_graph *g = o->graph;
    size_t *left = g->stack; /* of each mount's children. No walk needs the stack any more */
    memset(left, 0, g->snapshot->n_mounts * sizeof *left);
    for (size_t i = 0; i < g->snapshot->n_mounts; i++)
        if (g->parent[i] != LETHE_NONE && !goes_along(o, i))
            left[g->parent[i]]++;
    size_t first = 0, parent = LETHE_NONE; /* of the run */
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct lethe_step *step = &plan->steps[i];
        size_t on = step->kind == LETHE_STEP_UNMOUNT ? g->parent[step->index] : LETHE_NONE;
        bool view = on != LETHE_NONE && !step->lazy && g->traits[step->index] & LETHE_TRAIT_VIEW &&
                    strcmp(g->snapshot->mounts[step->index].path, g->snapshot->mounts[on].path);
        if (!view || on != parent)
            first = i;
        parent = view ? on : LETHE_NONE;
        if (on != LETHE_NONE && !goes_along(o, step->index) && !--left[on] && view &&
            goes_later(o, on))
            plan->steps[first].together = i + 1 - first;
    }
}

int lethe_plan_make(struct lethe_plan *plan, const struct lethe_snapshot *snapshot,
                    const struct lethe_plan_options *options, struct lethe_arena *arena)
{
    struct lethe_tree tree;
    struct lethe_graph graph;
    struct lethe_order order;
    const struct lethe_cycle **cycle = &plan->cycles;
    *plan = (struct lethe_plan){
        .steps =
            lethe_arena_take(arena, 2 * snapshot->n_mounts + snapshot->n_swaps + snapshot->n_blocks,
                             sizeof *plan->steps)};
    int r = plan->steps ? 0 : -ENOMEM;
    if (!r && !snapshot->tree)
        r = lethe_tree_build(&tree, snapshot, arena);
    if (r == -ENOENT) /* no root: nothing can be looked up, but all can still be ordered */
        r = 0;
    if (r ||
        (r = lethe_graph_init(&graph, snapshot, snapshot->tree ? snapshot->tree : &tree, arena)) ||
        (r = lethe_nodes_use(&graph, options)) || (r = lethe_edges_add(&graph)) ||
        (r = lethe_order_begin(&order, &graph)))
        return r;

    for (size_t node; (node = lethe_order_next(&order)) != LETHE_NONE;)
        if (lethe_graph_is_step(&graph, node)) {
            if (order.lazy[node])
                cycle = keep_cycle(&order, plan->n_steps, cycle);
            plan->steps[plan->n_steps++] = step_of(&order, node);
        }
    join_unmounts(&order, plan);
    plan->edges = graph.edges;
    plan->n_edges = graph.n_edges;
    return 0;
}
