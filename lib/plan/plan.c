/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "lethe/sort.h"

/*
 * Nodes are numbered mounts first, then swaps, devices and, for each mount, four more (most stay
 * unused), so that a node's kind and index follow from its number; see enum lethe_node_kind. Edges
 * are kept as two linked lists for each node: "when this is done, that waits for one less", and
 * what it waits for itself.
 */
enum rank { RANK_MOMENT, RANK_ERASE, RANK_MOUNT, RANK_DEVICE, RANK_VIEW };

/* What a step's reason or, at last, its turn depends on. */
enum trait {
    TRAIT_UNION = 1,
    TRAIT_BRANCH = 2,
    TRAIT_PART = 4,
    TRAIT_RAM_BLOCKS = 8,
    TRAIT_VIEW = 16,
};

struct graph {
    const struct lethe_snapshot *snapshot;
    const struct lethe_tree *tree;
    struct lethe_arena *arena;
    size_t n_nodes;
    struct lethe_edge *edges;
    size_t n_edges, room;
    size_t *first_out, *first_in; /* of each node's edges; those in from done nodes are dropped */
    unsigned *waits_for;          /* how many nodes must still come before it */
    bool *used, *done, *lazy;
    uint64_t *heap; /* of turns, see turn_of() */
    size_t n_heap;
    size_t *path, n_path;  /* of the walk for a cycle … */
    size_t *on_path;       /* … and each node's place on it, from 1 … */
    size_t n_walked;       /* … and the length of all cycles so far */
    unsigned char *traits; /* of each mount … */
    size_t *first;  /* … and the first mount of its file system, which stands for that … */
    size_t *parent; /* … and what it is mounted on … */
    size_t *cover;  /* … and what hides it from a look-up, LETHE_NONE for nothing */
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

/* ERASURE to ERASED: one for each mount. */
static size_t mount_node(const struct lethe_snapshot *s, enum lethe_node_kind kind, size_t mount)
{
    return (1 + kind - LETHE_NODE_ERASURE) * s->n_mounts + s->n_swaps + s->n_blocks + mount;
}

static size_t erase_node(const struct graph *g, size_t mount)
{
    return mount_node(g->snapshot, LETHE_NODE_ERASURE, mount);
}

static size_t way_node(const struct graph *g, size_t mount)
{
    return mount_node(g->snapshot, LETHE_NODE_WAY, mount);
}

static size_t unused_node(const struct graph *g, size_t mount)
{
    return mount_node(g->snapshot, LETHE_NODE_UNUSED, mount);
}

static size_t erased_node(const struct graph *g, size_t mount)
{
    return mount_node(g->snapshot, LETHE_NODE_ERASED, mount);
}

static size_t seen_node(const struct graph *g, enum lethe_seen what)
{
    return erased_node(g, g->snapshot->n_mounts) + what;
}

static size_t namespace_node(const struct graph *g, size_t namespace)
{
    return seen_node(g, LETHE_SEEN_KINDS) + namespace;
}

struct lethe_node lethe_plan_node(const struct lethe_snapshot *s, size_t node)
{
    if (node < s->n_mounts)
        return (struct lethe_node){LETHE_NODE_MOUNT, node};
    node -= s->n_mounts;
    if (node < s->n_swaps)
        return (struct lethe_node){LETHE_NODE_SWAP, node};
    node -= s->n_swaps;
    if (node < s->n_blocks)
        return (struct lethe_node){LETHE_NODE_DEVICE, node};
    node -= s->n_blocks;
    if (node >= 4 * s->n_mounts + LETHE_SEEN_KINDS)
        return (struct lethe_node){LETHE_NODE_NAMESPACE, node - 4 * s->n_mounts - LETHE_SEEN_KINDS};
    if (node >= 4 * s->n_mounts)
        return (struct lethe_node){LETHE_NODE_SEEN, node - 4 * s->n_mounts};
    return (struct lethe_node){LETHE_NODE_ERASURE + (enum lethe_node_kind)(node / s->n_mounts),
                               node % s->n_mounts};
}

size_t lethe_plan_step_node(const struct lethe_snapshot *s, const struct lethe_step *step)
{
    switch (step->kind) {
    case LETHE_STEP_ERASE:
        return mount_node(s, LETHE_NODE_ERASURE, step->index);
    case LETHE_STEP_UNMOUNT:
        return step->index;
    case LETHE_STEP_SWAPOFF:
        return s->n_mounts + step->index;
    case LETHE_STEP_STOP:
    case LETHE_STEP_ERASE_DEVICE:
        break;
    }
    return s->n_mounts + s->n_swaps + step->index;
}

static enum rank rank_of(const struct graph *g, size_t node)
{
    if (node >= way_node(g, 0))
        return RANK_MOMENT;
    if (node >= erase_node(g, 0))
        return RANK_ERASE;
    return node >= device_node(g, 0) ? RANK_DEVICE : RANK_MOUNT;
}

static void add_edge(struct graph *g, size_t before, size_t after, enum lethe_why why)
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

/* The greater of two free nodes' turns goes first: by rank, then the newest. A mount's age is its
 * place in mountinfo. Views come by what they are mounted on, so that they can go together. */
enum { RANK_SHIFT = 60, PARENT_SHIFT = 30 };

static uint64_t turn_of(const struct graph *g, size_t node)
{
    enum rank rank = rank_of(g, node);
    size_t parent = 0;
    if (rank == RANK_MOUNT && node < g->snapshot->n_mounts && g->traits[node] & TRAIT_VIEW) {
        rank = RANK_VIEW;
        parent = g->parent[node] + 1; /* 0 for none */
    }
    return (uint64_t)(RANK_VIEW - rank) << RANK_SHIFT | (uint64_t)parent << PARENT_SHIFT | node;
}

static void heap_push(struct graph *g, size_t node)
{
    const uint64_t turn = turn_of(g, node);
    size_t at = g->n_heap++;
    while (at && turn > g->heap[(at - 1) / 2]) {
        g->heap[at] = g->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    g->heap[at] = turn;
}

static size_t heap_pop(struct graph *g)
{
    const uint64_t top = g->heap[0], moved = g->heap[--g->n_heap];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < g->n_heap; at = child) {
        if (child + 1 < g->n_heap && g->heap[child + 1] > g->heap[child])
            child++;
        if (g->heap[child] <= moved)
            break;
        g->heap[at] = g->heap[child];
    }
    g->heap[at] = moved;
    return (size_t)(top & ((UINT64_C(1) << PARENT_SHIFT) - 1));
}

/* Mounts sorted by a number for look-ups: their id, or their device and, within it, the part of it
 * that they show. */
struct key {
    uint64_t key;
    const char *root;
    size_t mount;
};

static int compare_keys(const void *left, const void *right)
{
    const struct key *a = left, *b = right;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->root == b->root ? 0 : lethe_path_compare(a->root, b->root);
}

/* The first of the n sorted keys that is not below `key`. */
static size_t find_key(const struct key *keys, size_t n, uint64_t key)
{
    const struct key first = {.key = key, .root = ""};
    return lethe_sort_find(keys, n, sizeof *keys, &first, compare_keys);
}

static uint64_t devno_key(struct lethe_devno devno)
{
    return (uint64_t)devno.major << 32 | devno.minor;
}

/* Of mounts with the same id, which only a forged tree has, the first. */
static void find_parents(struct graph *g, const struct key *by_id)
{
    const size_t n = g->snapshot->n_mounts;
    for (size_t i = 0; i < n; i++) {
        unsigned id = g->snapshot->mounts[i].parent;
        size_t at = find_key(by_id, n, id);
        g->parent[i] = id == g->snapshot->mounts[i].id ? i
                       : at < n && by_id[at].key == id ? by_id[at].mount
                                                       : LETHE_NONE;
    }
}

/* The mount to erase from, of n that show the same part: one in the open, the newest of equals. A
 * look-up is dear: the first that serves ends it. LETHE_NONE when none of them is RAM. */
static size_t best_reach(const struct graph *g, const struct key *mounts, size_t n)
{
    size_t best = LETHE_NONE;
    while (n--) {
        size_t m = mounts[n].mount;
        if (!lethe_mount_is_ram(&g->snapshot->mounts[m]))
            continue;
        if (lethe_tree_lookup(g->tree, g->snapshot->mounts[m].path) == m)
            return m;
        best = best == LETHE_NONE ? m : best;
    }
    return best;
}

/* mountinfo's word for a part whose directory entry is gone (seq_dentry(), fs/seq_file.c): no other
 * mount shows what is left of it. */
static bool is_deleted(const char *root)
{
    size_t n = strlen(root);
    return n >= 9 && !strcmp(root + n - 9, "//deleted");
}

/* One erasure for each part of a RAM-backed file system that is not in another part that is shown;
 * the whole of it, if it is. */
static void choose_parts(struct graph *g, const struct key *mounts, size_t n)
{
    const char *covered = NULL;
    for (size_t i = 0, end; i < n; i = end) {
        const char *root = mounts[i].root;
        for (end = i; end < n && !strcmp(mounts[end].root, root); end++)
            ;
        if (!is_deleted(root) && covered && lethe_path_below(root, covered))
            continue;
        size_t best = best_reach(g, mounts + i, end - i);
        if (best == LETHE_NONE)
            continue;
        if (!is_deleted(root))
            covered = root;
        g->used[erase_node(g, best)] = true;
        g->used[erased_node(g, g->first[best])] = true;
        if (strcmp(root, "/"))
            g->traits[best] |= TRAIT_PART;
    }
}

static void choose_erasures(struct graph *g, const struct lethe_plan_options *options,
                            const struct key *by_device)
{
    const struct lethe_snapshot *s = g->snapshot;
    for (size_t i = 0, end; i < s->n_mounts; i = end) {
        bool own = false;
        for (end = i; end < s->n_mounts && by_device[end].key == by_device[i].key; end++)
            own = own || (options->own_root && !strcmp(s->mounts[by_device[end].mount].path, "/"));
        if (!own)
            choose_parts(g, by_device + i, end - i);
    }
}

/* What hides a mount is the newest at the nearest place before it on its path, or the newest at its
 * own place. Brothers come in an order in which each follows the directories that it is in, so
 * those are a stack. */
static void find_covers(struct graph *g, size_t *stack)
{
    const struct lethe_snapshot *s = g->snapshot;
    const size_t *order = g->tree->order;
    for (size_t i = 0, end, depth = 0; i < s->n_mounts; i = end) {
        const struct lethe_mount *m = &s->mounts[order[i]];
        if (i && s->mounts[order[i - 1]].parent != m->parent)
            depth = 0;
        while (depth && !lethe_path_below(m->path, s->mounts[stack[depth - 1]].path))
            depth--;
        for (end = i + 1; end < s->n_mounts && s->mounts[order[end]].parent == m->parent &&
                          !strcmp(s->mounts[order[end]].path, m->path);)
            end++;
        const size_t before = depth ? stack[depth - 1] : LETHE_NONE;
        size_t newest = LETHE_NONE;
        for (size_t j = end; j-- > i;) {
            const size_t mount = order[j], parent = g->parent[mount];
            const size_t cover = newest != LETHE_NONE ? newest : before;
            g->cover[mount] = parent != mount && cover != parent ? cover : LETHE_NONE;
            if (newest == LETHE_NONE && parent != mount) /* rootfs is no brother of what is on it */
                newest = mount;
        }
        if (newest != LETHE_NONE)
            stack[depth++] = newest;
    }
}

/* The way to a mount is a moment where it, or a mount on the way to it, is hidden. Each chain of
 * parents is walked up once; what leads into a forged circle is taken to be hidden. */
static void use_ways(struct graph *g, size_t *stack)
{
    for (size_t i = 0; i < g->snapshot->n_mounts; i++) {
        size_t n = 0, at = i;
        while (at != LETHE_NONE && !g->done[at]) {
            g->done[at] = g->used[way_node(g, at)] = true; /* for the moment */
            stack[n++] = at;
            at = g->parent[at] != at ? g->parent[at] : LETHE_NONE; /* rootfs is its own */
        }
        bool hidden = at != LETHE_NONE && g->used[way_node(g, at)];
        while (n--) {
            hidden = hidden || g->cover[stack[n]] != LETHE_NONE;
            g->used[way_node(g, stack[n])] = hidden;
        }
    }
    memset(g->done, 0, g->n_nodes * sizeof *g->done);
}

/* The way to a mount is the way to its parent and no mount on the parent that stands before it on
 * the path. */
static void add_way_edges(struct graph *g, size_t mount)
{
    const size_t parent = g->parent[mount], way = way_node(g, mount);
    add_edge(g, way, mount, LETHE_WHY_LEADS_TO);
    add_edge(g, way, erase_node(g, mount), LETHE_WHY_LEADS_TO);
    if (parent != LETHE_NONE)
        add_edge(g, way_node(g, parent), way, LETHE_WHY_LEADS_TO);
}

/* What hides the cover hides the mount too, even where a cycle makes the cover go too early. */
static void add_hiding_edges(struct graph *g)
{
    for (size_t i = 0; i < g->snapshot->n_mounts; i++) {
        const size_t mount = g->tree->order[i], cover = g->cover[mount];
        if (cover == LETHE_NONE)
            continue;
        add_edge(g, cover, way_node(g, mount), LETHE_WHY_HIDES);
        add_edge(g, way_node(g, cover), way_node(g, mount), LETHE_WHY_LEADS_TO);
    }
}

/* What covers the mount as a whole: it is erased through its root. */
static void add_erase_edges(struct graph *g, size_t mount)
{
    const struct lethe_mount *m = &g->snapshot->mounts[mount];
    size_t on_top = lethe_tree_child(g->tree, m->id, m->path, strlen(m->path));
    if (on_top != LETHE_NONE && on_top != mount && g->parent[on_top] == mount)
        add_edge(g, on_top, erase_node(g, mount), LETHE_WHY_HIDES);
}

static void add_mount_device_edges(struct graph *g, size_t mount)
{
    const size_t device = g->snapshot->mounts[mount].device;
    const struct lethe_block *b = &g->snapshot->blocks[device];
    add_edge(g, mount, device_node(g, device), LETHE_WHY_ON_DEVICE);
    for (size_t i = 0; i < b->n_beside; i++)
        add_edge(g, mount, device_node(g, b->beside[i]), LETHE_WHY_ON_DEVICE);
}

static void add_mount_edges(struct graph *g)
{
    const struct lethe_snapshot *s = g->snapshot;
    for (size_t i = 0; i < s->n_mounts; i++) {
        if (g->parent[i] != LETHE_NONE)
            add_edge(g, i, g->parent[i], LETHE_WHY_MOUNTED_ON);
        if (g->used[way_node(g, i)])
            add_way_edges(g, i);
        if (s->mounts[i].device != LETHE_NONE)
            add_mount_device_edges(g, i);
        if (g->used[erase_node(g, i)])
            add_erase_edges(g, i);
    }
}

/* The moments of a file system: its files are in no use, then they are erased, then its mounts can
 * go. */
static void add_file_system_edges(struct graph *g)
{
    for (size_t i = 0; i < g->snapshot->n_mounts; i++) {
        size_t unused = unused_node(g, g->first[i]), erased = erased_node(g, g->first[i]);
        add_edge(g, unused, erase_node(g, i), LETHE_WHY_IN_FILE);
        add_edge(g, unused, i, LETHE_WHY_IN_FILE);
        add_edge(g, erase_node(g, i), erased, LETHE_WHY_ZEROED);
        add_edge(g, erased, i, LETHE_WHY_ZEROED);
    }
}

static size_t find_file_system(const struct graph *g, struct lethe_devno devno,
                               const struct key *by_device)
{
    uint64_t key = devno_key(devno);
    size_t at = key ? find_key(by_device, g->snapshot->n_mounts, key) : g->snapshot->n_mounts;
    return at < g->snapshot->n_mounts && by_device[at].key == key ? g->first[by_device[at].mount]
                                                                  : LETHE_NONE;
}

/* `node` lies in a file on that file system: it goes before its mounts and its erasure. */
static void add_host_edge(struct graph *g, size_t node, struct lethe_devno host,
                          const struct key *by_device)
{
    size_t mount = find_file_system(g, host, by_device);
    if (mount != LETHE_NONE)
        add_edge(g, node, unused_node(g, mount), LETHE_WHY_IN_FILE);
}

/* What is written to a file of the union goes to the branch. */
static bool is_host(const struct lethe_union *u, const struct lethe_branch *branch)
{
    return branch->writable && branch->mount != LETHE_NONE && branch->mount != u->mount;
}

/* Only where it is a moment worth having. A union on a union comes after it. */
static void use_hosts(struct graph *g, const struct key *by_device)
{
    const struct lethe_snapshot *s = g->snapshot;
    for (size_t i = 0; i < s->n_blocks + s->n_swaps; i++) {
        struct lethe_devno none = {0, 0}, host = i >= s->n_blocks ? s->swaps[i - s->n_blocks].devno
                                                 : s->blocks[i].kind == LETHE_BLOCK_LOOP
                                                     ? s->blocks[i].file_devno
                                                     : none;
        size_t mount = find_file_system(g, host, by_device);
        if (mount != LETHE_NONE)
            g->used[unused_node(g, mount)] = true;
    }
    for (size_t i = s->n_unions; i--;)
        for (size_t j = 0; j < s->unions[i].n_branches; j++)
            if (is_host(&s->unions[i], &s->unions[i].branches[j]) &&
                g->used[unused_node(g, g->first[s->unions[i].mount])])
                g->used[unused_node(g, g->first[s->unions[i].branches[j].mount])] = true;
}

static void add_device_edges(struct graph *g, const struct key *by_device)
{
    const struct lethe_snapshot *s = g->snapshot;
    for (size_t i = 0; i < s->n_blocks; i++) {
        const struct lethe_block *b = &s->blocks[i];
        for (size_t j = 0; j < b->n_slaves; j++)
            add_edge(g, device_node(g, i), device_node(g, b->slaves[j]), LETHE_WHY_BUILT_ON);
        if (b->disk != LETHE_NONE)
            add_edge(g, device_node(g, i), device_node(g, b->disk), LETHE_WHY_PART_OF);
        if (b->kind == LETHE_BLOCK_LOOP)
            add_host_edge(g, device_node(g, i), b->file_devno, by_device);
    }
    for (size_t i = 0; i < s->n_swaps; i++) {
        if (s->swaps[i].device != LETHE_NONE)
            add_edge(g, swap_node(g, i), device_node(g, s->swaps[i].device), LETHE_WHY_ON_DEVICE);
        add_host_edge(g, swap_node(g, i), s->swaps[i].devno, by_device);
    }
}

/* A branch whose path leads nowhere, or to Lethe itself. */
static bool is_known(const struct graph *g, const struct lethe_union *u,
                     const struct lethe_branch *branch)
{
    return branch->mount != LETHE_NONE && branch->mount != u->mount && g->used[branch->mount];
}

/* A union holds its layers by itself, and their paths are those of the day when it was mounted: it
 * may hold, unseen, what nobody is seen to use; where a path leads nowhere, any device. */
static void add_union_edges(struct graph *g)
{
    const struct lethe_snapshot *s = g->snapshot;
    for (size_t i = 0; i < s->n_unions; i++) {
        const struct lethe_union *u = &s->unions[i];
        bool known = true;
        for (size_t j = 0; j < u->n_branches; j++) {
            if (u->branches[j].mount != LETHE_NONE)
                add_edge(g, u->mount, u->branches[j].mount, LETHE_WHY_LAYER);
            if (is_host(u, &u->branches[j]))
                add_edge(g, unused_node(g, g->first[u->mount]),
                         unused_node(g, g->first[u->branches[j].mount]), LETHE_WHY_IN_FILE);
            known = known && is_known(g, u, &u->branches[j]);
        }
        add_edge(g, u->mount, seen_node(g, LETHE_SEEN_UNUSED), LETHE_WHY_MAY_HOLD);
        if (!known)
            add_edge(g, u->mount, seen_node(g, LETHE_SEEN_ALL), LETHE_WHY_MAY_HOLD);
    }
}

/* A mount namespace that processes are in, and one that a file keeps, as ip-netns(8) and unshare(1)
 * do it for theirs. */
static void add_namespace_edges(struct graph *g)
{
    for (size_t i = 0; i < g->snapshot->n_mounts; i++)
        if (lethe_mount_keeps_mounts(&g->snapshot->mounts[i]))
            add_edge(g, i, seen_node(g, LETHE_SEEN_ALL), LETHE_WHY_MAY_HOLD);
    for (size_t i = 0; i < g->snapshot->n_namespaces; i++)
        add_edge(g, namespace_node(g, i), seen_node(g, LETHE_SEEN_ALL), LETHE_WHY_MAY_HOLD);
}

/* Marks as done, for the moment, what has to go before the node. */
static void mark_all_before(struct graph *g, size_t node)
{
    size_t n = 0, *stack = g->path; /* which is not in use yet */
    for (stack[n++] = node; n;)
        for (size_t e = g->first_in[stack[--n]]; e != LETHE_NONE; e = g->edges[e].next_in)
            if (!g->done[g->edges[e].before]) {
                g->done[g->edges[e].before] = true;
                stack[n++] = g->edges[e].before;
            }
}

/* A view is a mount of the kernel's own that no erasure waits for. */
static void find_views(struct graph *g)
{
    const struct lethe_snapshot *s = g->snapshot;
    for (size_t i = 0; i < s->n_mounts; i++)
        if (g->used[erase_node(g, i)])
            mark_all_before(g, erase_node(g, i));
    for (size_t i = 0; i < s->n_mounts; i++) {
        const struct lethe_mount *m = &s->mounts[i];
        if (!g->done[i] && !lethe_mount_is_stored(m) &&
            (lethe_mount_is_ram(m) || lethe_mount_is_pseudo(m)))
            g->traits[i] |= TRAIT_VIEW;
    }
    memset(g->done, 0, g->n_nodes * sizeof *g->done);
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
    case LETHE_BLOCK_NBD:
    case LETHE_BLOCK_BCACHE:
        return true;
    case LETHE_BLOCK_BRD:
    case LETHE_BLOCK_PLAIN:
        break;
    }
    return false;
}

