/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tree: an index over the mounts of a snapshot, for path look-ups as the kernel makes them. */
#ifndef LETHE_PLAN_TREE_H
#define LETHE_PLAN_TREE_H

#include "lethe/plan/model.h"

/* Compares two paths with '/' as the least of bytes: what is in a directory follows it at once. */
int lethe_tree_compare_paths(const char *a, const char *b);

/* An index over the mounts for path look-ups. `order` lists them by their parent's id, then by
 * path, then by age. `top` has, for each mount, the top of what is stacked on its root, itself if
 * nothing is. */
struct lethe_tree {
    const struct lethe_snapshot *snapshot;
    const size_t *order;
    const size_t *top;
    size_t root; /* the mount that "/" begins at */
};

/* Builds the index. 0, or -ENOMEM, or -ENOENT without a mount at "/". */
int lethe_tree_build(struct lethe_tree *tree, const struct lethe_snapshot *snapshot,
                     struct lethe_arena *arena);

/* Returns the newest of the mounts that are mounted on the one whose id is `parent`, at the first n
 * bytes of `path`, or LETHE_NONE. */
size_t lethe_tree_child(const struct lethe_tree *tree, unsigned parent, const char *path, size_t n);

/* Returns the mount that the kernel's look-up of `path` would end in (symbolic links left aside):
 * where several mounts are stacked, the one on top. LETHE_NONE only where no mount is at "/". */
size_t lethe_tree_lookup(const struct lethe_tree *tree, const char *path);

/* Returns the mount that shows the first n bytes of a path which dates from the initramfs, whose
 * root was another directory: one path ends with the other. The longest such mount counts; "/" and
 * the path itself do not. */
size_t lethe_tree_find_moved(const struct lethe_snapshot *snapshot, const char *system,
                             const char *path, size_t n);

/* Returns the prefix that leads to the system's root: ""; "/oldroot" once Lethe has moved to a root
 * of its own, which is RAM; "/oldroot/oldroot" where systemd had moved before. */
const char *lethe_tree_system(const struct lethe_tree *tree);

#endif
