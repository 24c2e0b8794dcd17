/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * daemons: the processes that a file system or a block device needs to be closed.
 *
 * They are known by what they have open: /dev/fuse, the attributes of an md array (mdmon), a
 * network block device, the control device of a ublk one, a device for drivers in user space (uio,
 * as a SCSI target has it). multipathd and iscsid have nothing open that tells, and are known by
 * their names. A name that begins with '@' (systemd's sign for them) says nothing: a splash screen
 * has it too.
 */
#ifndef LETHE_KERNEL_DAEMONS_H
#define LETHE_KERNEL_DAEMONS_H

#include "lethe/kernel/supervise.h"

/* Lists the daemons anew in progress->daemons. Runs inside a worker. */
void lethe_daemons_find(struct lethe_progress *progress);

/* Waits up to `ms` for daemons that end by themselves when what they serve has gone, as mdmon does
 * when it has written that its array is clean. Reaps. */
void lethe_daemons_await(const struct lethe_progress *progress, int64_t ms);

#endif
