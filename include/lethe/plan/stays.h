/* SPDX-License-Identifier: GPL-3.0-or-later */
/* stays: what is there when a plan has been carried out, and why. */
#ifndef LETHE_PLAN_STAYS_H
#define LETHE_PLAN_STAYS_H

#include "lethe/plan/roles.h"

enum lethe_stays_kind {
    LETHE_STAYS_MOUNT,  /* index: a mount */
    LETHE_STAYS_DEVICE, /* index: a device that is not taken apart */
    LETHE_STAYS_SWAP,   /* index: a swap; what was written to it */
    LETHE_STAYS_BRANCH, /* index: a union, and its writable branch that leads nowhere */
};

struct lethe_stays {
    enum lethe_stays_kind kind;
    size_t index, branch;
    const char *reason; /* static text */
};

struct lethe_stays_list {
    struct lethe_stays *list;
    size_t n;
    enum lethe_role *roles; /* of all devices */
    enum lethe_origin origin;
};

/* Lists all of it, cut from `arena`. 0, or -ENOMEM. */
int lethe_stays_find(struct lethe_stays_list *left, const struct lethe_snapshot *snapshot,
                     bool own_root, struct lethe_arena *arena);

/* Returns what is to be said of the medium where it is not seen; NULL where it is. Static text. */
const char *lethe_stays_origin_text(enum lethe_origin origin);

/* Names what could not be seen, one of LETHE_UNSEEN_*. Static text. */
const char *lethe_stays_unseen_text(enum lethe_unseen unseen);

#endif
