/* SPDX-License-Identifier: GPL-3.0-or-later */
/* below: all devices that have to work for one device, or for a swap, to be read. The files of
 * loops and swaps are followed too. */
#ifndef LETHE_PLAN_BELOW_H
#define LETHE_PLAN_BELOW_H

#include "lethe/plan/model.h"

/* Sets marks[i] for `block` and each device below it; `marks` has snapshot->n_blocks of them, and
 * those that are set already are walked no more. */
void lethe_below_mark(const struct lethe_snapshot *snapshot, size_t block, bool *marks);

/* Sets marks[i] for each device that a swap lies on. */
void lethe_below_mark_swap(const struct lethe_snapshot *snapshot, const struct lethe_swap *swap,
                           bool *marks);

#endif
