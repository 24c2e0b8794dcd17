/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/tree.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "lethe/plan/sort.h"

struct sort_key {
    unsigned parent; /* or an id, see find_root() */
    const char *path;
    size_t length; /* of the path, where they are sorted by it */
    size_t mount;
};

/* Compares like lethe_tree_compare_paths(), taking the first n bytes of `b` as the second path. */
static int compare_paths(const char *a, const char *b, size_t n)
{
    size_t i = 0;
    while (i < n && a[i] && a[i] == b[i])
        i++;
    unsigned char left = (unsigned char)a[i], right = i < n ? (unsigned char)b[i] : 0;
    if (left == right)
        return 0;
    if (!left || !right)
        return left ? 1 : -1;
    if (left == '/' || right == '/')
        return left == '/' ? -1 : 1;
    return left < right ? -1 : 1;
}

int lethe_tree_compare_paths(const char *a, const char *b)
{
    return compare_paths(a, b, SIZE_MAX);
}

static uint64_t load(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static int compare_keys(const void *left, const void *right)
{
    const struct sort_key *a = left, *b = right;
    const size_t both = a->length < b->length ? a->length : b->length;
    size_t i = 0;
    if (a->parent != b->parent)
        return a->parent < b->parent ? -1 : 1;
    while (both - i >= sizeof(uint64_t) && load(a->path + i) == load(b->path + i))
        i += sizeof(uint64_t); /* brothers begin alike */
    return compare_paths(a->path + i, b->path + i, SIZE_MAX);
}

/* Compares the mount at order[i] with a child of `parent` whose path is the first n bytes of
 * `path`. */
static int compare_entry(const struct lethe_tree *tree, size_t i, unsigned parent, const char *path,
                         size_t n)
{
    const struct lethe_mount *m = &tree->snapshot->mounts[tree->order[i]];
    if (m->parent != parent)
        return m->parent < parent ? -1 : 1;
    return compare_paths(m->path, path, n);
}

/* Finds the last of those that are equal, which is the newest. */
size_t lethe_tree_child(const struct lethe_tree *tree, unsigned parent, const char *path, size_t n)
{
    size_t low = 0, high = tree->snapshot->n_mounts;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_entry(tree, middle, parent, path, n) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low && !compare_entry(tree, low - 1, parent, path, n) ? tree->order[low - 1]
                                                                 : LETHE_NONE;
}

/* Returns the mount that a look-up is on after the first n bytes of `path`, when it came there on
 * the mount `at`. */
static size_t climb(const struct lethe_tree *tree, size_t at, const char *path, size_t n)
{
    size_t child = lethe_tree_child(tree, tree->snapshot->mounts[at].id, path, n);
    return child == LETHE_NONE || child == at ? at : tree->top[child];
}

size_t lethe_tree_lookup(const struct lethe_tree *tree, const char *path)
{
    if (tree->root == LETHE_NONE)
        return LETHE_NONE;
    size_t at = tree->top[tree->root];
    for (size_t n = 1; path[n - 1];) {
        while (path[n] && path[n] != '/')
            n++;
        at = climb(tree, at, path, n);
        if (!path[n++])
            break;
    }
    return at;
}

size_t lethe_tree_find_moved(const struct lethe_snapshot *snapshot, const char *system,
                             const char *path, size_t n)
{
    const size_t above = strlen(system);
    size_t longest = 1, found = LETHE_NONE;
    for (size_t i = 0; i < snapshot->n_mounts; i++) {
        const char *m = snapshot->mounts[i].path;
        const size_t length = strncmp(m, system, above) ? 0 : strlen(m + above),
                     same = length < n ? length : n;
        if (length > longest && length != n &&
            !memcmp(m + above + length - same, path + n - same, same)) {
            longest = length;
            found = i;
        }
    }
    return found;
}

const char *lethe_tree_system(const struct lethe_tree *tree)
{
    static const char *const places[] = {"/oldroot/oldroot", "/oldroot"};
    const struct lethe_mount *mounts = tree->snapshot->mounts;
    if (tree->root == LETHE_NONE || !lethe_mount_is_ram(&mounts[tree->root]))
        return "";
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (!strcmp(mounts[lethe_tree_lookup(tree, places[i])].path, places[i]))
            return places[i];
    return "";
}

static size_t mounted_on_its_root(const struct lethe_tree *tree, size_t mount)
{
    const struct lethe_mount *m = &tree->snapshot->mounts[mount];
    return lethe_tree_child(tree, m->id, m->path, strlen(m->path));
}

/* Follows each stack of mounts to its top once. A forged stack may go in a circle: it ends where
 * it was entered. */
static void find_tops(const struct lethe_tree *tree, size_t *top)
{
    const size_t unknown = LETHE_NONE, under_way = LETHE_NONE - 1;
    const size_t n = tree->snapshot->n_mounts;
    memset(top, 0xff, n * sizeof *top); /* unknown */
    for (size_t i = 0; i < n; i++) {
        size_t at = i, end;
        while (top[at] == unknown) {
            size_t next = mounted_on_its_root(tree, at);
            top[at] = under_way;
            if (next == LETHE_NONE)
                break;
            at = next;
        }
        end = top[at] == under_way ? at : top[at];
        for (at = i; at != LETHE_NONE && top[at] == under_way; at = mounted_on_its_root(tree, at))
            top[at] = end;
    }
}

static int compare_ids(const void *left, const void *right)
{
    const struct sort_key *a = left, *b = right;
    return (a->parent > b->parent) - (a->parent < b->parent);
}

static bool has_other(const struct sort_key *ids, size_t n, unsigned id, size_t but)
{
    const struct sort_key key = {.parent = id};
    size_t at = lethe_sort_find(ids, n, sizeof *ids, &key, compare_ids);
    while (at < n && ids[at].parent == id && ids[at].mount == but)
        at++;
    return at < n && ids[at].parent == id;
}

/* Finds the reader's root. Its parent is a mount outside of the reader's view, so of several mounts
 * at "/" it is the one whose parent is not among the others. `ids` has room for all mounts, `room`
 * for half of them. */
static size_t find_root(const struct lethe_snapshot *snapshot, struct sort_key *ids,
                        struct sort_key *room)
{
    size_t n = 0;
    for (size_t i = 0; i < snapshot->n_mounts; i++)
        if (!strcmp(snapshot->mounts[i].path, "/"))
            ids[n++] = (struct sort_key){snapshot->mounts[i].id, "/", 1, i};
    lethe_sort(ids, n, sizeof *ids, room, compare_ids);
    for (size_t i = 0; i < snapshot->n_mounts; i++)
        if (!strcmp(snapshot->mounts[i].path, "/") &&
            !has_other(ids, n, snapshot->mounts[i].parent, i))
            return i;
    return LETHE_NONE;
}

int lethe_tree_build(struct lethe_tree *tree, const struct lethe_snapshot *snapshot,
                     struct lethe_arena *arena)
{
    size_t n = snapshot->n_mounts;
    size_t *order = lethe_arena_take(arena, n, sizeof *order);
    size_t *top = lethe_arena_take(arena, n, sizeof *top);
    struct sort_key *keys = lethe_arena_take(arena, n, sizeof *keys);
    struct sort_key *room = lethe_arena_take(arena, (n + 1) / 2, sizeof *room);
    if (!order || !top || !keys || !room)
        return -ENOMEM;
    /* rootfs is its own parent: it comes first, and so counts as older than what is on it at "/" */
    for (size_t k = 0, rootfs = 2; rootfs--;)
        for (size_t i = 0; i < n; i++) {
            const struct lethe_mount *m = &snapshot->mounts[i];
            if ((m->parent == m->id) == rootfs)
                keys[k++] = (struct sort_key){m->parent, m->path, strlen(m->path), i};
        }
    lethe_sort(keys, n, sizeof *keys, room, compare_keys);
    for (size_t i = 0; i < n; i++)
        order[i] = keys[i].mount;
    *tree = (struct lethe_tree){snapshot, order, top, find_root(snapshot, keys, room)};
    find_tops(tree, top);
    return tree->root == LETHE_NONE ? -ENOENT : 0;
}
