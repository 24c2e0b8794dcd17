/* SPDX-License-Identifier: GPL-3.0-or-later */
/* slabinfo: how full the kernel's caches of objects are, from /proc/slabinfo (slabinfo(5),
 * version 2.1). */
#ifndef LETHE_SLABINFO_H
#define LETHE_SLABINFO_H

#include "lethe/text.h"

struct lethe_slab_cache {
    uint64_t active,
        total; /* objects in use, and those that there is room for in the cache's slabs */
    uint64_t per_slab;
};

/* The line of the cache of this name. False when there is none, or it can't be read as one. */
bool lethe_slabinfo(struct lethe_span text, const char *name, struct lethe_slab_cache *cache);

#endif
