/* SPDX-License-Identifier: GPL-3.0-or-later */
/* checks: what a machine's settings mean for its end. Each check reads a file of /proc or /sys and
 * says what to do. What can't be read is not reported, as nothing is known of it. */
#ifndef LETHE_INIT_CHECKS_H
#define LETHE_INIT_CHECKS_H

#include <stdbool.h>

#include "findings.h"

/* Checks whether the kernel clears what is freed, by its arguments and its configuration. */
void lethe_checks_clearing(struct lethe_findings *findings);

/* Checks for ways round the end: other kernels, keys, settings of PID 1. */
void lethe_checks_ways_round(struct lethe_findings *findings);

/* Checks for copies of memory: swap's caches, hibernation, devices' memory, buffers for DMA. */
void lethe_checks_copies(struct lethe_findings *findings);

/* Checks what the hardware and the firmware do for the end. */
void lethe_checks_hardware(struct lethe_findings *findings);

#endif
