/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * slabinfo: the kernel's caches of objects, from /proc/slabinfo (slabinfo(5), version 2.1): how
 * full they are, and which of them carry what a user wrote.
 */
#ifndef LETHE_PLAN_SLABINFO_H
#define LETHE_PLAN_SLABINFO_H

#include "lethe/plan/text.h"

/* `active` objects are in use, and there is room for `total` in the cache's slabs. */
struct lethe_slabinfo_cache {
    struct lethe_span name;
    uint64_t active, total;
    uint64_t size, per_slab;
};

/* Takes the next line that can be read as a cache's off the text. False at its end. */
bool lethe_slabinfo_next(struct lethe_span *text, struct lethe_slabinfo_cache *cache);

/* What a program can do to have the kernel make an object of a cache. */
enum lethe_slabinfo_maker {
    LETHE_SLABINFO_NO_MAKER,
    LETHE_SLABINFO_PROCESS,
    LETHE_SLABINFO_NAME,      /* of a file, as long as its dentry has room for */
    LETHE_SLABINFO_LONG_NAME, /* one that its dentry has no room for */
    LETHE_SLABINFO_LINK,      /* the target of a symbolic link */
    LETHE_SLABINFO_KEY,
    LETHE_SLABINFO_MESSAGE,   /* System V's */
    LETHE_SLABINFO_ATTRIBUTE, /* the value of an extended attribute */
    LETHE_SLABINFO_ATTRIBUTE_NAME,
    LETHE_SLABINFO_DATAGRAM,
};

/* A family of caches, one for each size of object or a single one. Names and sizes are those of
 * mm/slab_common.c. */
struct lethe_slabinfo_family {
    const char *name;  /* with a '-' at its end where sizes follow: "msg_msg-" */
    uint64_t from, to; /* bytes of an object: of other sizes none with content is known */
    /* The second is for kernels in which messages have caches of their own. Without any the objects
     * are those of a call under way: a cache in which none is left is empty. */
    enum lethe_slabinfo_maker makers[2];
    bool may_be_another; /* in some kernels nothing with content is in it, and no maker meets it */
};

/* Returns the family of a cache that carries what a user wrote, NULL for any other. */
const struct lethe_slabinfo_family *lethe_slabinfo_family(const struct lethe_slabinfo_cache *cache);

#endif
