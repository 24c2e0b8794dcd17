/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/edges.h"
#include "lethe/plan/tree.h"

#include <errno.h>
#include <string.h>

/* The path to a mount is clear when the path to its parent is, and no mount on the parent stands
 * before it on the path. */
static void add_way_edges(struct lethe_graph *g, size_t mount)
{
    const size_t parent = g->parent[mount], way = lethe_graph_node(g, LETHE_NODE_PATH_CLEAR, mount);
    lethe_graph_add(g, way, mount, LETHE_WHY_LEADS_TO);
    lethe_graph_add(g, way, lethe_graph_node(g, LETHE_NODE_ERASURE, mount), LETHE_WHY_LEADS_TO);
    if (parent != LETHE_NONE)
        lethe_graph_add(g, lethe_graph_node(g, LETHE_NODE_PATH_CLEAR, parent), way,
                        LETHE_WHY_LEADS_TO);
}

/* A mount that hides the cover hides the covered mount too, even where a cycle makes the cover go
 * too early. */
static void add_hiding_edges(struct lethe_graph *g)
{
    for (size_t i = 0; i < g->snapshot->n_mounts; i++) {
        const size_t mount = g->tree->order[i], cover = g->cover[mount];
        if (cover == LETHE_NONE)
            continue;
        lethe_graph_add(g, cover, lethe_graph_node(g, LETHE_NODE_PATH_CLEAR, mount),
                        LETHE_WHY_HIDES);
        lethe_graph_add(g, lethe_graph_node(g, LETHE_NODE_PATH_CLEAR, cover),
                        lethe_graph_node(g, LETHE_NODE_PATH_CLEAR, mount), LETHE_WHY_LEADS_TO);
    }
}

/* A file system is erased through the root of its mount, so
 * what covers the whole mount goes first. */
static void add_erase_edges(struct lethe_graph *g, size_t mount)
{
    const struct lethe_mount *m = &g->snapshot->mounts[mount];
    size_t on_top = lethe_tree_child(g->tree, m->id, m->path, strlen(m->path));
    if (on_top != LETHE_NONE && on_top != mount && g->parent[on_top] == mount)
        lethe_graph_add(g, on_top, lethe_graph_node(g, LETHE_NODE_ERASURE, mount), LETHE_WHY_HIDES);
}

/* Lets `holder` go before the devices that the file system at `mount` is on. */
static void add_mount_device_edges(struct lethe_graph *g, size_t holder, size_t mount,
                                   enum lethe_why why)
{
    const size_t device = g->snapshot->mounts[mount].device;
    if (device == LETHE_NONE)
        return;
    const struct lethe_block *b = &g->snapshot->blocks[device];
    lethe_graph_add(g, holder, lethe_graph_node(g, LETHE_NODE_DEVICE, device), why);
    for (size_t i = 0; i < b->n_beside; i++)
        lethe_graph_add(g, holder, lethe_graph_node(g, LETHE_NODE_DEVICE, b->beside[i]), why);
}

static void add_mount_edges(struct lethe_graph *g)
{
    const struct lethe_snapshot *s = g->snapshot;
    for (size_t i = 0; i < s->n_mounts; i++) {
        if (g->parent[i] != LETHE_NONE)
            lethe_graph_add(g, i, g->parent[i], LETHE_WHY_MOUNTED_ON);
        if (g->used[lethe_graph_node(g, LETHE_NODE_PATH_CLEAR, i)])
            add_way_edges(g, i);
        add_mount_device_edges(g, i, i, LETHE_WHY_ON_DEVICE);
        if (g->used[lethe_graph_node(g, LETHE_NODE_ERASURE, i)])
            add_erase_edges(g, i);
    }
}

/* A file system passes three moments: none of its files is in use, then it is erased, then its
 * mounts can go. */
