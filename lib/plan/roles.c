/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/roles.h"

#include <string.h>

enum { DEPTH_MAX = 64 }; /* a forged tree may go in circles */

const char *lethe_role_name(enum lethe_role role)
{
    static const char *const names[] = {"none", "medium", "persistence"};
    return names[role];
}

/* Marks the device and all below it: slaves, the disk of a partition, and what holds the file of a
 * loop. */
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
    mark(s, roles, b->disk, role, depth + 1);
    if (b->kind == LETHE_BLOCK_LOOP && b->file[0])
        mark(s, roles, lethe_block_find(s, b->file_devno), role, depth + 1);
}

static bool is_writable(const struct lethe_mount *m)
{
    return !strncmp(m->super_options, "rw", 2) &&
           (m->super_options[2] == ',' || !m->super_options[2]);
}

void lethe_roles_find(const struct lethe_snapshot *s, enum lethe_role *roles)
{
    for (size_t i = 0; i < s->n_blocks; i++)
        roles[i] = LETHE_ROLE_NONE;
    for (size_t i = 0; i < s->n_mounts; i++)
        if (s->mounts[i].device != LETHE_NONE)
            mark(s, roles, s->mounts[i].device,
                 is_writable(&s->mounts[i]) ? LETHE_ROLE_PERSISTENCE : LETHE_ROLE_MEDIUM, 0);
    for (size_t i = 0; i < s->n_unions; i++)
        for (size_t j = 0; j < s->unions[i].n_branches; j++) {
            const struct lethe_branch *b = &s->unions[i].branches[j];
            if (!b->writable && b->mount != LETHE_NONE)
                mark(s, roles, s->mounts[b->mount].device, LETHE_ROLE_MEDIUM, 0);
        }
}
