/* SPDX-License-Identifier: GPL-3.0-or-later */
/* offline: has a disk fail what waits for it, by its driver's own interface. */
#ifndef LETHE_KERNEL_OFFLINE_H
#define LETHE_KERNEL_OFFLINE_H

#include <stdbool.h>

#include "lethe/plan/model.h"

/* Sets a disk of the kernel's SCSI layer (USB, SATA, iSCSI) offline, so that everything fails from
 * now on. A disk whose transport is lost keeps what waits for it, and is removed instead. A
 * partition has no device/ of its own, so its disk's is written too. A suspended device of the
 * device mapper, which has everything wait, fails from now on as well. `name` is the kernel's, as
 * below /sys/class/block; any other device is left alone. */
void lethe_offline_set(const char *name);

/* Resets an NVMe controller: what it is at fails, and is not tried again. It takes new requests
 * afterwards, unless it is reached over a network: it is then removed. False when the device is no
 * such disk. It may take as long as the controller. */
bool lethe_offline_reset(const char *name);

/* Has all multipath devices fail what they have no path for; unless `always`, only those that have
 * none left (stop.h). Waits for no device. */
void lethe_offline_stop_queueing(bool always);

enum { LETHE_OFFLINE_UUID_MAX = 160 }; /* DM_UUID_LEN is 129 */

/* Reads a device-mapper device from sysfs alone. *block points to `name` and `uuid`. */
bool lethe_offline_find_dm(const char *name, struct lethe_block *block,
                           char uuid[LETHE_OFFLINE_UUID_MAX]);

#endif
