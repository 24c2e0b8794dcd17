/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/handed.h"

#include <errno.h>
#include <string.h>

#include "lethe/plan/edges.h"
#include "lethe/plan/nodes.h"
#include "lethe/plan/roles.h"
#include "lethe/plan/tree.h"

/* `roles` are the devices'; `waits` has for each node how many of those that hold it are not gone
 * yet. */
struct walk {
    struct lethe_graph *g;
    enum lethe_role *roles;
    enum lethe_origin origin;
    unsigned *waits;
    size_t *gone, n_gone;
};

static bool is_passed_by(const struct lethe_mount *m)
{
    static const char *const below[] = {"/proc", "/sys", "/dev", "/run/initramfs"};
    if (!strcmp(m->fstype, "autofs"))
        return false;
    bool found = !strcmp(m->path, "/") || !strcmp(m->path, "/usr") || !strcmp(m->path, "/run");
    for (size_t i = 0; !found && i < sizeof below / sizeof *below; i++)
        found = lethe_text_path_below(m->path, below[i]);
    return found;
}

/* True for a union's branch in RAM that no mount which systemd passes by shows. */
static bool is_to_be_anchored(const struct lethe_graph *g, size_t mount)
{
    if (!(g->traits[mount] & LETHE_TRAIT_BRANCH) ||
        !lethe_mount_is_ram(&g->snapshot->mounts[mount]))
        return false;
    for (size_t i = 0; i < g->snapshot->n_mounts; i++)
        if (g->first[i] == g->first[mount] && is_passed_by(&g->snapshot->mounts[i]))
            return false;
    return true;
}

/* The medium stays in use, whatever is seen of its users: it is what "/" runs from. Where that is
 * not seen, anything that is only read may be it. */
static bool is_taken_device(const struct walk *w, size_t device)
{
    const struct lethe_snapshot *s = w->g->snapshot;
    const struct lethe_block *b = &s->blocks[device];
    const enum lethe_block_kind kind = s->blocks[b->disk != LETHE_NONE ? b->disk : device].kind;
    return w->g->held[device] == LETHE_HELD_NOT && !(w->roles[device] & LETHE_ROLE_MEDIUM) &&
           (!b->read_only || w->origin == LETHE_ORIGIN_SEEN) &&
           (b->disk != LETHE_NONE || lethe_graph_stops(b)) &&
           (kind == LETHE_BLOCK_LOOP || kind == LETHE_BLOCK_CRYPT || kind == LETHE_BLOCK_DM ||
            kind == LETHE_BLOCK_MD);
}

static bool is_taken(const struct walk *w, struct lethe_node node)
{
    switch (node.kind) {
    case LETHE_NODE_MOUNT:
        return !is_passed_by(&w->g->snapshot->mounts[node.index]) &&
               !is_to_be_anchored(w->g, node.index);
    case LETHE_NODE_DEVICE:
        return is_taken_device(w, node.index);
    default:
        return node.kind == LETHE_NODE_SWAP || node.kind == LETHE_NODE_NAMESPACE;
    }
}

/* What orders Lethe's own steps holds nothing. */
static bool holds(const struct lethe_edge *e)
{
    return e->why != LETHE_WHY_LAYER && e->why != LETHE_WHY_ZEROED && e->why != LETHE_WHY_HIDES &&
           e->why != LETHE_WHY_LEADS_TO;
}

/* Takes away what is free, the newest first, and then what it held. Moments pass, and so do disks,
 * which stay. */
static void take_away(struct walk *w)
{
    struct lethe_graph *g = w->g;
    size_t n = 0;
    for (size_t i = 0; i < g->n_edges; i++)
        w->waits[g->edges[i].after] += holds(&g->edges[i]);
    for (size_t node = 0; node < g->n_nodes; node++)
        if (g->used[node] && !w->waits[node])
            g->stack[n++] = node;
    while (n) {
        const size_t at = g->stack[--n];
        const struct lethe_node node = lethe_plan_node(g->snapshot, at);
        const bool taken = is_taken(w, node);
        if (taken && (node.kind != LETHE_NODE_DEVICE || lethe_graph_is_step(g, at)))
            w->gone[w->n_gone++] = at;
        else if (node.kind == LETHE_NODE_MOUNT ||
                 (node.kind == LETHE_NODE_DEVICE && lethe_graph_is_step(g, at)))
            continue;
        g->passed[at] = taken;
        for (size_t e = g->first_out[at]; e != LETHE_NONE; e = g->edges[e].next_out)
            if (holds(&g->edges[e]) && !--w->waits[g->edges[e].after])
                g->stack[n++] = g->edges[e].after;
    }
}

/* Numbers what has stayed of n nodes, from the graph's node `base` on, with LETHE_NONE for the
 * rest. Returns how many those are. */
static size_t number(const struct lethe_graph *g, size_t base, size_t n, size_t *to)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        to[i] = g->passed[base + i] ? LETHE_NONE : kept++;
    return kept;
}

