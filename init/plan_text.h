/* SPDX-License-Identifier: GPL-3.0-or-later */
/* plan_text: a plan for people. */
#ifndef LETHE_INIT_PLAN_TEXT_H
#define LETHE_INIT_PLAN_TEXT_H

#include "lethe/plan/handed.h"
#include "lethe/plan/stays.h"

/* Marks the mounts that share their paths with others, which are told apart by their ids. To be
 * freed. NULL where there is no memory for it. */
bool *lethe_plan_text_stacked(const struct lethe_snapshot *snapshot);

/* Prints what systemd does before, the steps with their numbers and reasons, what is left, and what
 * could not be seen. `plan` is of handed->after, `stays` of handed->before. 0, or -ENOMEM. */
int lethe_plan_text_print(const struct lethe_plan *plan, const struct lethe_handed *handed,
                          const struct lethe_stays_list *stays);

/* Prints all that concerns what is mounted at a path, or a device or swap by one of its names, with
 * what comes before and after it; of a path to anything else, what concerns the mount that it is
 * on. 0, -ENOMEM, or -ENODEV, reported, when nothing has that name. */
int lethe_plan_text_explain(const struct lethe_plan *plan, const struct lethe_handed *handed,
                            const struct lethe_stays_list *stays, const char *name);

#endif