static void add_file_system_edges(struct lethe_graph *g)
{
    for (size_t i = 0; i < g->snapshot->n_mounts; i++) {
        size_t unused = lethe_graph_node(g, LETHE_NODE_FILES_UNUSED, g->first[i]),
               erased = lethe_graph_node(g, LETHE_NODE_ERASED, g->first[i]);
        lethe_graph_add(g, unused, lethe_graph_node(g, LETHE_NODE_ERASURE, i), LETHE_WHY_IN_FILE);
        lethe_graph_add(g, unused, i, LETHE_WHY_IN_FILE);
        lethe_graph_add(g, lethe_graph_node(g, LETHE_NODE_ERASURE, i), erased, LETHE_WHY_ZEROED);
        lethe_graph_add(g, erased, i, LETHE_WHY_ZEROED);
    }
}

/* A mount, swap or loop in a file goes before the mounts of the file's file system, and before its
 * erasure. It goes before the devices below too: those mounts may be detached before it, in a
 * cycle. */
static void add_host_edges(struct lethe_graph *g)
{
    for (size_t i = 0; i < g->snapshot->n_swaps + g->snapshot->n_blocks; i++) {
        const size_t user =
            lethe_graph_node(g, LETHE_NODE_SWAP, i); /* devices' numbers follow those of swaps */
        if (g->host[i] == LETHE_NONE)
            continue;
        lethe_graph_add(g, user, lethe_graph_node(g, LETHE_NODE_FILES_UNUSED, g->host[i]),
                        LETHE_WHY_IN_FILE);
        add_mount_device_edges(g, user, g->host[i], LETHE_WHY_IN_FILE);
    }
}

/* Ties a loop to the device that its file's file system is on, where no mount shows that file
 * system and a device has its number. */
static void add_host_device_edge(struct lethe_graph *g, size_t device)
{
    const struct lethe_snapshot *s = g->snapshot;
    const struct lethe_block *b = &s->blocks[device];
    const size_t host = b->kind == LETHE_BLOCK_LOOP && b->file_devno.major &&
                                g->host[s->n_swaps + device] == LETHE_NONE
                            ? lethe_block_find(s, b->file_devno)
                            : LETHE_NONE;
    if (host != LETHE_NONE)
        lethe_graph_add(g, lethe_graph_node(g, LETHE_NODE_DEVICE, device),
                        lethe_graph_node(g, LETHE_NODE_DEVICE, host), LETHE_WHY_IN_FILE);
}

static void add_device_edges(struct lethe_graph *g)
{
    const struct lethe_snapshot *s = g->snapshot;
    for (size_t i = 0; i < s->n_blocks; i++) {
        const struct lethe_block *b = &s->blocks[i];
        for (size_t j = 0; j < b->n_slaves; j++)
            lethe_graph_add(g, lethe_graph_node(g, LETHE_NODE_DEVICE, i),
                            lethe_graph_node(g, LETHE_NODE_DEVICE, b->slaves[j]),
                            LETHE_WHY_BUILT_ON);
        if (b->disk != LETHE_NONE)
            lethe_graph_add(g, lethe_graph_node(g, LETHE_NODE_DEVICE, i),
                            lethe_graph_node(g, LETHE_NODE_DEVICE, b->disk), LETHE_WHY_PART_OF);
        add_host_device_edge(g, i);
    }
    for (size_t i = 0; i < s->n_swaps; i++)
        if (s->swaps[i].device != LETHE_NONE)
            lethe_graph_add(g, lethe_graph_node(g, LETHE_NODE_SWAP, i),
                            lethe_graph_node(g, LETHE_NODE_DEVICE, s->swaps[i].device),
                            LETHE_WHY_ON_DEVICE);
}

/* True when the branch's path leads somewhere, and not to Lethe's own root. */
static bool is_known(const struct lethe_graph *g, const struct lethe_union *u,
                     const struct lethe_branch *branch)
{
    return lethe_branch_is_shown(u, branch) && g->used[branch->mount];
}

/* A layer's mount that lies on the union has to go before it, whoever else holds the layer. */
static void add_layer_edges(struct lethe_graph *g, const struct lethe_union *u,
                            const struct lethe_branch *layer)
{
    if (layer->mount == LETHE_NONE)
        return;
    if (!lethe_graph_lies_on(g, layer->mount, u->mount))
        lethe_graph_add(g, u->mount, layer->mount, LETHE_WHY_LAYER);
    if (lethe_branch_is_shown(u, layer))
        add_mount_device_edges(g, u->mount, layer->mount, LETHE_WHY_LAYER_ON);
    if (lethe_graph_is_host(u, layer))
        lethe_graph_add(g, lethe_graph_node(g, LETHE_NODE_FILES_UNUSED, g->first[u->mount]),
                        lethe_graph_node(g, LETHE_NODE_FILES_UNUSED, g->first[layer->mount]),
                        LETHE_WHY_IN_FILE);
}

