/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/stays.h"

#include <errno.h>
#include <string.h>

#include "lethe/plan/swap.h"

const char *lethe_stays_origin_text(enum lethe_origin origin)
{
    switch (origin) {
    case LETHE_ORIGIN_SEEN:
        break;
    case LETHE_ORIGIN_GONE:
        return "the medium is not there any more";
    case LETHE_ORIGIN_GUESSED:
        return "layers of the root lead nowhere: what is called the medium is where the loops or "
               "mounts lie that must be those layers";
    case LETHE_ORIGIN_LOST:
        return "layers of the root lead nowhere, and no disk must hold them: which disk is the "
               "medium can't be said";
    }
    return NULL;
}

const char *lethe_stays_unseen_text(enum lethe_unseen unseen)
{
    switch (unseen) {
    case LETHE_UNSEEN_DEVICES:
        return "devices, since there is no /sys/class/block";
    case LETHE_UNSEEN_SWAPS:
        return "swap, since there is no /proc/swaps";
    case LETHE_UNSEEN_RIGHTS:
        return "what only root may look at: mount namespaces of others' processes, and where "
               "loops' "
               "files lie";
    case LETHE_UNSEEN_ENTRIES:
        return "a device, since its entry in /sys/class/block can't be read";
    case LETHE_UNSEEN_ANSWERS:
    case LETHE_UNSEEN_ALL:
        break;
    }
    return "what a file system or a device would have to say that did not answer";
}

/* Looks one step up only, which ends in a forged tree too: a partition's disk is no partition. */
static bool is_disk(const struct lethe_snapshot *s, size_t device)
{
    const struct lethe_block *b = &s->blocks[device];
    return b->kind == LETHE_BLOCK_PLAIN &&
           (b->disk == LETHE_NONE || s->blocks[b->disk].kind == LETHE_BLOCK_PLAIN);
}

static const char *device_stays(const struct lethe_snapshot *s, size_t device, enum lethe_role role)
{
    if (!is_disk(s, device))
        return NULL;
    if (s->blocks[device].n_slaves)
        return "built on other devices in a way that Lethe can't take apart: it and they stay";
    switch (role) {
    case LETHE_ROLE_MEDIUM:
        return "the medium: read, never zeroed";
    case LETHE_ROLE_PERSISTENCE:
        return "the persistence: written back, never zeroed";
    case LETHE_ROLE_BOTH:
        return "the medium and the persistence: written back, never zeroed";
    case LETHE_ROLE_NONE:
        break;
    }
    return NULL;
}

static void add(struct lethe_stays_list *left, enum lethe_stays_kind kind, size_t index,
                size_t branch, const char *reason)
{
    if (reason)
        left->list[left->n++] = (struct lethe_stays){kind, index, branch, reason};
}

static bool has_branch(const struct lethe_snapshot *s, struct lethe_devno devno)
{
    for (size_t i = 0; i < s->n_unions; i++)
        for (size_t j = 0; j < s->unions[i].n_branches; j++) {
            const struct lethe_branch *b = &s->unions[i].branches[j];
            if (lethe_branch_is_shown(&s->unions[i], b) &&
                lethe_devno_is(s->mounts[b->mount].devno, devno))
                return true;
        }
    return false;
}

static bool is_anchor(const char *path, bool own_root)
{
    return strstr(path, "/run/initramfs/branches/") ||
           (own_root && (lethe_text_path_below(path, "/branches") ||
                         lethe_text_path_below(path, "/oldroot/branches")));
}

/* `lethe arm` binds the branches in RAM where nobody unmounts them, and there they are erased. What
 * lies there and is no branch that another mount shows is the root's. */
static bool is_anchored(const struct lethe_snapshot *s, const struct lethe_union *u, bool own_root)
{
    if (strcmp(s->mounts[u->mount].path, own_root ? "/oldroot" : "/") != 0)
        return false;
    bool found = false;
    for (size_t i = 0; !found && i < s->n_mounts; i++)
        found = lethe_mount_is_ram(&s->mounts[i]) && is_anchor(s->mounts[i].path, own_root) &&
                !has_branch(s, s->mounts[i].devno);
    return found;
}

static void add_branches(struct lethe_stays_list *left, const struct lethe_union *u, size_t index)
{
    for (size_t i = 0; i < u->n_branches; i++)
        if (u->branches[i].writable && !lethe_branch_is_shown(u, &u->branches[i]))
            add(left, LETHE_STAYS_BRANCH, index, i,
                u->branches[i].path[0] == '/'
                    ? "no mount shows it: it is freed with the union, not zeroed in place"
                    : "its path is relative: which file system it is on can't be told");
}

int lethe_stays_find(struct lethe_stays_list *left, const struct lethe_snapshot *s, bool own_root,
                     struct lethe_arena *arena)
{
    size_t room = s->n_mounts + s->n_blocks + s->n_swaps;
    for (size_t i = 0; i < s->n_unions; i++)
        room += s->unions[i].n_branches;
    *left = (struct lethe_stays_list){
        .list = lethe_arena_take(arena, room + 1, sizeof *left->list),
        .roles = lethe_arena_take(arena, s->n_blocks + 1, sizeof *left->roles)};
    if (!left->list || !left->roles)
        return -ENOMEM;
    left->origin = lethe_roles_find(s, own_root, left->roles);
    for (size_t i = 0; i < s->n_unions; i++)
        if (!is_anchored(s, &s->unions[i], own_root))
            add_branches(left, &s->unions[i], i);
    for (size_t i = 0; i < s->n_mounts; i++)
        if (lethe_mount_is_own(&s->mounts[i], own_root))
            add(left, LETHE_STAYS_MOUNT, i, 0, "Lethe's own, freed with it");
    for (size_t i = 0; i < s->n_swaps; i++)
        add(left, LETHE_STAYS_SWAP, i, 0, lethe_swap_stays(lethe_swap_place(s, &s->swaps[i])));
    for (size_t i = 0; i < s->n_blocks; i++)
        add(left, LETHE_STAYS_DEVICE, i, 0, device_stays(s, i, left->roles[i]));
    return 0;
}
