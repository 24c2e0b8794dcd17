/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * crypt_system: a system with crypt devices, made of files in a jail.
 *
 * HOME lies on the partition sda1, OTHER on the disk sdb, VOLUME on OTHER and VERITY on sda1; what
 * the rest lie on is not known. loop0 has the file /data/file. What is asked of the kernel is
 * counted, and what is written to /sys is written to these files.
 */
#ifndef LETHE_TEST_CRYPT_SYSTEM_H
#define LETHE_TEST_CRYPT_SYSTEM_H

#include <stdbool.h>

#include "lethe/kernel/supervise.h"

enum { HOME, OTHER, VOLUME, VERITY, BY_HAND, LINEAR, PATHS, DEVICES }; /* dm-0, … */

/* `swap` holds the lines of /proc/swaps, `data` is the number of the file system on /data (else it
 * is the one on OTHER), `slave` one more link below /sys/class/block; each may be NULL. Of the
 * masks of devices `refused` take no new table, `finished` have lost their key before, and at
 * `stuck` a worker has hung. */
struct crypt_system {
    const char *swap, *data, *slave;
    bool no_mounts; /* they can't be read */
    bool blocked;   /* the transport of sda */
    unsigned refused, finished, stuck;
};

/* To be shared with the jail. */
struct crypt_seen {
    unsigned asked[DEVICES], wiped[DEVICES]; /* requests that change a device; "key wipe" */
    unsigned told_in_time;                   /* PATHS was told not to queue before any request */
    unsigned resets;                         /* of nvme0n1's controller */
};

/* In the jail: makes the files and points lethe_sys at them. Returns what a worker begins with. */
struct lethe_progress *crypt_system_put(const struct crypt_system *system, struct crypt_seen *seen);

#endif
