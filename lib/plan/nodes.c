/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/nodes.h"

#include <errno.h>
#include <string.h>

#include "lethe/plan/sort.h"
#include "lethe/plan/tree.h"

/* An entry of a table of mounts, which is sorted by a number: their id, or their device and then
 * the part of it that they show. */
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
    return a->root == b->root ? 0 : lethe_tree_compare_paths(a->root, b->root);
}

/* Returns the place of the first of n sorted keys that is not below `key`. */
static size_t find_key(const struct key *keys, size_t n, uint64_t key)
{
    const struct key first = {.key = key, .root = ""};
    return lethe_sort_find(keys, n, sizeof *keys, &first, compare_keys);
}

static uint64_t devno_key(struct lethe_devno devno)
{
    return (uint64_t)devno.major << 32 | devno.minor;
}

/* Finds what each mount is mounted on. Of several mounts with the same id, which only a forged tree
 * has, it is the first. */
static void find_parents(struct lethe_graph *g, const struct key *by_id)
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

/* Numbers the mounts on a walk over their tree, from each mount without a parent, older brothers
 * first: what lies on a mount is entered and left between the mount's own two numbers. A mount that
 * no such walk reaches keeps 0. `first` and `cover`, which are not filled yet, hold the lists of
 * children meanwhile. */
static void number_mounts(struct lethe_graph *g)
{
    const size_t n = g->snapshot->n_mounts;
    size_t *child = g->first, *brother = g->cover, *stack = g->stack, count = 0;
    memset(child, 0xff, n * sizeof *child); /* LETHE_NONE */
    for (size_t i = n; i--;)
        if (g->parent[i] != LETHE_NONE && g->parent[i] != i) {
            brother[i] = child[g->parent[i]];
            child[g->parent[i]] = i;
        }
    for (size_t i = 0, depth = 0; i < n; i++) {
        if (g->parent[i] != LETHE_NONE && g->parent[i] != i)
            continue;
        g->enter[stack[depth++] = i] = ++count;
        while (depth) {
            const size_t at = stack[depth - 1], next = child[at];
            if (next == LETHE_NONE) {
                g->leave[at] = count;
                depth--;
                continue;
            }
            child[at] = brother[next];
            g->enter[stack[depth++] = next] = ++count;
        }
    }
}

/* Chooses the mount to erase from among n that show the same part: one that no other mount hides,
 * the newest of equals. A look-up is dear, the more so the deeper the mount; the last candidate
 * needs none. LETHE_NONE when none of them is RAM. */
static size_t best_reach(const struct lethe_graph *g, const struct key *mounts, size_t n)
{
    size_t best = LETHE_NONE;
    while (n--) {
        size_t m = mounts[n].mount;
        if (!lethe_mount_is_ram(&g->snapshot->mounts[m]))
            continue;
        if ((!n && best == LETHE_NONE) ||
            lethe_tree_lookup(g->tree, g->snapshot->mounts[m].path) == m)
            return m;
        best = best == LETHE_NONE ? m : best;
    }
    return best;
}

/* True for a part whose directory entry is gone, as mountinfo marks it (seq_dentry(),
 * fs/seq_file.c). No other mount shows what is left of it. */
static bool is_deleted(const char *root)
{
    size_t n = strlen(root);
    return n >= 9 && !strcmp(root + n - 9, "//deleted");
}

/* Plans one erasure for each part of a RAM-backed file system that no other shown part contains;
 * where the whole file system is shown, that is the only one. */
static void choose_parts(struct lethe_graph *g, const struct key *mounts, size_t n)
{
    const char *covered = NULL;
    for (size_t i = 0, end; i < n; i = end) {
        const char *root = mounts[i].root;
        for (end = i; end < n && !strcmp(mounts[end].root, root); end++)
            ;
        if (!is_deleted(root) && covered && lethe_text_path_below(root, covered))
            continue;
        size_t best = best_reach(g, mounts + i, end - i);
        if (best == LETHE_NONE)
            continue;
        if (!is_deleted(root))
            covered = root;
        g->used[lethe_graph_node(g, LETHE_NODE_ERASURE, best)] = true;
        g->used[lethe_graph_node(g, LETHE_NODE_ERASED, g->first[best])] = true;
        if (strcmp(root, "/"))
            g->traits[best] |= LETHE_TRAIT_PART;
    }
}

