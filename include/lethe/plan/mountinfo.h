/* SPDX-License-Identifier: GPL-3.0-or-later */
/* mountinfo: the lines of /proc/PID/mountinfo (proc(5), Documentation/filesystems/proc.rst 3.5). */
#ifndef LETHE_PLAN_MOUNTINFO_H
#define LETHE_PLAN_MOUNTINFO_H

#include "lethe/plan/model.h"

/* Receives each line that a parser can't use; the parser goes on with the next. `line` counts from
 * 1. */
struct lethe_complaint {
    void (*tell)(void *context, const char *file, size_t line, struct lethe_span text,
                 const char *why);
    void *context;
};

/* Fills snapshot->mounts. Malformed lines go to `complaint` and are left out. 0, or -ENOMEM. */
int lethe_mountinfo_parse(struct lethe_snapshot *snapshot, struct lethe_span text,
                          struct lethe_arena *arena, const struct lethe_complaint *complaint);

/* Fills snapshot->swaps from the text of /proc/swaps; the devices are not resolved yet. Malformed
 * lines go to `complaint` and are left out. 0, or -ENOMEM. */
int lethe_mountinfo_parse_swaps(struct lethe_snapshot *snapshot, struct lethe_span text,
                                struct lethe_arena *arena, const struct lethe_complaint *complaint);

#endif
