/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The text of /proc/swaps, in an arena of any size. */
#include "fuzz.h"

#include <errno.h>

#include "../unit/scene.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scene scene = {0};
    if (size < 2)
        return 0;
    scene.arena = heap_arena(data[0] ? (size_t)data[0] << 4 : 1 << 16);
    const struct lethe_complaint complaint = scene_complaint(&scene);
    const struct lethe_span text = {(const char *)data + 1, size - 1};
    int r = lethe_mountinfo_parse_swaps(&scene.snapshot, text, &scene.arena, &complaint);
    MUST(!r || r == -ENOMEM);
    for (size_t i = 0; !r && i < scene.snapshot.n_swaps; i++)
        MUST(scene.snapshot.swaps[i].path[0] == '/' &&
             scene.snapshot.swaps[i].device == LETHE_NONE);
    scene_finish(&scene);
    return 0;
}
