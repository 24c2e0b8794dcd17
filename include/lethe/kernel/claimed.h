/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * claimed: asks a block device itself whether a file system is still on it, and the file system
 * whether it was closed.
 *
 * umount(2)'s 0 is no proof: a file system that the kernel holds for another use, or that was
 * detached, is in no mountinfo any more and yet mounted. It then has its directory in /sys/fs, and
 * the kernel opens no device for a second holder (open(2), O_EXCL for a block device).
 */
#ifndef LETHE_KERNEL_CLAIMED_H
#define LETHE_KERNEL_CLAIMED_H

#include <stdbool.h>

#include "lethe/plan/model.h"

/* Returns which kind of file system the kernel has on the device, by the directories in /sys/fs:
 * static text, NULL where it names none. No device is touched; not every kind has such a
 * directory. */
const char *lethe_claimed_by(const struct lethe_block *block);

/* True when anybody holds the device. It is opened, which may hang. */
bool lethe_claimed_is_held(const struct lethe_block *block);

/* Reads the superblock from the device, past the page cache. Returns 1 for an ext2, ext3 or ext4
 * that was not closed, or that has noted errors; 0 for any other; -errno where it can't be read.
 * May hang. */
int lethe_claimed_is_unclean(const struct lethe_block *block);

#endif