/* Plain devices are nodes too, so that what lies on two of them is ordered, but only what can be
 * stopped or erased becomes a step. */
static bool is_step(const struct graph *g, size_t node)
{
    enum rank rank = rank_of(g, node);
    if (rank != RANK_DEVICE)
        return rank != RANK_MOMENT;
    const struct lethe_block *block = &g->snapshot->blocks[node - device_node(g, 0)];
    return can_be_stopped(block) || block->kind == LETHE_BLOCK_BRD;
}

/* A mount, a swap or another device is on it. */
static bool has_user(const struct graph *g, size_t device)
{
    return g->first_in[device_node(g, device)] != LETHE_NONE;
}

/* A file system on a device may lie on more than are seen: the other devices of an f2fs, a journal
 * whose thread could not be read; a zfs never says. */
static bool may_lie_on_more(const struct lethe_mount *m)
{
    return m->device != LETHE_NONE || !strcmp(m->fstype, "zfs");
}

/* Only where there is something to hold. */
static void add_holding_edges(struct graph *g)
{
    const struct lethe_snapshot *s = g->snapshot;
    bool any = false;
    for (size_t i = 0; i < s->n_blocks; i++)
        any = any || (is_step(g, device_node(g, i)) && !has_user(g, i));
    for (size_t i = 0; any && i < s->n_mounts; i++)
        if (may_lie_on_more(&s->mounts[i]))
            add_edge(g, i, seen_node(g, LETHE_SEEN_UNUSED), LETHE_WHY_MAY_HOLD);
}

