/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * slab: what freed kernel objects still hold.
 *
 * File names, targets of symbolic links, extended attributes, messages and the registers of
 * processes lie in objects of the kernel's slab caches. When they are freed their bytes stay until
 * the slot is used again (init_on_free apart), and one object that lives on keeps its whole slab
 * from being given back, so that no filler of free memory gets there. Therefore as many new objects
 * are made, of each cache that holds such things, as it has free slots: with content that is
 * nobody's, and all at once, and more until the cache is seen to grow. Which caches those are is
 * decided by what the running kernel lists (slabinfo.h), which calls make them in slab_makers.h.
 */
#ifndef LETHE_KERNEL_SLAB_H
#define LETHE_KERNEL_SLAB_H

#include <stdint.h>

/* Waits for what is freed after an RCU grace period (kernel/rcu/tree.c: do_rcu_barrier), then lets
 * every cache give back its empty slabs and what it keeps for each processor, which from then on is
 * no more than two slabs (/sys/kernel/slab/CACHE/shrink and cpu_partial). */
void lethe_slab_settle(void);

struct lethe_slab_refilled {
    uint64_t objects; /* how many were made */
    uint64_t left;    /* free slots that are yet to be used again, as far as known: of caches that
                         were not seen to grow, or that no call of a program reaches */
    char cache[32];   /* the name of one of these caches */
};

/* Overwrites the free slots, until `end_ms` (lethe_sys_now_ms()) at most. 0, or -errno of what
 * could not be had: /proc/slabinfo (CONFIG_SLUB and root), a detached tmpfs (Linux 5.2). */
int lethe_slab_refill(int64_t end_ms, struct lethe_slab_refilled *refill);

#endif
