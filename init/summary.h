/* SPDX-License-Identifier: GPL-3.0-or-later */
/* summary: the last line that Lethe says: what was done, and whether anything is left. */
#ifndef LETHE_INIT_SUMMARY_H
#define LETHE_INIT_SUMMARY_H

#include "end.h"

/* True when nothing that `progress` has counted is known to be
 * left; else what is left is logged. */
bool lethe_summary_is_clean(const struct lethe_end *end, const struct lethe_progress *progress);

/* Returns what is left in bits of page.h; 0 where the verdict is `clean`. */
unsigned lethe_summary_left(const struct lethe_end *end, const struct lethe_progress *progress,
                            bool clean);

/* Logs the line. `clean` is the verdict. */
void lethe_summary_print(const struct lethe_end *end, const struct lethe_progress *progress,
                         bool clean);

/* After an end that is not clean, has pstore keep what was left for the next start, in words that
 * tell of no user: kinds of tasks and numbers. */
void lethe_summary_keep(const struct lethe_progress *progress);

#endif