/* Not before a device that goes before them itself, such as a loop whose file lies in a union, when
 * it is seen what that is used for. */
static void add_seen_edges(struct graph *g)
{
    const size_t all = seen_node(g, LETHE_SEEN_ALL), unused = seen_node(g, LETHE_SEEN_UNUSED);
    add_holding_edges(g);
    mark_all_before(g, all);
    mark_all_before(g, unused);
    for (size_t i = 0; i < g->snapshot->n_blocks; i++) {
        size_t device = device_node(g, i);
        bool used = has_user(g, i);
        if (g->first_in[unused] != LETHE_NONE && !g->done[device] && !used)
            add_edge(g, unused, device, LETHE_WHY_MAY_HOLD);
        if (g->first_in[all] != LETHE_NONE && !(g->done[device] && used))
            add_edge(g, all, device, LETHE_WHY_MAY_HOLD);
    }
    memset(g->done, 0, g->n_nodes * sizeof *g->done);
}

static int allocate(struct graph *g)
{
    size_t n = g->n_nodes;
    g->room = 2 * n + 8;
    g->edges = lethe_arena_take(g->arena, g->room, sizeof *g->edges);
    g->first_out = lethe_arena_take(g->arena, n, sizeof *g->first_out);
    g->first_in = lethe_arena_take(g->arena, n, sizeof *g->first_in);
    g->path = lethe_arena_take(g->arena, n, sizeof *g->path);
    g->on_path = lethe_arena_alloc(g->arena, n, sizeof *g->on_path);
    g->traits = lethe_arena_alloc(g->arena, g->snapshot->n_mounts, sizeof *g->traits);
    g->waits_for = lethe_arena_alloc(g->arena, n, sizeof *g->waits_for);
    g->used = lethe_arena_alloc(g->arena, n, sizeof *g->used);
    g->done = lethe_arena_alloc(g->arena, n, sizeof *g->done);
    g->lazy = lethe_arena_alloc(g->arena, n, sizeof *g->lazy);
    g->heap = lethe_arena_take(g->arena, n, sizeof *g->heap);
    g->first = lethe_arena_take(g->arena, g->snapshot->n_mounts, sizeof *g->first);
    g->parent = lethe_arena_take(g->arena, g->snapshot->n_mounts, sizeof *g->parent);
    g->cover = lethe_arena_take(g->arena, g->snapshot->n_mounts, sizeof *g->cover);
    if (!g->first || !g->parent || !g->cover || !g->edges || !g->first_out || !g->first_in ||
        !g->path || !g->on_path || !g->traits || !g->waits_for || !g->used || !g->done ||
        !g->lazy || !g->heap)
        return -ENOMEM;
    memset(g->first_out, 0xff, n * sizeof *g->first_out); /* LETHE_NONE */
    memset(g->first_in, 0xff, n * sizeof *g->first_in);
    return 0;
}

