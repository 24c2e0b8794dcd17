/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * keys: takes the keys out of all dm-crypt devices, before anything else is asked of the system.
 *
 * The devices are found in /sys/class/block alone: no mount table is read, no path looked up and no
 * device opened but /dev/mapper/control, since whatever puts a request in flight to a device that
 * hangs costs its key (docs/facts.md, The key of a dm-crypt device).
 */
#ifndef LETHE_KEYS_H
#define LETHE_KEYS_H

#include "lethe/policy.h"
#include "lethe/supervise.h"

enum lethe_keys {
    LETHE_KEYS_GONE, /* of devices that have lost what they lie on */
    LETHE_KEYS_IDLE, /* and of all others but those with pages swapped out to them, which may be
                        PID 1's */
    LETHE_KEYS_ALL,
};

/* Inside a worker. Devices whose key is gone already are passed by. How many keys are left of those
 * that were asked for; 1 when nobody could look. */
unsigned lethe_keys_wipe(enum lethe_keys which, const struct lethe_policy *policy,
                         struct lethe_progress *progress);

/* Inside a worker: cuts the devices whose keys are left off from the disks they lie on. A device is
 * suspended only once all its requests are done: those that wait for a slow disk fail then, and
 * only what the disk itself is at is waited for (drivers/scsi/scsi_sysfs.c,
 * store_state_field()). */
void lethe_keys_cut_off(enum lethe_keys which, const struct lethe_progress *progress);

#endif
