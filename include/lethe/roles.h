/* SPDX-License-Identifier: GPL-3.0-or-later */
/* roles: which block devices are the boot medium and which the persistence. */
#ifndef LETHE_ROLES_H
#define LETHE_ROLES_H

#include "lethe/model.h"

enum lethe_role {
    LETHE_ROLE_NONE,
    LETHE_ROLE_MEDIUM,      /* a lower layer of a union or a read-only file system lies on it, maybe
                               through other devices */
    LETHE_ROLE_PERSISTENCE, /* a file system mounted for writing lies on it */
};

const char *lethe_role_name(enum lethe_role role);

/* Fills roles[snapshot->n_blocks]. A device that is both is the medium. */
void lethe_roles_find(const struct lethe_snapshot *snapshot, enum lethe_role *roles);

/* The same for what the system itself runs from, and nothing else: the devices below the lower
 * layers of the union at "/", or below "/" where that is mounted read-only. Where the layers' paths
 * lead nowhere, since they were named in the initramfs, it is lethe_roles_find(). False when one of
 * these devices is known by its number only: it has gone. */
bool lethe_roles_find_origin(const struct lethe_snapshot *snapshot, enum lethe_role *roles);

#endif
