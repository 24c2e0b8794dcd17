/* SPDX-License-Identifier: GPL-3.0-or-later */
/* zoneinfo: the numbers of /proc/zoneinfo (proc(5), mm/vmstat.c). */
#ifndef LETHE_PLAN_ZONEINFO_H
#define LETHE_PLAN_ZONEINFO_H

#include "lethe/plan/text.h"

/* Returns how many free pages processors keep on lists of their own, all zones and orders together:
 * MemFree does not count them and no flag marks them as free. */
uint64_t lethe_zoneinfo_kept(struct lethe_span text);

#endif
