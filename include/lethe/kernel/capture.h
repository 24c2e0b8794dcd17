/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * capture: writes a snapshot as a tree of /proc and /sys files, from which a snapshot can be taken
 * again that gives the same plan, on another machine and at another time.
 *
 * Written from the snapshot, not copied, so that nothing gets in but what a plan is made from: no
 * key, no table of a device, no file's content. What only a running system can answer stands in the
 * tree where nothing stands in a real one: which file system hosts a loop's file in
 * loop/backing_dev, the number behind a name of a device in a file by that name. A FUSE union's
 * layers are in a made up command line.
 */
#ifndef LETHE_KERNEL_CAPTURE_H
#define LETHE_KERNEL_CAPTURE_H

#include "lethe/plan/model.h"

/* Writes into the empty directory `dir` (a descriptor). `keep_names` leaves names as they are; else
 * those that tell of a user are replaced (names.h). 0, or -errno. Cuts from `arena`. */
int lethe_capture(int dir, const struct lethe_snapshot *snapshot, bool keep_names,
                  struct lethe_arena *arena);

#endif
