/* SPDX-License-Identifier: GPL-3.0-or-later */
/* swap: where what is swapped out comes to lie, followed down to the disks: through files, loops,
 * unions' writable branches, device-mapper, MD, and the device that a zram writes back to. */
#ifndef LETHE_PLAN_SWAP_H
#define LETHE_PLAN_SWAP_H

#include "lethe/plan/model.h"

/* Ordered from good to bad: of several ways down the worst counts. */
enum lethe_swap_place {
    LETHE_SWAP_RAM,       /* nowhere else */
    LETHE_SWAP_ENCRYPTED, /* on a disk, below dm-crypt */
    LETHE_SWAP_UNKNOWN,   /* the way down is lost */
    LETHE_SWAP_REMOTE,    /* on another machine, not encrypted by this one */
    LETHE_SWAP_PLAIN,     /* on a disk as it is */
};

enum lethe_swap_place lethe_swap_place(const struct lethe_snapshot *snapshot,
                                       const struct lethe_swap *swap);

/* Says why it stays when all is taken apart; NULL where nothing does. Static text. */
const char *lethe_swap_stays(enum lethe_swap_place place);

#endif
