/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * apart: takes the old system apart, and says what is left of it.
 *
 * What a daemon serves goes first, and then the daemon; data for a slow disk are waited for last,
 * when all else is done, free memory cleared too.
 */
#ifndef LETHE_INIT_APART_H
#define LETHE_INIT_APART_H

#include "end.h"

/* Takes the system apart. 0 when nothing is left, 1 when something is, else -errno: the work ended
 * before it was done. */
int lethe_apart(struct lethe_end *end, struct lethe_progress *progress,
                const struct lethe_supervisor *supervisor);

/* Lists the processes that must not end before what they serve, where data are written back:
 * progress->daemons. end->served says whether there are any. */
void lethe_apart_find_daemons(struct lethe_end *end, struct lethe_progress *progress);

#endif