static void find_first(struct graph *g, const struct key *by_device)
{
    for (size_t i = 0, end; i < g->snapshot->n_mounts; i = end) {
        size_t first = by_device[i].mount;
        for (end = i; end < g->snapshot->n_mounts && by_device[end].key == by_device[i].key; end++)
            first = by_device[end].mount < first ? by_device[end].mount : first;
        for (size_t j = i; j < end; j++)
            g->first[by_device[j].mount] = first;
    }
}

static void find_traits(struct graph *g)
{
    const struct lethe_snapshot *s = g->snapshot;
    for (size_t i = 0; i < s->n_unions; i++) {
        g->traits[s->unions[i].mount] |= TRAIT_UNION;
        for (size_t j = 0; j < s->unions[i].n_branches; j++) {
            const struct lethe_branch *b = &s->unions[i].branches[j];
            if (b->writable && b->mount != LETHE_NONE)
                g->traits[b->mount] |= TRAIT_BRANCH;
        }
    }
    for (size_t i = 0; i < s->n_mounts; i++)
        if (g->traits[i] & TRAIT_BRANCH && s->mounts[i].device != LETHE_NONE &&
            lethe_block_is_ram(s, s->mounts[i].device))
            g->traits[i] |= TRAIT_RAM_BLOCKS;
}

