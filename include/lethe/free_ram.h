/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * free_ram: what lies in memory that nobody owns any more.
 *
 * A filler process takes all free memory, and the kernel zeroes each page that it hands out. The
 * filler is the first that the OOM killer takes; that is its ordinary end. What stays unreachable
 * is what the kernel keeps back (Documentation/admin-guide/ sysctl/vm.rst: min_free_kbytes,
 * lowmem_reserve_ratio), so both are lowered first.
 */
#ifndef LETHE_FREE_RAM_H
#define LETHE_FREE_RAM_H

#include <stdbool.h>
#include <stdint.h>

enum lethe_clearing {
    LETHE_CLEARING_UNKNOWN, /* it could not be seen: no /proc/kcore, or not allowed to read it */
    LETHE_CLEARING_NONE,    /* freed pages keep what was in them */
    LETHE_CLEARING_POISON,  /* freed pages are overwritten, but not with zeroes: freed slab objects
                               are not (page_poison) */
    LETHE_CLEARING_ZERO,    /* freed pages are zeroed (init_on_free), and slab objects by the same
                               switch */
};

/* Sees for itself: writes a known text into pages of its own, frees them and looks at the same
 * physical pages through /proc/self/pagemap and /proc/kcore (proc(5)). Only root can. Nothing but
 * those pages is read. */
enum lethe_clearing lethe_free_ram_clearing(void);

struct lethe_fill {
    uint64_t filled_kib; /* the most that the filler held */
    uint64_t left_kib;   /* MemFree when it held the most */
};

/* Fills free memory once, for at most `ms`. 0, or -ETIMEDOUT with what was reached in *fill, or
 * -errno. */
int lethe_free_ram_fill(int64_t ms, struct lethe_fill *fill);

#endif
