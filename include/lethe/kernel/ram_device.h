/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ram_device: zeroes the blocks of a ramdisk (brd) in place.
 *
 * A page of a ramdisk comes into being when its block is first written, and stays until the module
 * goes; no interface says which are there. So each block is read, past the page cache (O_DIRECT),
 * and written only if it holds anything: a ramdisk that nobody used stays empty. What was read is
 * wiped from the buffer. zram is another matter: a page that is written anew gets a new place
 * there, so it is reset (stop.h), which frees its pages.
 */
#ifndef LETHE_KERNEL_RAM_DEVICE_H
#define LETHE_KERNEL_RAM_DEVICE_H

#include <stdbool.h>

#include "lethe/plan/model.h"

/* Zeroes the whole device; the bytes that held anything go onto *bytes. 0, or -errno of the first
 * block that could not be zeroed; the others are zeroed nevertheless. -EBUSY when all are zeroed
 * but something still uses the device and may write to it once more. */
int lethe_ram_device_erase(const struct lethe_block *block, uint64_t *bytes);

/* True when the whole device was read and holds nothing but zeroes. */
bool lethe_ram_device_is_zero(const struct lethe_block *block);

#endif
