/* SPDX-License-Identifier: GPL-3.0-or-later */
/* blocks: the block devices of a snapshot, from /sys/class/block. */
#ifndef LETHE_KERNEL_BLOCKS_H
#define LETHE_KERNEL_BLOCKS_H

#include "lethe/kernel/source.h"

/* Fills the snapshot's devices, in the order of their numbers, with all that /sys says of each. 0,
 * or -ENOMEM. */
int lethe_blocks_read(struct lethe_source *source);

/* Adds what file systems lie on beside the device of their mounts; called after
 * lethe_devices_tie(). 0, or -ENOMEM. */
int lethe_blocks_read_beside(const struct lethe_source *source);

/* Returns the number of the device that a name in /dev leads to, 0:0 for none. The context is the
 * source. */
struct lethe_devno lethe_blocks_resolve(void *context, const char *shown);

#endif