static void choose_erasures(struct lethe_graph *g, const struct lethe_plan_options *options,
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

/* A mount is hidden by the newest mount at the nearest place before it on its path, or by the
 * newest at its own place. Brothers are sorted so that each follows the directories that it is in,
 * so a stack holds the candidates. */
static void find_covers(struct lethe_graph *g)
{
    const struct lethe_snapshot *s = g->snapshot;
    const size_t *order = g->tree->order;
    size_t *stack = g->stack;
    for (size_t i = 0, end, depth = 0; i < s->n_mounts; i = end) {
        const struct lethe_mount *m = &s->mounts[order[i]];
        if (i && s->mounts[order[i - 1]].parent != m->parent)
            depth = 0;
        while (depth && !lethe_text_path_below(m->path, s->mounts[stack[depth - 1]].path))
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

/* A clear path is a moment of the plan only where the mount, or one on its path, is hidden. Each
 * chain of parents is walked once; a mount that leads into a forged circle counts as hidden. */
static void use_ways(struct lethe_graph *g)
{
    size_t *stack = g->stack;
    for (size_t i = 0; i < g->snapshot->n_mounts; i++) {
        size_t n = 0, at = i;
        while (at != LETHE_NONE && !g->passed[at]) {
            g->passed[at] = g->used[lethe_graph_node(g, LETHE_NODE_PATH_CLEAR, at)] =
                true; /* until it is known below */
            stack[n++] = at;
            at = g->parent[at] != at ? g->parent[at] : LETHE_NONE; /* rootfs is its own parent */
        }
        bool hidden = at != LETHE_NONE && g->used[lethe_graph_node(g, LETHE_NODE_PATH_CLEAR, at)];
        while (n--) {
            hidden = hidden || g->cover[stack[n]] != LETHE_NONE;
            g->used[lethe_graph_node(g, LETHE_NODE_PATH_CLEAR, stack[n])] = hidden;
        }
    }
    memset(g->passed, 0, g->n_nodes * sizeof *g->passed);
}

static size_t find_file_system(const struct lethe_graph *g, struct lethe_devno devno,
                               const struct key *by_device)
{
    uint64_t key = devno_key(devno);
    size_t at = key ? find_key(by_device, g->snapshot->n_mounts, key) : g->snapshot->n_mounts;
    return at < g->snapshot->n_mounts && by_device[at].key == key ? g->first[by_device[at].mount]
                                                                  : LETHE_NONE;
}

static void find_hosts(struct lethe_graph *g, const struct key *by_device)
{
    const struct lethe_snapshot *s = g->snapshot;
    for (size_t i = 0; i < s->n_swaps; i++)
        g->host[i] = find_file_system(g, s->swaps[i].devno, by_device);
    for (size_t i = 0; i < s->n_blocks; i++)
        g->host[s->n_swaps + i] = s->blocks[i].kind == LETHE_BLOCK_LOOP
                                      ? find_file_system(g, s->blocks[i].file_devno, by_device)
                                      : LETHE_NONE;
}

/* Makes the moment "files unused" only for file systems that host a file in use. It passes from a
 * union to its branches, so unions are gone through from the last: one that lies on another comes
 * after it. */
static void use_hosts(struct lethe_graph *g)
{
    const struct lethe_snapshot *s = g->snapshot;
    for (size_t i = 0; i < s->n_swaps + s->n_blocks; i++)
        if (g->host[i] != LETHE_NONE)
            g->used[lethe_graph_node(g, LETHE_NODE_FILES_UNUSED, g->host[i])] = true;
    for (size_t i = s->n_unions; i--;)
        for (size_t j = 0; j < s->unions[i].n_branches; j++)
            if (lethe_graph_is_host(&s->unions[i], &s->unions[i].branches[j]) &&
                g->used[lethe_graph_node(g, LETHE_NODE_FILES_UNUSED, g->first[s->unions[i].mount])])
                g->used[lethe_graph_node(g, LETHE_NODE_FILES_UNUSED,
                                         g->first[s->unions[i].branches[j].mount])] = true;
}

static void find_first(struct lethe_graph *g, const struct key *by_device)
{
    for (size_t i = 0, end; i < g->snapshot->n_mounts; i = end) {
        size_t first = by_device[i].mount;
        for (end = i; end < g->snapshot->n_mounts && by_device[end].key == by_device[i].key; end++)
            first = by_device[end].mount < first ? by_device[end].mount : first;
        for (size_t j = i; j < end; j++)
            g->first[by_device[j].mount] = first;
    }
}

static void find_traits(struct lethe_graph *g)
{
    const struct lethe_snapshot *s = g->snapshot;
    for (size_t i = 0; i < s->n_unions; i++) {
        g->traits[s->unions[i].mount] |= LETHE_TRAIT_UNION;
        for (size_t j = 0; j < s->unions[i].n_branches; j++) {
            const struct lethe_branch *b = &s->unions[i].branches[j];
            if (b->writable && b->mount != LETHE_NONE)
                g->traits[b->mount] |= LETHE_TRAIT_BRANCH;
        }
    }
    for (size_t i = 0; i < s->n_mounts; i++)
        if (g->traits[i] & LETHE_TRAIT_BRANCH && s->mounts[i].device != LETHE_NONE &&
            lethe_block_is_ram(s, s->mounts[i].device))
            g->traits[i] |= LETHE_TRAIT_RAM_BLOCKS;
}

int lethe_nodes_use(struct lethe_graph *g, const struct lethe_plan_options *options)
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
    for (size_t node = s->n_mounts; node < g->base[LETHE_NODE_ERASURE]; node++)
        g->used[node] = true;
    for (size_t node = g->base[LETHE_NODE_HOLDERS_GONE]; node < g->n_nodes; node++)
        g->used[node] = true;
    find_parents(g, by_id);
    number_mounts(g);
    find_covers(g);
    use_ways(g);
    find_first(g, by_device);
    find_traits(g);
    choose_erasures(g, options, by_device);
    find_hosts(g, by_device);
    use_hosts(g);
    return 0;
}
