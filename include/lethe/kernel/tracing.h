/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tracing: the kernel's tracer (Documentation/trace/ftrace.rst), which outlives whoever has used it:
 * its probes hold files, its rings what was recorded. */
#ifndef LETHE_KERNEL_TRACING_H
#define LETHE_KERNEL_TRACING_H

#include <stdbool.h>

/* Mounts tracefs at /sys/kernel/tracing, where it is not. False where there is none. */
bool lethe_tracing_open(void);

/* Removes the tracer's instances, and all uprobes. */
void lethe_tracing_remove_probes(void);

/* Frees what the main ring can do without, and overwrites the rest on each processor. */
void lethe_tracing_clear(void);

#endif
