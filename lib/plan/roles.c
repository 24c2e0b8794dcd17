/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/roles.h"

#include <string.h>

enum { DEPTH_MAX = 64 }; /* a forged tree may go in circles */

const char *lethe_role_name(enum lethe_role role)
{
    static const char *const names[] = {"none", "medium", "persistence"};
    return names[role];
}

/* Marks the device and all below it: slaves, what is beside it, the disk of a partition, and what
 * holds the file of a loop. */
static void mark(const struct lethe_snapshot *s, enum lethe_role *roles, size_t block,
                 enum lethe_role role, int depth)
{
    if (block == LETHE_NONE || depth == DEPTH_MAX || roles[block] == role ||
        roles[block] == LETHE_ROLE_MEDIUM)
        return;
    const struct lethe_block *b = &s->blocks[block];
    roles[block] = role;
    for (size_t i = 0; i < b->n_slaves; i++)
        mark(s, roles, b->slaves[i], role, depth + 1);
    for (size_t i = 0; i < b->n_beside; i++)
        mark(s, roles, b->beside[i], role, depth + 1);
    mark(s, roles, b->disk, role, depth + 1);
    if (b->kind == LETHE_BLOCK_LOOP && b->file[0])
        mark(s, roles, lethe_block_find(s, b->file_devno), role, depth + 1);
}

void lethe_roles_find(const struct lethe_snapshot *s, enum lethe_role *roles)
{
    for (size_t i = 0; i < s->n_blocks; i++)
        roles[i] = LETHE_ROLE_NONE;
    for (size_t i = 0; i < s->n_mounts; i++)
        if (s->mounts[i].device != LETHE_NONE)
            mark(s, roles, s->mounts[i].device,
                 lethe_mount_is_writable(&s->mounts[i]) ? LETHE_ROLE_PERSISTENCE
                                                        : LETHE_ROLE_MEDIUM,
                 0);
    for (size_t i = 0; i < s->n_unions; i++)
        for (size_t j = 0; j < s->unions[i].n_branches; j++) {
            const struct lethe_branch *b = &s->unions[i].branches[j];
            if (!b->writable && b->mount != LETHE_NONE)
                mark(s, roles, s->mounts[b->mount].device, LETHE_ROLE_MEDIUM, 0);
        }
}

static const struct lethe_mount *find_root(const struct lethe_snapshot *s)
{
    for (size_t i = s->n_mounts; i--;)
        if (!strcmp(s->mounts[i].path, "/"))
            return &s->mounts[i];
    return NULL;
}

static const struct lethe_union *find_union(const struct lethe_snapshot *s,
                                            const struct lethe_mount *mount)
{
    for (size_t i = 0; i < s->n_unions; i++)
        if (&s->mounts[s->unions[i].mount] == mount)
            return &s->unions[i];
    return NULL;
}

/* Without sysfs nobody can say that a device has gone. */
static bool is_there(const struct lethe_snapshot *s, struct lethe_devno devno)
{
    return !devno.major || !s->n_blocks || lethe_block_find(s, devno) != LETHE_NONE;
}

/* Marks what the mount lies on; false when that has gone. */
static bool mark_mount(const struct lethe_snapshot *s, enum lethe_role *roles,
                       const struct lethe_mount *m)
{
    mark(s, roles, m->device, LETHE_ROLE_MEDIUM, 0);
    return m->device != LETHE_NONE || is_there(s, m->devno);
}

static bool mark_layers(const struct lethe_snapshot *s, enum lethe_role *roles,
                        const struct lethe_union *u)
{
    bool good = true;
    for (size_t i = 0; i < u->n_branches; i++) {
        const struct lethe_branch *b = &u->branches[i];
        if (!b->writable && lethe_branch_is_shown(u, b))
            good &= mark_mount(s, roles, &s->mounts[b->mount]);
        else if (!b->writable)
            lethe_roles_find(s, roles);
    }
    return good;
}

bool lethe_roles_find_origin(const struct lethe_snapshot *s, enum lethe_role *roles)
{
    const struct lethe_mount *root = find_root(s);
    const struct lethe_union *u = root ? find_union(s, root) : NULL;
    bool good = true;
    for (size_t i = 0; i < s->n_blocks; i++)
        roles[i] = LETHE_ROLE_NONE;
    if (u)
        good = mark_layers(s, roles, u);
    else if (root && !lethe_mount_is_writable(root))
        good = mark_mount(s, roles, root);
    for (size_t i = 0; i < s->n_blocks; i++)
        if (roles[i] == LETHE_ROLE_MEDIUM && s->blocks[i].kind == LETHE_BLOCK_LOOP)
            good &= is_there(s, s->blocks[i].file_devno);
    return good;
}
