/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * release: has the kernel let go of file systems that it holds in a state or for a use of its own.
 *
 * A frozen file system (ioctl_fsfreeze(2)) and one on a suspended device-mapper device let nobody
 * write: whoever tries can't be killed, and an unmount waits for ever. A uprobe holds the file that
 * it is set in, and so its file system, when every mount of it has gone.
 */
#ifndef LETHE_KERNEL_RELEASE_H
#define LETHE_KERNEL_RELEASE_H

#include "lethe/kernel/policy.h"
#include "lethe/kernel/supervise.h"
#include "lethe/plan/model.h"

/* Thaws file systems on devices, and resumes suspended devices where data are written back. Runs
 * inside a worker, before any process is ended. A device without its key can't be resumed. */
void lethe_release_frozen(const struct lethe_snapshot *snapshot, const struct lethe_policy *policy,
                          struct lethe_progress *progress);

/* Removes all uprobes (Documentation/trace/uprobetracer.rst), and leaves tracefs mounted in that
 * root: under lockdown=confidentiality Linux 6.12 fails in tracefs_destroy_inode() when it is
 * unmounted for the last time, and loses locks that the end needs (test_live.py hardened). Runs
 * inside a worker, in a root with a /sys, when those who have made them are gone. */
void lethe_release_probes(const struct lethe_policy *policy, struct lethe_progress *progress);

#endif
