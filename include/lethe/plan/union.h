/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * union: which layers a union mount consists of.
 *
 * overlay tells its layers in the super options, each path as it was given to mount(8): with
 * backslashes before ':' and '\', then with mountinfo's octal escapes (docs/facts.md, What a union
 * tells of its layers). From Linux 6.5 on each layer may have an option of its own, lowerdir+= or
 * datadir+=, without the backslashes. aufs tells them in /sys/fs/aufs/si_ID/brN as
 * path=permission, or in its option br:path=permission:… when it has no reader; xi_path beside them
 * is a file that it holds. The FUSE unions tell them only on the command line of the program that
 * serves them: fuse-overlayfs -o lowerdir=…,upperdir=…,workdir=…, unionfs-fuse path=RW:path=RO,
 * mergerfs path=RW:path=NC, which also has its paths as the mount's source.
 */
#ifndef LETHE_PLAN_UNION_H
#define LETHE_PLAN_UNION_H

#include "lethe/plan/model.h"

struct lethe_union_reader {
    /* Returns the text of a small file of /sys; n is 0 when there is none. */
    struct lethe_span (*read)(void *context, const char *path);
    /* Returns the command line of the program that serves a FUSE union, each word with a NUL behind
     * it; n is 0 when it is not known. NULL: never known. */
    struct lethe_span (*daemon)(void *context, const struct lethe_mount *mount);
    /* True when the layer that the union names `path` is there, at `seen` from the reader's root.
     * It is asked for mounts of RAM and of this machine's devices only. NULL: always. */
    bool (*is_there)(void *context, const char *path, const char *seen);
    void *context;
};

/* Fills snapshot->unions from the mounts and ties each branch to the mount that shows it now. Its
 * path is looked up below the system's root (lethe_tree_system()). 0, or -ENOMEM. */
int lethe_union_find_all(struct lethe_snapshot *snapshot, const struct lethe_tree *tree,
                         struct lethe_arena *arena, const struct lethe_union_reader *reader);

/* True for the FUSE unions whose command lines are understood. */
bool lethe_union_is_fuse(const struct lethe_mount *mount);

/* True for the command line of a program that serves FUSE unions. */
bool lethe_union_is_daemon(struct lethe_span command);

/* True for the command line of the program that serves this mount. */
bool lethe_union_is_served_by(const struct lethe_mount *mount, struct lethe_span command);

/* Cuts the first layer out of the value of an overlay's option and returns its path, escapes
 * resolved. With `many` the value is a list with colons, as of lowerdir=. "" for an empty layer,
 * NULL when the arena is full. */
const char *lethe_union_overlay_layer(struct lethe_arena *arena, struct lethe_span *value,
                                      bool many);

#endif
