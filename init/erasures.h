/* SPDX-License-Identifier: GPL-3.0-or-later */
/* erasures: what lies in RAM and would be erased, with how much that is. */
#ifndef LETHE_INIT_ERASURES_H
#define LETHE_INIT_ERASURES_H

#include <stdbool.h>

#include "lethe/plan/model.h"

struct lethe_erasure {
    const char *path, *type;
    struct lethe_devno devno;
    unsigned long long bytes;
    bool known; /* how many: not where other mounts hide all that show it, or nobody answers */
};

struct lethe_erasures {
    struct lethe_erasure *list;
    size_t n;
};

/* Lists each RAM file system once, and each ramdisk that something is on; Lethe's own armed one is
 * left out. 0, or -ENOMEM. */
int lethe_erasures_list(struct lethe_erasures *erasures, const struct lethe_snapshot *snapshot,
                        struct lethe_arena *arena);

#endif
