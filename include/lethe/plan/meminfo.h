/* SPDX-License-Identifier: GPL-3.0-or-later */
/* meminfo: the numbers of /proc/meminfo (proc(5)). */
#ifndef LETHE_PLAN_MEMINFO_H
#define LETHE_PLAN_MEMINFO_H

#include "lethe/plan/text.h"

/* Returns the KiB behind "NAME:" in the text of /proc/meminfo; 0 when there is no such line. */
uint64_t lethe_meminfo(struct lethe_span text, const char *name);

#endif