/* A union holds what its layers were when it was mounted, and their paths may lead elsewhere by
 * now. So it goes before each device that nobody is seen to use, for it may hold that one, and
 * before every device where a path leads nowhere. */
static void add_union_edges(struct lethe_graph *g)
{
    const struct lethe_snapshot *s = g->snapshot;
    for (size_t i = 0; i < s->n_unions; i++) {
        const struct lethe_union *u = &s->unions[i];
        bool known = true;
        for (size_t j = 0; j < u->n_branches; j++) {
            add_layer_edges(g, u, &u->branches[j]);
            known = known && is_known(g, u, &u->branches[j]);
        }
        lethe_graph_add(g, u->mount,
                        lethe_graph_node(g, LETHE_NODE_HOLDERS_GONE, LETHE_HOLDERS_OF_UNUSED),
                        LETHE_WHY_MAY_HOLD);
        if (!known)
            lethe_graph_add(g, u->mount,
                            lethe_graph_node(g, LETHE_NODE_HOLDERS_GONE, LETHE_HOLDERS_OF_ALL),
                            LETHE_WHY_MAY_HOLD);
    }
}

/* Ties both kinds of mount namespaces: those that processes are in, and those that a file keeps, as
 * ip-netns(8) and unshare(1) make them. */
static void add_namespace_edges(struct lethe_graph *g)
{
    for (size_t i = 0; i < g->snapshot->n_mounts; i++)
        if (lethe_mount_keeps_mounts(&g->snapshot->mounts[i]))
            lethe_graph_add(g, i,
                            lethe_graph_node(g, LETHE_NODE_HOLDERS_GONE, LETHE_HOLDERS_OF_ALL),
                            LETHE_WHY_MAY_HOLD);
    for (size_t i = 0; i < g->snapshot->n_namespaces; i++)
        lethe_graph_add(g, lethe_graph_node(g, LETHE_NODE_NAMESPACE, i),
                        lethe_graph_node(g, LETHE_NODE_HOLDERS_GONE, LETHE_HOLDERS_OF_ALL),
                        LETHE_WHY_MAY_HOLD);
}

/* Marks everything that has to go before the node. */
static void pass_before(struct lethe_graph *g, size_t node)
{
    size_t n = 0;
    for (g->stack[n++] = node; n;)
        for (size_t e = g->first_in[g->stack[--n]]; e != LETHE_NONE; e = g->edges[e].next_in)
            if (!g->passed[g->edges[e].before]) {
                g->passed[g->edges[e].before] = true;
                g->stack[n++] = g->edges[e].before;
            }
}

/* Finds the views: mounts of RAM and of pseudo file systems that no erasure waits for. */
static void find_views(struct lethe_graph *g)
{
    const struct lethe_snapshot *s = g->snapshot;
    for (size_t i = 0; i < s->n_mounts; i++)
        if (g->used[lethe_graph_node(g, LETHE_NODE_ERASURE, i)])
            pass_before(g, lethe_graph_node(g, LETHE_NODE_ERASURE, i));
    for (size_t i = 0; i < s->n_mounts; i++) {
        const struct lethe_mount *m = &s->mounts[i];
        if (!g->passed[i] && !lethe_mount_is_stored(m) &&
            (lethe_mount_is_ram(m) || lethe_mount_is_pseudo(m)))
            g->traits[i] |= LETHE_TRAIT_VIEW;
    }
    memset(g->passed, 0, g->n_nodes * sizeof *g->passed);
}

/* True when a mount, a swap or another device is on the device. */
static bool has_user(const struct lethe_graph *g, size_t device)
{
    return g->first_in[lethe_graph_node(g, LETHE_NODE_DEVICE, device)] != LETHE_NONE;
}

