/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * union: which layers a union mount consists of.
 *
 * overlay tells its layers in the super options, each path as it was given to mount(8): with
 * backslashes before ':' and '\', then with mountinfo's octal escapes (M: shared facts, section 6;
 * Documentation/filesystems/overlayfs.rst). From Linux 6.5 on there may be one lowerdir+= and
 * datadir+= a layer, without the backslashes. aufs tells them in /sys/fs/aufs/si_ID/brN as
 * path=permission, or in its option br:path=permission:… when it has no sysfs.
 */
#ifndef LETHE_UNION_H
#define LETHE_UNION_H

#include "lethe/model.h"

/* How to read a small file of /sys: the text of it, whose n is 0 when there is none. */
struct lethe_reader {
    struct lethe_span (*read)(void *context, const char *path);
    void *context;
};

/* Fills snapshot->unions from the mounts and ties each branch to the mount that shows it now. 0, or
 * -ENOMEM. */
int lethe_unions_find(struct lethe_snapshot *snapshot, const struct lethe_tree *tree,
                      struct lethe_arena *arena, const struct lethe_reader *sysfs);

#endif
