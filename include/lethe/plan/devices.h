/* SPDX-License-Identifier: GPL-3.0-or-later */
/* devices: what kind of block device a directory of /sys/class/block is. */
#ifndef LETHE_PLAN_DEVICES_H
#define LETHE_PLAN_DEVICES_H

#include "lethe/plan/model.h"

/* Tells the kind from the kernel's name ("dm-0", "loop7", "sda1") and, for device-mapper, its uuid:
 * cryptsetup's begin with "CRYPT-" (cryptsetup lib/libdevmapper.c), but not all of these devices
 * hold a key. An MD array can have any name ("md_home": md_alloc_and_put() in drivers/md/md.c):
 * `md` says that its directory has an md/. */
enum lethe_block_kind lethe_devices_kind(const char *name, const char *dm_uuid, bool md);

/* Ties mounts and swaps to the devices below them: by number, and for file systems that have an
 * anonymous number (btrfs) or for swaps by the device that the name in their source leads to. An
 * xfs's log and realtime device, which its options name, come beside its device. `resolve` gives
 * the number behind such a name, 0:0 for none. 0, or -ENOMEM. */
int lethe_devices_tie(struct lethe_snapshot *snapshot,
                      struct lethe_devno (*resolve)(void *context, const char *path), void *context,
                      struct lethe_arena *arena);

/* Notes that the file system on `device` lies on `other` too. At most 32 are kept. 0, or
 * -ENOMEM. */
int lethe_devices_add_beside(const struct lethe_snapshot *snapshot, size_t device, size_t other,
                             struct lethe_arena *arena);

#endif
