/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bounce: the pool of bounce buffers, "software IO TLB" (swiotlb; kernel/dma/swiotlb.c). Data of a
 * device that can't reach all of memory and has no IOMMU are copied through slots of 2 KiB in a
 * pool that is taken at boot. Nothing ever clears it, not even init_on_free. Each mapping takes the
 * slots behind those of the one before, within the processor's own share of the pool, so a disk
 * that uses the pool overwrites all of it when the same place is read over and over. Nothing is
 * written to the disk. The pool is found by its symbol in /proc/kallsyms (CONFIG_KALLSYMS_ALL) and
 * read through /proc/kcore. */
#ifndef LETHE_KERNEL_BOUNCE_H
#define LETHE_KERNEL_BOUNCE_H

#include <stdint.h>

#include "lethe/kernel/policy.h"
#include "lethe/kernel/supervise.h"

struct lethe_bounce {
    uint64_t size_kib; /* 0: there is no such pool */
    uint64_t used_kib; /* of slots that are not all zero */
};

/* Measures how much of the pool holds what went through it. 0, or -errno when it can't be seen. */
int lethe_bounce_look(struct lethe_bounce *bounce);

/* Overwrites the pool as far as that can be done within a third of policy->erase_ms. What still
 * holds anything but zeroes and what was just read from the disks is logged with its size and
 * counted in progress->account.kept. Runs inside a worker. */
void lethe_bounce_overwrite(const struct lethe_policy *policy, struct lethe_progress *progress);

#endif
