/* SPDX-License-Identifier: GPL-3.0-or-later */
/* source: what a snapshot is read from, for the parts of lethe_snapshot_take(). */
#ifndef LETHE_KERNEL_SOURCE_H
#define LETHE_KERNEL_SOURCE_H

#include <dirent.h>

#include "lethe/plan/model.h"

struct lethe_device_name;
struct lethe_daemon;

struct lethe_source {
    int root; /* /proc and /sys are below this directory */
    bool live;
    struct lethe_arena *arena;
    struct lethe_snapshot *snapshot;
    struct lethe_device_name *names; /* of all devices, in order */
    size_t n_names;
    struct lethe_daemon *daemons; /* of FUSE unions, the last found first */
    bool looked;                  /* the daemons were looked for */
};

/* Reads a whole file into the arena. 0, or -errno. */
int lethe_source_read(const struct lethe_source *source, const char *path, struct lethe_span *text);

/* Opens a directory; NULL when there is none, or it can't be read. */
DIR *lethe_source_open_dir(const struct lethe_source *source, const char *path);

/* Returns how many entries the directory has, and rewinds it. */
size_t lethe_source_count(DIR *dir);

/* A path that the kernel shows from the root of who reads it, as those of swaps, of the files of
 * loops and of zram's backing device, as it is below the system's root: without the /oldroot of
 * each pivot (d_path(), fs/d_path.c). The layers of a union are not shown so. */
const char *lethe_source_below_system(const char *path);

#endif
