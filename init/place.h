/* SPDX-License-Identifier: GPL-3.0-or-later */
/* place: /run/initramfs, where systemd-shutdown looks for the last program, and who else wants it.
 * dracut mounts a live medium below it, and unpacks its exitrd there at a shutdown; finalrd,
 * initramfs-tools' users and Tails' unit unpack theirs, too. All of them look first whether an
 * executable bin/sh, or shutdown, lies there already (dracut-initramfs-restore, finalrd). */
#ifndef LETHE_INIT_PLACE_H
#define LETHE_INIT_PLACE_H

#include <stdbool.h>

#include "lethe/kernel/snapshot.h"

/* True when another exitrd stands there: its program, or a file system of its own. A medium that is
 * mounted below does not count, nor does what will be unpacked at a shutdown only. */
bool lethe_place_is_taken(const struct lethe_snapshot *snapshot);

/* Mounts a tmpfs there unless Lethe's is there already. What was mounted below and the links beside
 * it are found in it again under the same paths. 0, or -errno. */
int lethe_place_make(const struct lethe_snapshot *snapshot);

/* Puts what other exitrds look for beside the program, so that they unpack nothing over it: the
 * tmpfs is small. 0, or -errno. */
int lethe_place_hold(void);

#endif
