/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * keys: takes the keys out of all dm-crypt devices, before anything else is asked of the system.
 *
 * The devices are found in /sys/class/block alone: no path is looked up and no device opened but
 * /dev/mapper/control, and mounts are read only where pages are swapped out, since whatever puts a
 * request in flight to a device that hangs costs its key (docs/facts.md, The key of a dm-crypt
 * device).
 */
#ifndef LETHE_KERNEL_KEYS_H
#define LETHE_KERNEL_KEYS_H

#include "lethe/kernel/policy.h"
#include "lethe/kernel/supervise.h"

enum lethe_keys {
    LETHE_KEYS_GONE, /* of devices that have lost what they lie on */
    LETHE_KEYS_IDLE, /* those, and all others but of devices that pages are swapped out to, directly
                        or through a file: the pages may be PID 1's or Lethe's */
    LETHE_KEYS_ALL,
};

/* Wipes the keys asked for. Runs inside a worker. Multipath devices are first told to fail what
 * they have no path for; devices whose key is gone already are passed by. Returns how many of the
 * keys asked for are left; 1 when nobody could look. */
unsigned lethe_keys_wipe(enum lethe_keys which, const struct lethe_policy *policy,
                         struct lethe_progress *progress);

/* Cuts the devices whose keys are left off from the disks they lie on, through files too. Runs
 * inside a worker. A device is suspended only once all its requests are done: requests that wait
 * for a slow disk fail then, and only what the disk itself is at is waited for
 * (drivers/scsi/scsi_sysfs.c, store_state_field()). What pages are swapped out to is left alone,
 * unless all keys are to go. Returns the child that goes on with it until it is stopped, or -1. */
pid_t lethe_keys_cut_off(enum lethe_keys which, const struct lethe_progress *progress);
void lethe_keys_stop_cutting(pid_t child);

#endif
