/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan.h"

#include <stdio.h>

static const char *verb_of(const struct lethe_step *step)
{
    switch (step->kind) {
    case LETHE_STEP_ERASE:
        return "erase";
    case LETHE_STEP_UNMOUNT:
        return step->lazy ? "detach" : "unmount";
    case LETHE_STEP_SWAPOFF:
        return "swapoff";
    case LETHE_STEP_STOP:
        break;
    }
    return "stop";
}

char *lethe_step_print(char *out, size_t size, const struct lethe_step *step,
                       const struct lethe_snapshot *snapshot)
{
    static const char *const kinds[] = {"disk", "loop", "crypt", "dm", "md", "zram", "ramdisk"};
    char name[256], shown_type[64]; /* a FUSE program chooses its type's end itself */
    const char *what, *type;
    if (step->kind == LETHE_STEP_SWAPOFF) {
        what = snapshot->swaps[step->index].path;
        type = snapshot->swaps[step->index].is_file ? "file" : "partition";
    } else if (step->kind == LETHE_STEP_STOP) {
        const struct lethe_block *block = &snapshot->blocks[step->index];
        what = block->dm_name[0] ? block->dm_name : block->name;
        type = kinds[block->kind];
    } else {
        what = snapshot->mounts[step->index].path;
        type = snapshot->mounts[step->index].fstype;
    }
    snprintf(out, size, "%s %s (%s)", verb_of(step), lethe_printable(name, sizeof name, what),
             lethe_printable(shown_type, sizeof shown_type, type));
    return out;
}
