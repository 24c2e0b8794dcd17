/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * plan: from a snapshot to the ordered steps that take it apart.
 *
 * The steps are nodes of a graph and its edges say what must come first, and why (enum lethe_why):
 *   - The mounts on a mount go before it. They are known by its id, never by a path's beginning.
 *   - A union goes before the mounts that show its branches, but not before those that lie on it.
 *     It holds their file systems by itself, so it also goes before the devices that these are on.
 *   - A union, and what lies on a device, goes before the devices that nobody is seen to use, for
 *     it may hold them too. A union with a branch that no mount shows goes before every device, and
 *     so does the file that keeps a mount namespace, whose mounts nobody sees. The exception is a
 *     device that has to go before them, such as a loop whose file lies in the union.
 *   - A mount or a swap goes before the devices that it is on, a holder before its slaves, a
 *     partition before its disk, a loop before the device that its file is on where no mount shows
 *     that.
 *   - A mount, a swap or a loop that lies in a file goes before the mounts of the file system that
 *     hosts the file, and where that is a union's, before those of its writable branch.
 *   - A RAM-backed file system is erased before the last mount that shows it goes, and after the
 *     loops that write to its files are detached. Where no mount shows the whole of it, each part
 *     that is shown is erased by itself.
 *   - What covers a mount, so that no path leads to it, goes before the mount and its erasure.
 * Among what is free to go, erasures come first (they can't hang), then mounts and swaps, then
 * devices. The views come last: mounts of RAM and of pseudo file systems, which hold no data any
 * more. Of each kind the newest goes first; of the views, what is mounted on the newest mount.
 * Where a cycle leaves nothing free, an erasure or else the deepest mount in it goes before its
 * turn and is marked lazy. The same snapshot gives the same plan every time.
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

/* `together` is the length of a run of unmounts that begins with this step and that one strip()
 * (sys.h) of their parent may replace: they are all that is left on the parent, which goes later
 * and is found by its path, and no data are behind them. It is 0 where the step goes by itself. */
struct lethe_step {
    enum lethe_step_kind kind;
    size_t index;
    bool lazy;          /* breaks a cycle: a mount is to be detached, not unmounted */
    const char *reason; /* static text */
    size_t together;
};

/* An erasure is the zeroing of what a mount shows. Mounts, swaps, erasures and the devices that can
 * be stopped or erased become steps. The other kinds are moments, which keep the graph small. */
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

/* Returns text that can stand between the names of two nodes, such as "lies on". Static text. */
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

/* Makes the plan. 0, or -ENOMEM. */
int lethe_plan_make(struct lethe_plan *plan, const struct lethe_snapshot *snapshot,
                    const struct lethe_plan_options *options, struct lethe_arena *arena);

/* Returns how many nodes there are, used or not. */
size_t lethe_plan_count_nodes(const struct lethe_snapshot *snapshot);

/* Returns the number of the node that a step was made from. */
size_t lethe_plan_step_node(const struct lethe_snapshot *snapshot, const struct lethe_step *step);

/* Returns the node that has a number. */
struct lethe_node lethe_plan_node(const struct lethe_snapshot *snapshot, size_t node);

/* Returns the word for a kind of node, as lethe-plan(5) has it. */
const char *lethe_node_kind_name(enum lethe_node_kind kind);

/* Returns what a step does, as one word: "erase", "unmount", "detach", "swapoff" or "stop". */
const char *lethe_step_verb(const struct lethe_step *step);

/* Writes a line for a step, such as "unmount /oldroot/run (tmpfs)". It is harmless on a console,
 * and the name is cut so that all fits into `size`. Returns out. */
char *lethe_step_print(char *out, size_t size, const struct lethe_step *step,
                       const struct lethe_snapshot *snapshot);

/* Writes what a node is, without a verb: "/oldroot/run (tmpfs)", "home (crypt)". */
char *lethe_node_print(char *out, size_t size, struct lethe_node node,
                       const struct lethe_snapshot *snapshot);

/* Returns the word for a kind of device, as lethe-plan(5) has it. */
const char *lethe_block_kind_name(enum lethe_block_kind kind);

#endif
