/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/swap.h"

#include <string.h>

/* Ways down form no circle in a kernel, but a captured tree may be forged: `left` bounds the walk.
 */
struct walk {
    const struct lethe_snapshot *s;
    unsigned left;
};

static enum lethe_swap_place worse(enum lethe_swap_place a, enum lethe_swap_place b)
{
    return a > b ? a : b;
}

static enum lethe_swap_place place_of_device(struct walk *w, size_t device);
static enum lethe_swap_place place_of_mount(struct walk *w, size_t mount);

/* Finds a file whose file system no mount shows by the device
 * that has that file system's number. */
static enum lethe_swap_place place_of_file(struct walk *w, struct lethe_devno host)
{
    const size_t mount = host.major || host.minor ? lethe_mount_find(w->s, host) : LETHE_NONE;
    const size_t device = host.major ? lethe_block_find(w->s, host) : LETHE_NONE;
    if (mount != LETHE_NONE)
        return place_of_mount(w, mount);
    return device != LETHE_NONE ? place_of_device(w, device) : LETHE_SWAP_UNKNOWN;
}

static enum lethe_swap_place place_below(struct walk *w, const struct lethe_block *b)
{
    enum lethe_swap_place place = LETHE_SWAP_RAM;
    for (size_t i = 0; i < b->n_slaves; i++)
        place = worse(place, place_of_device(w, b->slaves[i]));
    if (b->disk != LETHE_NONE)
        place = worse(place, place_of_device(w, b->disk));
    return place;
}

/* A volume of a pool of ZFS, of a cluster, or of a program: no device below it is seen. */
static bool is_served(const char *name)
{
    return !strncmp(name, "zd", 2) || !strncmp(name, "rbd", 3) || !strncmp(name, "ublkb", 5);
}

static enum lethe_swap_place place_of_device(struct walk *w, size_t device)
{
    const struct lethe_block *b = &w->s->blocks[device];
    if (!w->left)
        return LETHE_SWAP_UNKNOWN;
    w->left--;
    switch (b->kind) {
    case LETHE_BLOCK_CRYPT:
        return LETHE_SWAP_ENCRYPTED;
    case LETHE_BLOCK_NBD:
        return LETHE_SWAP_REMOTE;
    case LETHE_BLOCK_LOOP:
        return place_of_file(w, b->file_devno);
    case LETHE_BLOCK_ZRAM: /* slaves: what it writes back to */
    case LETHE_BLOCK_BRD:
        return place_below(w, b);
    case LETHE_BLOCK_PLAIN:
        if (is_served(b->name))
            break;
        return b->n_slaves || b->disk != LETHE_NONE ? place_below(w, b) : LETHE_SWAP_PLAIN;
    case LETHE_BLOCK_DM:
    case LETHE_BLOCK_MD:
    case LETHE_BLOCK_BCACHE:
        break;
    }
    return b->n_slaves ? place_below(w, b) : LETHE_SWAP_UNKNOWN;
}

static enum lethe_swap_place place_of_file_system(struct walk *w, size_t device)
{
    const struct lethe_block *b = &w->s->blocks[device];
    enum lethe_swap_place place = place_of_device(w, device);
    for (size_t i = 0; i < b->n_beside; i++)
        place = worse(place, place_of_device(w, b->beside[i]));
    return place;
}

static enum lethe_swap_place place_of_union(struct walk *w, const struct lethe_union *u)
{
    enum lethe_swap_place place = LETHE_SWAP_RAM;
    bool any = false;
    for (size_t i = 0; i < u->n_branches; i++)
        if (lethe_branch_is_shown(u, &u->branches[i]) && u->branches[i].writable) {
            place = worse(place, place_of_mount(w, u->branches[i].mount));
            any = true;
        }
    return any ? place : LETHE_SWAP_UNKNOWN;
}

static enum lethe_swap_place place_of_mount(struct walk *w, size_t mount)
{
    const struct lethe_mount *m = &w->s->mounts[mount];
    if (!w->left)
        return LETHE_SWAP_UNKNOWN;
    w->left--;
    if (lethe_mount_is_ram(m))
        return LETHE_SWAP_RAM;
    for (size_t i = 0; i < w->s->n_unions; i++)
        if (w->s->unions[i].mount == mount)
            return place_of_union(w, &w->s->unions[i]);
    if (m->device != LETHE_NONE)
        return place_of_file_system(w, m->device);
    return lethe_mount_is_remote(m) ? LETHE_SWAP_REMOTE : LETHE_SWAP_UNKNOWN;
}

/* The kernel takes no swap file on a tmpfs: a path that leads to one now led elsewhere when the file
 * was taken, to a mount that is covered or detached. */
enum lethe_swap_place lethe_swap_place(const struct lethe_snapshot *snapshot,
                                       const struct lethe_swap *swap)
{
    struct walk w = {snapshot, 256};
    if (!swap->is_file)
        return swap->device == LETHE_NONE ? LETHE_SWAP_UNKNOWN : place_of_device(&w, swap->device);
    const enum lethe_swap_place place = place_of_file(&w, swap->devno);
    const size_t mount = lethe_mount_find(snapshot, swap->devno);
    return place == LETHE_SWAP_RAM && mount != LETHE_NONE &&
                   !lethe_mount_is_stored(&snapshot->mounts[mount])
               ? LETHE_SWAP_UNKNOWN
               : place;
}

const char *lethe_swap_stays(enum lethe_swap_place place)
{
    switch (place) {
    case LETHE_SWAP_RAM:
    case LETHE_SWAP_ENCRYPTED:
        break;
    case LETHE_SWAP_UNKNOWN:
        return "swap whose place can't be followed down to a disk: what was written to it may stay";
    case LETHE_SWAP_REMOTE:
        return "swap on another machine, not encrypted: what was written to it stays there";
    case LETHE_SWAP_PLAIN:
        return "swap that is not encrypted: what was written to it stays on the disk";
    }
    return NULL;
}
