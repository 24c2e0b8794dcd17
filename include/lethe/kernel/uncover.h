/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * uncover: what the initramfs left mounted on its own root.
 *
 * The system's root is mounted over the initramfs's, and so is Lethe's after its pivot. What was
 * mounted there before, such as casper's branch and its layers, is still mounted: no path leads to
 * it, mountinfo does not show it, and it holds RAM and loops.
 */
#ifndef LETHE_KERNEL_UNCOVER_H
#define LETHE_KERNEL_UNCOVER_H

#include <stdbool.h>
#include <stdint.h>

/* True when nothing but Lethe's own is mounted any more, and something is below. A child looks, in
 * mounts of its own, for up to `ms`. */
bool lethe_uncover_finds(int64_t ms);

/* Takes Lethe's root away, so that the initramfs's is the root of this process, with /proc, /sys
 * and /dev. 0, or -errno. */
int lethe_uncover(void);

/* Returns a copy of the mount of the RAM file system that this path leads into on the initramfs's
 * root, as open_tree(2) does, or -errno. Only for a child: it loses its directories. */
int lethe_uncover_copy(const char *path);

#endif