static int build(struct graph *g, const struct lethe_plan_options *options)
{
    const struct lethe_snapshot *s = g->snapshot;
    struct key *by_id = lethe_arena_take(g->arena, s->n_mounts, sizeof *by_id);
    struct key *by_device = lethe_arena_take(g->arena, s->n_mounts, sizeof *by_device);
    struct key *room = lethe_arena_take(g->arena, (s->n_mounts + 1) / 2, sizeof *room);
    if (!by_id || !by_device || !room)
        return -ENOMEM;
    for (size_t i = 0; i < s->n_mounts; i++) {
        by_id[i] = (struct key){s->mounts[i].id, "", i};
        by_device[i] = (struct key){devno_key(s->mounts[i].devno), s->mounts[i].root, i};
        g->used[i] = !lethe_mount_is_own(&s->mounts[i], options->own_root);
    }
    lethe_sort(by_id, s->n_mounts, sizeof *by_id, room, compare_keys);
    lethe_sort(by_device, s->n_mounts, sizeof *by_device, room, compare_keys);
    for (size_t node = s->n_mounts; node < erase_node(g, 0); node++)
        g->used[node] = true;
    for (size_t node = seen_node(g, 0); node < g->n_nodes; node++)
        g->used[node] = true;
    find_parents(g, by_id);
    find_covers(g, g->path); /* which is not in use yet */
    use_ways(g, g->path);
    find_first(g, by_device);
    find_traits(g);
    choose_erasures(g, options, by_device);
    use_hosts(g, by_device);
    add_mount_edges(g);
    add_hiding_edges(g);
    add_file_system_edges(g);
    add_device_edges(g, by_device);
    add_union_edges(g);
    add_namespace_edges(g);
    add_seen_edges(g);
    find_views(g);
    return g->full ? -ENOMEM : 0;
}

