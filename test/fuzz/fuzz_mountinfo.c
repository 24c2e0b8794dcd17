/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The text of /proc/self/mountinfo, in an arena of any size. */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

#include "../unit/scene.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scene scene = {0};
    if (size < 2)
        return 0;
    scene.arena = heap_arena(data[0] ? (size_t)data[0] << 4 : 1 << 16);
    const struct lethe_complaint complaint = scene_complaint(&scene);
    const struct lethe_span text = {(const char *)data + 1, size - 1};
    int r = lethe_mountinfo_parse(&scene.snapshot, text, &scene.arena, &complaint);
    MUST(!r || r == -ENOMEM);
    for (size_t i = 0; !r && i < scene.snapshot.n_mounts; i++) {
        const struct lethe_mount *m = &scene.snapshot.mounts[i];
        MUST(m->path[0] == '/' && m->fstype[0]);
        MUST(strlen(m->root) + strlen(m->path) + strlen(m->source) + strlen(m->super_options) <
             size);
    }
    if (!r && !lethe_tree_build(&scene.tree, &scene.snapshot, &scene.arena))
        for (size_t i = 0; i < scene.snapshot.n_mounts; i++)
            MUST(lethe_tree_lookup(&scene.tree, scene.snapshot.mounts[i].path) <
                 scene.snapshot.n_mounts);
    scene_finish(&scene);
    return 0;
}
