/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * unmount: takes one mount away, and looks how its file system was left.
 *
 * Data for a slow disk are not waited for while there is anything else to do: the unmount goes on
 * in a child, and the mount is out of the way at once. What the file system lies on stays busy
 * until then, and is neither detached nor taken from it meanwhile.
 */
#ifndef LETHE_KERNEL_UNMOUNT_H
#define LETHE_KERNEL_UNMOUNT_H

#include "lethe/kernel/policy.h"
#include "lethe/kernel/supervise.h"
#include "lethe/plan/model.h"

/* Unmounts. Runs inside a worker. `text` is the step; `lazy` says that the mount is to be detached.
 * 0, or -errno: -EBUSY only while daemons or unmounts aside may still need it, -EALREADY when it
 * was given up: its unmount is stuck, and so is its detach. */
int lethe_unmount(const struct lethe_snapshot *snapshot, const struct lethe_mount *mount, bool lazy,
                  const char *text, const struct lethe_policy *policy,
                  struct lethe_progress *progress);

/* Waits for the unmounts that go on aside as long as they make headway. The list of them is empty
 * then; a child that hung is left behind. Runs inside a worker. */
void lethe_unmount_await(const struct lethe_policy *policy, struct lethe_progress *progress);

#endif