/* A file system on a device may lie on more than are seen: the other devices of an f2fs, a journal
 * whose thread could not be read; a zfs never says. */
static bool may_lie_on_more(const struct lethe_mount *m)
{
    return m->device != LETHE_NONE || !strcmp(m->fstype, "zfs");
}

/* Has mounts that may lie on more than is seen go before the devices that nobody is seen to use, if
 * there are any. */
static void add_holding_edges(struct lethe_graph *g)
{
    const struct lethe_snapshot *s = g->snapshot;
    bool any = false;
    for (size_t i = 0; i < s->n_blocks; i++)
        any = any || (lethe_graph_is_step(g, lethe_graph_node(g, LETHE_NODE_DEVICE, i)) &&
                      !has_user(g, i));
    for (size_t i = 0; any && i < s->n_mounts; i++)
        if (may_lie_on_more(&s->mounts[i]))
            lethe_graph_add(g, i,
                            lethe_graph_node(g, LETHE_NODE_HOLDERS_GONE, LETHE_HOLDERS_OF_UNUSED),
                            LETHE_WHY_MAY_HOLD);
}

/* Marks all devices below one that is built on others and can't be stopped. */
static void hold_below(struct lethe_graph *g, size_t device)
{
    const struct lethe_snapshot *s = g->snapshot;
    size_t n = 0;
    for (g->stack[n++] = device; n;) {
        const struct lethe_block *b = &s->blocks[g->stack[--n]];
        for (size_t i = 0; i < b->n_slaves; i++)
            if (g->held[b->slaves[i]] != LETHE_HELD_FAST) {
                g->held[b->slaves[i]] = LETHE_HELD_FAST;
                g->stack[n++] = b->slaves[i];
            }
    }
}

/* Finds the devices that are or may be held by what Lethe does not see. It runs before the moments
 * HOLDERS_GONE are tied to devices: an edge from those would count as a visible user. */
static void find_holders(struct lethe_graph *g)
{
    const struct lethe_snapshot *s = g->snapshot;
    bool pool = s->has_pool;
    for (size_t i = 0; i < s->n_mounts; i++)
        pool = pool || !strcmp(s->mounts[i].fstype, "zfs");
    for (size_t i = 0; i < s->n_blocks; i++)
        if (pool && !has_user(g, i))
            g->held[i] = LETHE_HELD_MAYBE;
    for (size_t i = 0; i < s->n_blocks; i++)
        if (s->blocks[i].kind == LETHE_BLOCK_PLAIN && s->blocks[i].n_slaves)
            hold_below(g, i);
}

/* Has the devices wait until what may hold them unseen has gone. Left out is a device that has to
 * go before such a holder and whose user is seen, as of a loop whose file lies in a union. */
static void add_seen_edges(struct lethe_graph *g)
{
    const size_t all = lethe_graph_node(g, LETHE_NODE_HOLDERS_GONE, LETHE_HOLDERS_OF_ALL),
                 unused = lethe_graph_node(g, LETHE_NODE_HOLDERS_GONE, LETHE_HOLDERS_OF_UNUSED);
    add_holding_edges(g);
    pass_before(g, all);
    pass_before(g, unused);
    for (size_t i = 0; i < g->snapshot->n_blocks; i++) {
        size_t device = lethe_graph_node(g, LETHE_NODE_DEVICE, i);
        bool used = has_user(g, i);
        if (g->first_in[unused] != LETHE_NONE && !g->passed[device] && !used)
            lethe_graph_add(g, unused, device, LETHE_WHY_MAY_HOLD);
        if (g->first_in[all] != LETHE_NONE && !(g->passed[device] && used))
            lethe_graph_add(g, all, device, LETHE_WHY_MAY_HOLD);
    }
    memset(g->passed, 0, g->n_nodes * sizeof *g->passed);
}

int lethe_edges_add(struct lethe_graph *g)
{
    add_mount_edges(g);
    add_hiding_edges(g);
    add_file_system_edges(g);
    add_device_edges(g);
    add_host_edges(g);
    add_union_edges(g);
    add_namespace_edges(g);
    find_holders(g);
    add_seen_edges(g);
    find_views(g);
    return g->full ? -ENOMEM : 0;
}
