/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * fill: what is known of free memory at the end, and the words for it.
 *
 * It is counted while fillers hold all that they could get (filler.h), so that what is free then is
 * what they have missed. lethe(8) defines the words.
 */
#ifndef LETHE_PLAN_FILL_H
#define LETHE_PLAN_FILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lethe_fill_look {
    LETHE_FILL_LOOK_NONE,    /* nobody has looked, or the look has not ended */
    LETHE_FILL_LOOK_REFUSED, /* the kernel shows nobody what is in memory */
    LETHE_FILL_LOOK_PART,    /* the time was over, or some of it could not be read */
    LETHE_FILL_LOOK_WHOLE,
};

/* held_kib is what fillers held when they had all that they could get (is_filled), and free_kib
 * what was free then. */
enum { LETHE_FILL_UNKNOWN_KIB_MAX = 8192 }; /* more of what nobody knows counts as left */

struct lethe_fill {
    bool kernel_clears; /* the kernel was seen to zero what is freed */
    bool is_filled;
    uint64_t held_kib, free_kib;
    uint64_t kept_kib; /* free, but on a processor's own list, where nobody can look */
    enum lethe_fill_look look;
    uint64_t read_kib; /* how much of what was free has been read */
    uint64_t not_zero; /* how many pages of it hold something */
};

/* True when nothing is known to be left in free memory, and at most a little of it was neither
 * filled nor read. */
bool lethe_fill_is_clean(const struct lethe_fill *fill);

/* Writes what the summary says of free memory into out[size]. */
void lethe_fill_print(char *out, size_t size, const struct lethe_fill *fill);

#endif
