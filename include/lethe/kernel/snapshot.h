/* SPDX-License-Identifier: GPL-3.0-or-later */
/* snapshot: reads /proc and /sys below a root and calls the parsers of lib/plan. */
#ifndef LETHE_KERNEL_SNAPSHOT_H
#define LETHE_KERNEL_SNAPSHOT_H

#include "lethe/plan/model.h"
#include "lethe/plan/mountinfo.h"

/* Reads what the system, or the captured tree below the directory `root`, says now. Everything lies
 * in `arena`. `live` allows to ask devices and files themselves (which file system hosts a loop's
 * file), which a captured tree can't answer. 0, or -errno: no mountinfo to be read, or -ENOMEM.
 * What else is missing is left out. */
int lethe_snapshot_take(struct lethe_snapshot *snapshot, int root, bool live,
                        struct lethe_arena *arena, const struct lethe_complaint *complaint);

/* Reads the list of mounts alone, which no device can hang. The arena is mapped for it; its base is
 * NULL when there is none. */
void lethe_snapshot_take_mounts(struct lethe_snapshot *snapshot, struct lethe_arena *arena);

/* Maps an arena as large as the machine allows (1 GiB of addresses down to 1 MiB), touched only as
 * it is used; base is NULL when there is none. */
struct lethe_arena lethe_snapshot_map_arena(void);

/* Logs each complaint as a line. */
extern const struct lethe_complaint lethe_snapshot_complain_to_log;

#endif
