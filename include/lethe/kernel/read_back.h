/* SPDX-License-Identifier: GPL-3.0-or-later */
/* read_back: looks at free memory through /proc/kpageflags, which says what is free, and
 * /proc/kcore (kcore.h). What is read is compared with zero and kept nowhere. Pages on a
 * processor's own list have no flag (mm/page_alloc.c: they wait there to be used again);
 * /proc/zoneinfo says how many there are. What the kernel or a process has in use is not judged. */
#ifndef LETHE_KERNEL_READ_BACK_H
#define LETHE_KERNEL_READ_BACK_H

#include "lethe/plan/fill.h"

/* Opens what the look needs. That takes memory, so it is done before memory is filled. 0, or -errno
 * where nothing can be seen; the number of pages that processors keep may be known even then. */
int lethe_read_back_open(void);
void lethe_read_back_close(void);

/* Has the kernel take back what processors keep of each zone, so that it can be filled and looked
 * at, until end_ms at the latest. The kernel drains their lists before it takes a page out of
 * service (mm/memory-failure.c: __page_handle_poison()); one free page of each zone that is zero is
 * given up to that end each time. Does nothing where pages can't be looked at or the kernel has no
 * such file. */
void lethe_read_back_drain(int64_t end_ms);

/* Returns how much of free memory processors keep on their own lists. */
uint64_t lethe_read_back_kept_kib(void);

/* Looks at about `pages_max` free pages (0: at all), until end_ms at the latest, and fills in what
 * `fill` says of the look. */
void lethe_read_back(uint64_t pages_max, int64_t end_ms, struct lethe_fill *fill);

#endif
