/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_one_of(const char *word, const char *const *list)
{
    while (*list && strcmp(word, *list))
        list++;
    return *list;
}

bool lethe_mount_is_ram(const struct lethe_mount *mount)
{
    static const char *const types[] = {"tmpfs", "ramfs", "hugetlbfs", "devtmpfs", "rootfs", NULL};
    return is_one_of(mount->fstype, types);
}

bool lethe_mount_is_stored(const struct lethe_mount *mount)
{
    return mount->device != LETHE_NONE;
}

bool lethe_mount_is_own(const struct lethe_mount *mount, bool own_root)
{
    static const char *const paths[] = {"/", "/proc", "/sys", "/dev", NULL};
    return own_root && is_one_of(mount->path, paths);
}

size_t lethe_block_find(const struct lethe_snapshot *snapshot, struct lethe_devno devno)
{
    for (size_t i = 0; i < snapshot->n_blocks; i++)
        if (lethe_devno_is(snapshot->blocks[i].devno, devno))
            return i;
    return LETHE_NONE;
}

static bool file_system_is_ram(const struct lethe_snapshot *snapshot, struct lethe_devno devno)
{
    for (size_t i = 0; i < snapshot->n_mounts; i++)
        if (lethe_devno_is(snapshot->mounts[i].devno, devno))
            return lethe_mount_is_ram(&snapshot->mounts[i]);
    return false;
}

/* Holders and slaves form no cycle in a kernel, but a captured tree may be forged: `left` bounds
 * the walk. */
static bool is_ram(const struct lethe_snapshot *snapshot, size_t block, unsigned *left)
{
    const struct lethe_block *b = &snapshot->blocks[block];
    if (b->kind == LETHE_BLOCK_ZRAM || b->kind == LETHE_BLOCK_BRD)
        return true;
    if (b->kind == LETHE_BLOCK_LOOP)
        return file_system_is_ram(snapshot, b->file_devno);
    for (size_t i = 0; *left && i < b->n_slaves; i++) {
        --*left;
        if (is_ram(snapshot, b->slaves[i], left))
            return true;
    }
    return false;
}

bool lethe_block_is_ram(const struct lethe_snapshot *snapshot, size_t block)
{
    unsigned left = 256;
    return is_ram(snapshot, block, &left);
}

struct sort_key {
    unsigned parent;
    const char *path;
    size_t mount;
};

static int compare_keys(const void *left, const void *right)
{
    const struct sort_key *a = left, *b = right;
    if (a->parent != b->parent)
        return a->parent < b->parent ? -1 : 1;
    int r = strcmp(a->path, b->path);
    return r ? r : (a->mount > b->mount) - (a->mount < b->mount);
}

/* How the mount at order[i] stands to a child of `parent` whose path is the first n bytes of
 * `path`. */
static int compare_entry(const struct lethe_tree *tree, size_t i, unsigned parent, const char *path,
                         size_t n)
{
    const struct lethe_mount *m = &tree->snapshot->mounts[tree->order[i]];
    if (m->parent != parent)
        return m->parent < parent ? -1 : 1;
    int r = strncmp(m->path, path, n);
    return r ? r : m->path[n] != '\0';
}

size_t lethe_tree_child(const struct lethe_tree *tree, unsigned parent, const char *path, size_t n)
{ /* the last of its equals */
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

/* Climbs onto whatever is mounted on the root of `mount`. A forged tree could stack a mount on
 * itself: each climb must lead to another one, at most all of them once. */
static size_t climb(const struct lethe_tree *tree, size_t mount, const char *path, size_t n)
{
    for (size_t i = 0; i < tree->snapshot->n_mounts; i++) {
        size_t child = lethe_tree_child(tree, tree->snapshot->mounts[mount].id, path, n);
        if (child == LETHE_NONE || child == mount)
            break;
        mount = child;
    }
    return mount;
}

size_t lethe_tree_lookup(const struct lethe_tree *tree, const char *path)
{
    if (tree->root == LETHE_NONE)
        return LETHE_NONE;
    size_t at = climb(tree, tree->root, "/", 1);
    for (size_t n = 1; path[n - 1];) {
        while (path[n] && path[n] != '/')
            n++;
        at = climb(tree, at, path, n);
        if (!path[n++])
            break;
    }
    return at;
}

/* The root's parent is a mount outside of the reader's view; of several mounts at "/" the one whose
 * parent is not among them. */
static size_t find_root(const struct lethe_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->n_mounts; i++) {
        const struct lethe_mount *m = &snapshot->mounts[i];
        bool inside = false;
        if (strcmp(m->path, "/"))
            continue;
        for (size_t j = 0; !inside && j < snapshot->n_mounts; j++)
            inside = j != i && snapshot->mounts[j].id == m->parent &&
                     !strcmp(snapshot->mounts[j].path, "/");
        if (!inside)
            return i;
    }
    return LETHE_NONE;
}

int lethe_tree_build(struct lethe_tree *tree, const struct lethe_snapshot *snapshot,
                     struct lethe_arena *arena)
{
    size_t n = snapshot->n_mounts;
    size_t *order = lethe_arena_alloc(arena, n, sizeof *order);
    struct sort_key *keys = lethe_arena_alloc(arena, n, sizeof *keys);
    if (!order || !keys)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        keys[i] = (struct sort_key){snapshot->mounts[i].parent, snapshot->mounts[i].path, i};
    qsort(keys, n, sizeof *keys, compare_keys);
    for (size_t i = 0; i < n; i++)
        order[i] = keys[i].mount;
    *tree = (struct lethe_tree){snapshot, order, find_root(snapshot)};
    return tree->root == LETHE_NONE ? -ENOENT : 0;
}