static const char *erase_reason(unsigned traits)
{
    if (traits & TRAIT_BRANCH)
        return "a union's writable branch in RAM: zeroed before anything frees its pages";
    if (traits & TRAIT_PART)
        return "its files are RAM, and no mount shows more of them: zeroed before anything frees "
               "their pages";
    return "its files are RAM: zeroed before anything frees their pages";
}

static const char *unmount_reason(const struct lethe_mount *m, unsigned traits)
{
    if (traits & TRAIT_UNION)
        return "a union goes before its layers";
    if (traits & TRAIT_RAM_BLOCKS)
        return "a union's writable branch on a device that is RAM: what that holds is erased "
               "after it";
    if (traits & TRAIT_BRANCH && m->device != LETHE_NONE)
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

static const char *device_reason(enum lethe_block_kind kind)
{
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

static const char *reason_of(const struct graph *g, size_t node)
{
    const struct lethe_snapshot *s = g->snapshot;
    enum rank rank = rank_of(g, node);
    if (g->lazy[node])
        return rank == RANK_ERASE
                   ? "part of a cycle: its files are RAM, zeroed while they are in use"
                   : "part of a cycle: detached, and let go by the last that holds it";
    if (rank == RANK_ERASE)
        return erase_reason(g->traits[node - erase_node(g, 0)]);
    if (rank == RANK_DEVICE)
        return device_reason(s->blocks[node - device_node(g, 0)].kind);
    if (node < s->n_mounts)
        return unmount_reason(&s->mounts[node], g->traits[node]);
    return "called back into memory before what it lies on goes";
}

static struct lethe_step step_of(const struct graph *g, size_t node)
{
    const struct lethe_node n = lethe_plan_node(g->snapshot, node);
    struct lethe_step step = {
        .index = n.index, .lazy = g->lazy[node], .reason = reason_of(g, node)};
    if (n.kind == LETHE_NODE_ERASURE)
        step.kind = LETHE_STEP_ERASE;
    else if (n.kind == LETHE_NODE_SWAP)
        step.kind = LETHE_STEP_SWAPOFF;
    else if (n.kind == LETHE_NODE_MOUNT)
        step.kind = LETHE_STEP_UNMOUNT;
    else
        step.kind = can_be_stopped(&g->snapshot->blocks[n.index]) ? LETHE_STEP_STOP
                                                                  : LETHE_STEP_ERASE_DEVICE;
    return step;
}

static void drop_path(struct graph *g, size_t n)
{
    while (g->n_path > n)
        g->on_path[g->path[--g->n_path]] = 0;
}

static void finish_node(struct graph *g, size_t node)
{
    g->done[node] = true;
    if (g->on_path[node] && g->on_path[node] <= g->n_path) /* the walk can't go on through it */
        drop_path(g, g->on_path[node] - 1);
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
 * else a mount, which can be detached; moments never but among themselves. The newest of equals. */
static bool breaks_better(const struct graph *g, size_t a, size_t b)
{
    static const int order[] = {
        [RANK_ERASE] = 0, [RANK_MOUNT] = 1, [RANK_DEVICE] = 2, [RANK_MOMENT] = 3};
    int oa = order[rank_of(g, a)], ob = order[rank_of(g, b)];
    return oa != ob ? oa < ob : a > b;
}

/* The erasure that must happen before the mount is detached, else the mount itself. Those that are
 * done are passed once. */
static size_t erase_first(struct graph *g, size_t mount)
{
    size_t *e = &g->first_in[erased_node(g, g->first[mount])];
    while (*e != LETHE_NONE && g->done[g->edges[*e].before])
        *e = g->edges[*e].next_in;
    return *e == LETHE_NONE ? mount : g->edges[*e].before;
}

/* When nothing is free: follows from a node that waits what it waits for until that goes in a
 * circle, and picks the node in the circle that breaks it. The walk goes on where the last one came
 * to; `hint` only ever falls. What lies behind the node that is picked is walked again: in a forged
 * tree that may be so much, so often, that at last only the end of the circle is looked at. */
static size_t break_cycle(struct graph *g, size_t *hint)
{
    while (g->done[*hint - 1] || !g->used[*hint - 1])
        --*hint;
    size_t node = g->n_path ? find_blocker(g, g->path[g->n_path - 1]) : *hint - 1;
    for (; !g->on_path[node]; node = find_blocker(g, node)) {
        g->path[g->n_path] = node;
        g->on_path[node] = ++g->n_path;
    }
    enum { WALKS_MAX = 16, END = 64 };
    size_t from = g->on_path[node];
    g->n_walked += g->n_path - from;
    if (g->n_path - from > END && g->n_walked > WALKS_MAX * (g->n_nodes + g->n_edges))
        from = g->n_path - END;
    size_t best = g->path[from - 1];
    for (size_t i = from; i < g->n_path; i++)
        if (breaks_better(g, g->path[i], best))
            best = g->path[i];
    return rank_of(g, best) == RANK_MOUNT ? erase_first(g, best) : best;
}

/* And is found by its path. */
static bool goes_later(const struct graph *g, size_t parent)
{
    return g->used[parent] && !g->lazy[parent] && !g->used[way_node(g, parent)];
}

static void join_unmounts(const struct graph *g, struct lethe_plan *plan)
{
    size_t *left = g->path; /* of each mount's children; no walk is made any more */
    memset(left, 0, g->snapshot->n_mounts * sizeof *left);
    for (size_t i = 0; i < g->snapshot->n_mounts; i++)
        if (g->parent[i] != LETHE_NONE)
            left[g->parent[i]]++;
    size_t first = 0, parent = LETHE_NONE; /* of the steps that go together */
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct lethe_step *step = &plan->steps[i];
        size_t on = step->kind == LETHE_STEP_UNMOUNT ? g->parent[step->index] : LETHE_NONE;
        bool view = on != LETHE_NONE && !step->lazy && g->traits[step->index] & TRAIT_VIEW &&
                    strcmp(g->snapshot->mounts[step->index].path, g->snapshot->mounts[on].path);
        if (!view || on != parent)
            first = i;
        parent = view ? on : LETHE_NONE;
        if (on != LETHE_NONE && !--left[on] && view && goes_later(g, on))
            plan->steps[first].together = i + 1 - first;
    }
}

int lethe_plan_make(struct lethe_plan *plan, const struct lethe_snapshot *snapshot,
                    const struct lethe_plan_options *options, struct lethe_arena *arena)
{
    struct lethe_tree tree;
    struct graph g = {
        .snapshot = snapshot, .tree = snapshot->tree ? snapshot->tree : &tree, .arena = arena};
    g.n_nodes = namespace_node(&g, snapshot->n_namespaces);
    *plan = (struct lethe_plan){
        .steps =
            lethe_arena_take(arena, 2 * snapshot->n_mounts + snapshot->n_swaps + snapshot->n_blocks,
                             sizeof *plan->steps)};
    int r = snapshot->tree ? 0 : lethe_tree_build(&tree, snapshot, arena);
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
    join_unmounts(&g, plan);
    plan->edges = g.edges;
    plan->n_edges = g.n_edges;
    return 0;
}
