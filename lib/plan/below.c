/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/below.h"

enum { DEPTH_MAX = 64 }; /* a forged tree may go in circles */

static void mark(const struct lethe_snapshot *s, size_t block, bool *marks, int depth);

/* A file in a union lies on the union's writable branches. */
static void mark_layers(const struct lethe_snapshot *s, size_t mount, bool *marks, int depth);

static void mark_file_system(const struct lethe_snapshot *s, struct lethe_devno devno, bool *marks,
                             int depth)
{
    const struct lethe_devno none = {0, 0};
    if (depth == DEPTH_MAX || lethe_devno_is(devno, none))
        return;
    mark(s, lethe_block_find(s, devno), marks, depth + 1);
    for (size_t i = 0; i < s->n_mounts; i++)
        if (lethe_devno_is(s->mounts[i].devno, devno)) {
            mark(s, s->mounts[i].device, marks, depth + 1);
            mark_layers(s, i, marks, depth + 1);
        }
}

static void mark_layers(const struct lethe_snapshot *s, size_t mount, bool *marks, int depth)
{
    for (size_t i = 0; i < s->n_unions; i++)
        for (size_t j = 0; s->unions[i].mount == mount && j < s->unions[i].n_branches; j++) {
            const struct lethe_branch *b = &s->unions[i].branches[j];
            if (b->writable && lethe_branch_is_shown(&s->unions[i], b))
                mark_file_system(s, s->mounts[b->mount].devno, marks, depth);
        }
}

static void mark(const struct lethe_snapshot *s, size_t block, bool *marks, int depth)
{
    if (block == LETHE_NONE || depth >= DEPTH_MAX || marks[block])
        return;
    const struct lethe_block *b = &s->blocks[block];
    marks[block] = true;
    for (size_t i = 0; i < b->n_slaves; i++)
        mark(s, b->slaves[i], marks, depth + 1);
    for (size_t i = 0; i < b->n_beside; i++)
        mark(s, b->beside[i], marks, depth + 1);
    mark(s, b->disk, marks, depth + 1);
    if (b->kind == LETHE_BLOCK_LOOP && b->file[0])
        mark_file_system(s, b->file_devno, marks, depth);
}

void lethe_below_mark(const struct lethe_snapshot *snapshot, size_t block, bool *marks)
{
    mark(snapshot, block, marks, 0);
}

void lethe_below_mark_swap(const struct lethe_snapshot *snapshot, const struct lethe_swap *swap,
                           bool *marks)
{
    if (swap->is_file)
        mark_file_system(snapshot, swap->devno, marks, 0);
    else
        mark(snapshot, swap->device, marks, 0);
}
