/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * plan: from a snapshot to the ordered steps that take it apart.
 *
 * The steps are nodes of a graph and its edges say what must come first, and why (enum lethe_why):
 *   - a mount's children before it, by mount id, never by path prefix;
 *   - a union before the mounts that show its branches, but those that lie on it; it holds their
 * file systems by itself, so it also goes before the devices that these are on;
 *   - a union, and what lies on a device, before the devices that nobody is seen to use, for it may
 * hold them too; a union with a branch that is shown by no mount before every device; the same for
 * the file that keeps a mount namespace, whose mounts nobody sees; but not before a device that has
 * to go before it, such as a loop whose file lies in the union;
 *   - a mount or a swap before the devices that it is on, a holder before its slaves, a partition
 * before its disk, a loop before the device that its file is on where no mount shows that;
 *   - a mount, a swap or a loop that lies in a file before the mounts of the file system that hosts
 * the file, and where that is a union's, before those of its writable branch;
 *   - RAM-backed file systems are erased before the last mount that shows them goes, and after the
 * loops that write to their files are detached; where no mount shows the whole of one, each part
 * that is shown by itself;
 *   - what covers a mount, so that no path leads to it, before the mount and its erasure.
 * Among what is free to go, erasures come first (they can't hang), then mounts and swaps, then
 * devices, and last the views: mounts of RAM and of pseudo file systems, which hold no data any
 * more. The newest first; views by what they are mounted on, the newest of that first. Where a
 * cycle leaves nothing free, an erasure or else the deepest mount in it goes before its turn and is
 * marked lazy. The same snapshot gives the same plan every time.
 */
#ifndef LETHE_PLAN_PLAN_H
#define LETHE_PLAN_PLAN_H

#include "lethe/plan/model.h"

enum lethe_step_kind {
    LETHE_STEP_ERASE,        /* index: a mount that shows the RAM-backed file system, or a part */
    LETHE_STEP_UNMOUNT,      /* index: a mount */
    LETHE_STEP_SWAPOFF,      /* index: a swap */
    LETHE_STEP_STOP,         /* index: a block device: dm removal, loop detach, md and bcache stop,
                                 zram reset, nbd disconnection */
    LETHE_STEP_ERASE_DEVICE, /* index: a ramdisk, whose blocks are zeroed */
};

struct lethe_step {
    enum lethe_step_kind kind;
    size_t index;
    bool lazy;          /* breaks a cycle: a mount is to be detached, not unmounted */
    const char *reason; /* static text */
    size_t together; /* so many steps from this one on may be done in one call: they are all that is
                        left on one parent, which goes later and is found by its path, and no data
                        are lost. 0: this step goes by itself */
};

/* Mounts, swaps and devices are what they are; an erasure is the zeroing of what a mount shows. The
 * others are no steps but moments, which keep the graph small: */
enum lethe_node_kind {
    LETHE_NODE_MOUNT,
    LETHE_NODE_SWAP,
    LETHE_NODE_DEVICE,
    LETHE_NODE_ERASURE,
    LETHE_NODE_PATH_CLEAR,   /* nothing turns a look-up of the hidden mount's path aside any more */
    LETHE_NODE_FILES_UNUSED, /* no file of the mount's file system is a swap or a loop any more */
    LETHE_NODE_ERASED,       /* all that lies in RAM of the mount's file system is zeroed */
    LETHE_NODE_HOLDERS_GONE, /* nothing is left that may hold a device unseen; see below */
    LETHE_NODE_NAMESPACE,    /* the processes in it have ended, as all have before the first step */
};

/* What may be held unseen: any device, or those that nobody is seen to use. */
enum lethe_holders { LETHE_HOLDERS_OF_ALL, LETHE_HOLDERS_OF_UNUSED, LETHE_HOLDERS_KINDS };

struct lethe_node {
    enum lethe_node_kind kind;
    size_t index;
};

enum lethe_why {
    LETHE_WHY_MOUNTED_ON,
    LETHE_WHY_HIDES,
    LETHE_WHY_LEADS_TO,
    LETHE_WHY_LAYER,
    LETHE_WHY_LAYER_ON,
    LETHE_WHY_MAY_HOLD,
    LETHE_WHY_ON_DEVICE,
    LETHE_WHY_BUILT_ON,
    LETHE_WHY_PART_OF,
    LETHE_WHY_IN_FILE,
    LETHE_WHY_ZEROED,
};

/* As in "the first `lies on` the second": text that can stand between their names. */
const char *lethe_why_text(enum lethe_why why);

struct lethe_edge {
    size_t before, after;     /* nodes */
    size_t next_out, next_in; /* the plan's own use */
    enum lethe_why why;
};

/* What a lazy step stands in a circle with: of a long circle only a part, and never the moments.
 * There is none where the arena had no room for it. */
struct lethe_cycle {
    size_t step;         /* its place among the steps */
    const size_t *nodes; /* the others */
    size_t n;
    const struct lethe_cycle *next; /* of a later step */
};

struct lethe_plan {
    struct lethe_step *steps;
    size_t n_steps;
    const struct lethe_cycle *cycles; /* in the order of the steps */
    const struct lethe_edge *edges;
    size_t n_edges;
};

struct lethe_plan_options {
    bool own_root; /* the reader's root is Lethe's own: it stays */
};

/* 0, or -ENOMEM. */
int lethe_plan_make(struct lethe_plan *plan, const struct lethe_snapshot *snapshot,
                    const struct lethe_plan_options *options, struct lethe_arena *arena);

/* How many nodes there are, used or not. */
size_t lethe_plan_count_nodes(const struct lethe_snapshot *snapshot);

/* Give the number of the node that a step was made from, and the node that has a number. */
size_t lethe_plan_step_node(const struct lethe_snapshot *snapshot, const struct lethe_step *step);
struct lethe_node lethe_plan_node(const struct lethe_snapshot *snapshot, size_t node);
const char *lethe_node_kind_name(enum lethe_node_kind kind);

/* What a step does, as one word: "erase", "unmount", "detach", "swapoff" or "stop". */
const char *lethe_step_verb(const struct lethe_step *step);

/* One line of text for a step, such as "unmount /oldroot/run (tmpfs)"; harmless on a console, the
 * name cut so that all fits into `size`. Returns out. */
char *lethe_step_print(char *out, size_t size, const struct lethe_step *step,
                       const struct lethe_snapshot *snapshot);

/* Writes what a node is, without a verb: "/oldroot/run (tmpfs)", "home (crypt)". */
char *lethe_node_print(char *out, size_t size, struct lethe_node node,
                       const struct lethe_snapshot *snapshot);

const char *lethe_block_kind_name(enum lethe_block_kind kind);

#endif
