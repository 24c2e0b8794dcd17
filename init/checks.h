/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * checks: what a machine's settings mean for its end. Each reads a file of /proc or /sys and says
 * what to do; what can't be read is not told, as nothing is known of it.
 */
#ifndef LETHE_INIT_CHECKS_H
#define LETHE_INIT_CHECKS_H

#include <stdbool.h>

#include "findings.h"

/* Whether the kernel clears what is freed, as its arguments and its configuration say. */
void lethe_check_clearing(struct lethe_findings *findings);

/* Ways round the end: other kernels, keys, settings of PID 1's. */
void lethe_check_ways_round(struct lethe_findings *findings);

/* What keeps copies of memory: swap's caches, hibernation, devices' memory, buffers for DMA. */
void lethe_check_copies(struct lethe_findings *findings);

/* What the hardware and the firmware do for it. */
void lethe_check_hardware(struct lethe_findings *findings);

#endif
