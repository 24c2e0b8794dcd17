/* SPDX-License-Identifier: GPL-3.0-or-later */
/* capture: writes a snapshot as a tree of /proc and /sys files, from which a snapshot can be
 * taken again that gives the same plan, on another machine and at another time. The tree is
 * written from the snapshot, not copied, so that nothing gets in but what a plan is made from:
 * no key, no table of a device, no file's content. Answers that only a running system can give
 * stand where a real tree has nothing: the file system of a loop's file in loop/backing_dev, the
 * number behind a device's name in a file by that name. The layers of a FUSE union are in a
 * made-up command line. */
#ifndef LETHE_KERNEL_CAPTURE_H
#define LETHE_KERNEL_CAPTURE_H

#include "lethe/plan/model.h"

/* Writes into the empty directory `dir` (a descriptor). `keep_names` leaves names as they are; else
 * those that tell of a user are replaced (names.h). 0, or -errno. Cuts from `arena`. */
int lethe_capture(int dir, const struct lethe_snapshot *snapshot, bool keep_names,
                  struct lethe_arena *arena);

#endif
