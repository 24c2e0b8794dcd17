/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * roles: which block devices are the boot medium and which the persistence.
 *
 * The medium is what "/" runs from: the devices below the layers that the union at "/" only reads,
 * or below "/" itself where that is mounted read-only; below a "/" that is written to, only the
 * devices that can't be written to (the base of a dm-snapshot). The persistence is what is written
 * to and kept, wherever it lies: what is below a file system that is mounted for writing, unless
 * that is RAM or read-only (the loop of an image, on a stick). What is mounted read-only otherwise
 * is neither.
 *
 * Where "/" is RAM and no union, what its programs run from counts: /usr, /nix/store, /gnu/store.
 *
 * Where layers of "/" were named in the initramfs their paths lead nowhere. Then a mount counts
 * whose path is the end of the layer's; else the loops that nothing is seen to use are looked at:
 * those in files of the same names as the layers or, when no other layer is seen either, those that
 * can't be written to. They are the medium, too, if they all lie on one disk, the disks of the
 * layers that are seen not counted; else none of them is.
 */
#ifndef LETHE_PLAN_ROLES_H
#define LETHE_PLAN_ROLES_H

#include "lethe/plan/model.h"

/* A disk may be both, as one whose partitions differ. */
enum lethe_role {
    LETHE_ROLE_NONE = 0,
    LETHE_ROLE_MEDIUM = 1,
    LETHE_ROLE_PERSISTENCE = 2,
    LETHE_ROLE_BOTH = LETHE_ROLE_MEDIUM | LETHE_ROLE_PERSISTENCE,
};

/* "none", "medium", "persistence" or "both". */
const char *lethe_role_name(enum lethe_role role);

/* How the medium was found, or what is wrong with it. */
enum lethe_origin {
    LETHE_ORIGIN_SEEN,
    LETHE_ORIGIN_GONE,    /* a device of it is known by its number only: it is not there any more */
    LETHE_ORIGIN_GUESSED, /* layers of "/" lead nowhere: they were found among the loops */
    LETHE_ORIGIN_LOST,    /* layers of "/" lead nowhere, and were not found */
};

/* Fills roles[snapshot->n_blocks]. With `own_root` the system's root is not "/", which is Lethe's,
 * but "/oldroot". */
enum lethe_origin lethe_roles_find(const struct lethe_snapshot *snapshot, bool own_root,
                                   enum lethe_role *roles);

/* Where "/" is still the initramfs's: adds the medium by what will be the union's layers, the loops
 * that are mounted and can't be written to. */
void lethe_roles_add_layers_to_be(const struct lethe_snapshot *snapshot, enum lethe_role *roles);

#endif
