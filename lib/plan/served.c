/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/served.h"

#include <errno.h>

#include "lethe/plan/graph.h"

static bool is_served(const struct lethe_snapshot *s, struct lethe_node node)
{
    if (node.kind == LETHE_NODE_DEVICE)
        return s->blocks[node.index].kind == LETHE_BLOCK_MD ||
               s->blocks[node.index].kind == LETHE_BLOCK_NBD;
    if (node.kind == LETHE_NODE_SWAP)
        return true;
    if (node.kind != LETHE_NODE_MOUNT)
        return false;
    const struct lethe_mount *m = &s->mounts[node.index];
    return lethe_mount_is_remote(m) || (lethe_mount_is_stored(m) && lethe_mount_is_writable(m) &&
                                        !lethe_block_is_ram(s, m->device));
}

/* Adds all that has to go before what is wanted, but not what only may hold a device: the kernel
 * keeps a device that is held. */
static void add_what_goes_before(const struct lethe_plan *plan, bool *wanted)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = plan->n_edges; i--;) {
            const struct lethe_edge *e = &plan->edges[i];
            if (!wanted[e->after] || wanted[e->before] || e->why == LETHE_WHY_MAY_HOLD)
                continue;
            changed = wanted[e->before] = true;
        }
    }
}

int lethe_served_pick(struct lethe_plan *served, const struct lethe_plan *plan,
                      const struct lethe_snapshot *snapshot, struct lethe_arena *arena)
{
    size_t n_nodes = 0;
    for (enum lethe_node_kind kind = 0; kind <= LETHE_NODE_NAMESPACE; kind++)
        n_nodes += lethe_graph_count(snapshot, kind);
    bool *wanted = lethe_arena_alloc(arena, n_nodes, sizeof *wanted);
    *served =
        (struct lethe_plan){.steps = lethe_arena_take(arena, plan->n_steps, sizeof *served->steps)};
    if (!wanted || !served->steps)
        return -ENOMEM;
    for (size_t i = 0; i < n_nodes; i++)
        wanted[i] = is_served(snapshot, lethe_plan_node(snapshot, i));
    add_what_goes_before(plan, wanted);
    for (size_t i = 0; i < plan->n_steps; i++)
        if (wanted[lethe_plan_step_node(snapshot, &plan->steps[i])]) {
            served->steps[served->n_steps] = plan->steps[i];
            served->steps[served->n_steps++].together = 0;
        }
    return 0;
}
