/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * handed: what systemd-shutdown leaves of a system when it hands over (src/shutdown/umount.c,
 * systemd 252 to 257). It ends all processes, swaps off, unmounts what is not busy and takes loops,
 * device-mapper and MD devices away that nothing holds, again and again until nothing changes. It
 * passes by "/", "/usr", "/run" and what is in /proc, /sys, /dev and /run/initramfs, but for the
 * mounts of its own units (autofs; /run/lock, which Debian 12's passes by). A union keeps no layer's
 * mount busy, but the devices below it.
 */
#ifndef LETHE_PLAN_HANDED_H
#define LETHE_PLAN_HANDED_H

#include "lethe/plan/plan.h"

/* `gone` are the nodes of `before` that systemd takes away, each after what it waits for. */
struct lethe_handed {
    const struct lethe_snapshot *before;
    struct lethe_snapshot after;
    const size_t *gone;
    size_t n_gone;
};

/* Fills it from a system in which nothing was taken apart yet. Its paths stay as they are: the end
 * has them below /oldroot. A union's branch in RAM stays where its mount is the only one, for
 * `lethe arm` would have bound it to where systemd leaves it. 0, or -ENOMEM. */
int lethe_handed_over(struct lethe_handed *handed, const struct lethe_snapshot *before,
                      struct lethe_arena *arena);

#endif
