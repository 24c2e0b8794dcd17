/* SPDX-License-Identifier: GPL-3.0-or-later */
/* zoneinfo: the numbers of /proc/zoneinfo (proc(5), mm/vmstat.c). */
#ifndef LETHE_PLAN_ZONEINFO_H
#define LETHE_PLAN_ZONEINFO_H

#include "lethe/plan/text.h"

/* A zone, all in pages. What processors keep is free memory on lists of their own, of all orders
 * together: MemFree does not count it and no flag marks it as free. */
struct lethe_zone {
    uint64_t first, spanned, kept;
};

/* Takes the next zone that has memory off the text. False when there is none. */
bool lethe_zoneinfo_next(struct lethe_span *text, struct lethe_zone *zone);

/* Returns how much processors keep of all zones. */
uint64_t lethe_zoneinfo_kept(struct lethe_span text);

#endif