/* Returns a list of devices by their new numbers, without those that are gone. */
static const size_t *renumbered(const size_t *list, size_t *n, const size_t *to,
                                struct lethe_arena *arena)
{
    size_t *out = lethe_arena_take(arena, *n, sizeof *out), kept = 0;
    for (size_t i = 0; out && i < *n; i++)
        if (to[list[i]] != LETHE_NONE)
            out[kept++] = to[list[i]];
    *n = out ? kept : 0;
    return out;
}

static size_t renamed(size_t index, const size_t *to)
{
    return index == LETHE_NONE ? LETHE_NONE : to[index];
}

static int keep_blocks(struct lethe_snapshot *after, const struct lethe_snapshot *s,
                       const size_t *to, struct lethe_arena *arena)
{
    for (size_t i = 0; i < s->n_blocks; i++) {
        if (to[i] == LETHE_NONE)
            continue;
        struct lethe_block *b = &after->blocks[to[i]];
        *b = s->blocks[i];
        b->disk = renamed(b->disk, to);
        b->slaves = renumbered(b->slaves, &b->n_slaves, to, arena);
        b->beside = renumbered(b->beside, &b->n_beside, to, arena);
        if (!b->slaves || !b->beside)
            return -ENOMEM;
    }
    return 0;
}

static int keep_unions(struct lethe_snapshot *after, const struct lethe_snapshot *s,
                       const size_t *to, struct lethe_arena *arena)
{
    after->n_unions = 0;
    for (size_t i = 0; i < s->n_unions; i++) {
        if (to[s->unions[i].mount] == LETHE_NONE)
            continue;
        struct lethe_union *u = &after->unions[after->n_unions++];
        *u = s->unions[i];
        struct lethe_branch *branches = lethe_arena_take(arena, u->n_branches, sizeof *branches);
        if (!branches)
            return -ENOMEM;
        for (size_t j = 0; j < u->n_branches; j++) {
            branches[j] = u->branches[j];
            branches[j].mount = renamed(branches[j].mount, to);
        }
        u->mount = to[u->mount];
        u->branches = branches;
    }
    return 0;
}

static int keep(struct lethe_handed *handed, const struct lethe_graph *g, struct lethe_arena *arena)
{
    const struct lethe_snapshot *s = g->snapshot;
    struct lethe_snapshot *after = &handed->after;
    size_t *mounts = lethe_arena_take(arena, s->n_mounts, sizeof *mounts);
    size_t *blocks = lethe_arena_take(arena, s->n_blocks, sizeof *blocks);
    *after = *s;
    after->mounts = lethe_arena_take(arena, s->n_mounts, sizeof *after->mounts);
    after->blocks = lethe_arena_take(arena, s->n_blocks, sizeof *after->blocks);
    after->unions = lethe_arena_take(arena, s->n_unions, sizeof *after->unions);
    if (!mounts || !blocks || !after->mounts || !after->blocks || !after->unions)
        return -ENOMEM;
    after->tree = NULL;
    after->n_swaps = after->n_namespaces = 0;
    after->n_mounts = number(g, 0, s->n_mounts, mounts);
    after->n_blocks = number(g, g->base[LETHE_NODE_DEVICE], s->n_blocks, blocks);
    for (size_t i = 0; i < s->n_mounts; i++)
        if (mounts[i] != LETHE_NONE) {
            after->mounts[mounts[i]] = s->mounts[i];
            after->mounts[mounts[i]].device = renamed(s->mounts[i].device, blocks);
        }
    const int r = keep_blocks(after, s, blocks, arena);
    return r ? r : keep_unions(after, s, mounts, arena);
}

int lethe_handed_over(struct lethe_handed *handed, const struct lethe_snapshot *before,
                      struct lethe_arena *arena)
{
    const struct lethe_plan_options options = {0};
    struct lethe_tree tree;
    struct lethe_graph g;
    struct walk w = {.g = &g};
    int r = before->tree ? 0 : lethe_tree_build(&tree, before, arena);
    if ((r && r != -ENOENT) ||
        (r = lethe_graph_init(&g, before, before->tree ? before->tree : &tree, arena)) ||
        (r = lethe_nodes_use(&g, &options)) || (r = lethe_edges_add(&g)))
        return r;
    w.waits = lethe_arena_alloc(arena, g.n_nodes, sizeof *w.waits);
    w.gone = lethe_arena_take(arena, g.n_nodes, sizeof *w.gone);
    w.roles = lethe_arena_take(arena, before->n_blocks, sizeof *w.roles);
    if (!w.waits || !w.gone || !w.roles)
        return -ENOMEM;
    w.origin = lethe_roles_find(before, false, w.roles);
    take_away(&w);
    *handed = (struct lethe_handed){.before = before, .gone = w.gone, .n_gone = w.n_gone};
    return keep(handed, &g, arena);
}
