/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ways: which ends of this system lead to Lethe. systemd's poweroff, reboot, halt and kexec do by
 * themselves; with another PID 1 its last script has to call `lethe end`.
 */
#ifndef LETHE_INIT_WAYS_H
#define LETHE_INIT_WAYS_H

#include <stdbool.h>

#include "findings.h"

/* An ordinary end that passes Lethe by is a problem, one that has to be asked for by another name a
 * weakness. True when PID 1 is systemd. */
bool lethe_ways_look(struct lethe_findings *findings);

#endif
