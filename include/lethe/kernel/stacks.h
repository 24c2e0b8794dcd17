/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * stacks: what the kernel keeps of dead processes' stacks. Each processor keeps two for the
 * processes that begin there next (kernel/fork.c: cached_stacks), with the registers of the dead in
 * them, and all else that the kernel copied there. They are not freed, so neither the kernel's
 * clearing nor a filler gets them.
 */
#ifndef LETHE_KERNEL_STACKS_H
#define LETHE_KERNEL_STACKS_H

#include <stdbool.h>

/* Begins and ends processes on each processor, whose stacks the kernel clears before they are used
 * again. False when not all of them could begin. */
bool lethe_stacks_overwrite(void);

#endif
