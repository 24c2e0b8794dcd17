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
size_t lethe_source_count(DIR *dir);

/* A path that the kernel shows from the root of who reads it, as those of swaps, of the files of
 * loops and of zram's backing device, as it is below the system's root: without the /oldroot of
 * each pivot (d_path(), fs/d_path.c). The layers of a union are not shown so. */
const char *lethe_source_below_system(const char *path);

/* -- the devices, in blocks.c ------------------------------------------------------------------ */

/* Fills the snapshot's devices, in the order of their numbers, with all that /sys says of each. 0,
 * or -ENOMEM. */
int lethe_blocks_read(struct lethe_source *source);

/* Adds what file systems lie on beside the device of their mounts; called after
 * lethe_devices_tie(). 0, or -ENOMEM. */
int lethe_blocks_read_beside(const struct lethe_source *source);

/* Returns the number of the device that a name in /dev leads to, 0:0 for none. The context is the
 * source. */
struct lethe_devno lethe_blocks_resolve(void *context, const char *shown);

#endif
