/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * plan: from a snapshot to the ordered steps that take it apart.
 *
 * The steps are the nodes of a graph and its edges say what must come first:
 *   - a mount's children before it, by mount id, never by path prefix;
 *   - a union before the mounts that show its branches, and before every device where a branch is
 * shown by none;
 *   - a mount or a swap before the device that it is on, a holder before its slaves, a partition
 * before nothing;
 *   - a mount, a swap or a loop that lies in a file before the mounts of the file system that hosts
 * the file;
 *   - RAM-backed file systems are erased before the last mount that shows them goes, and after the
 * loops that write to their files are detached;
 *   - what covers a mount, so that no path leads to it, before the mount and its erasure.
 * Among what is free to go, erasures come first (they can't hang), then mounts and swaps, then
 * devices; the newest first. Where a cycle leaves nothing free, an erasure or else the newest mount
 * in it goes before its turn and is marked lazy. The same snapshot gives the same plan every time.
 */
#ifndef LETHE_PLAN_H
#define LETHE_PLAN_H

#include "lethe/model.h"

enum lethe_step_kind {
    LETHE_STEP_ERASE,   /* index: a mount that shows the RAM-backed file system */
    LETHE_STEP_UNMOUNT, /* index: a mount */
    LETHE_STEP_SWAPOFF, /* index: a swap */
    LETHE_STEP_STOP,    /* index: a block device: dm removal, loop detach, md stop, zram reset */
};

struct lethe_step {
    enum lethe_step_kind kind;
    size_t index;
    bool lazy;          /* breaks a cycle: a mount is to be detached, not unmounted */
    const char *reason; /* static text */
};

struct lethe_plan {
    struct lethe_step *steps;
    size_t n_steps;
};

struct lethe_plan_options {
    bool own_root; /* the reader's root is Lethe's own: it stays */
};

/* 0, or -ENOMEM. */
int lethe_plan_make(struct lethe_plan *plan, const struct lethe_snapshot *snapshot,
                    const struct lethe_plan_options *options, struct lethe_arena *arena);

/* One line of text for a step, such as "unmount /oldroot/run (tmpfs)"; harmless on a console, cut
 * to `size`. Returns out. */
char *lethe_step_print(char *out, size_t size, const struct lethe_step *step,
                       const struct lethe_snapshot *snapshot);

#endif
