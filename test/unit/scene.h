/* SPDX-License-Identifier: GPL-3.0-or-later */
/* scene: a snapshot from texts and a list of devices, without a file system. */
#ifndef LETHE_TEST_SCENE_H
#define LETHE_TEST_SCENE_H

#include "lethe/plan/model.h"
#include "lethe/plan/mountinfo.h"
#include "lethe/plan/plan.h"
#include "lethe/plan/tree.h"

/* A device of a scene in one line; what it has beside that, by fields. */
#define BLOCK(maj, min, block_name, block_kind, ...)                                               \
    {                                                                                              \
        .devno = {maj, min}, .name = block_name, .kind = block_kind, .dm_name = "", .dm_uuid = "", \
        .disk = LETHE_NONE, .file = "", __VA_ARGS__                                                \
    }

/* A small file of /sys, for aufs. */
struct scene_file {
    const char *path, *text;
};

struct scene_input {
    struct lethe_span mountinfo, swaps;
    const struct lethe_block *blocks;
    size_t n_blocks;
    const struct scene_file *files; /* ends with a path of NULL; NULL: no file */
};

struct scene {
    struct lethe_arena arena;
    struct lethe_snapshot snapshot;
    struct lethe_tree tree;
    struct lethe_plan plan;
    unsigned complaints; /* lines that could not be used … */
    size_t first_line;   /* … and which was the first */
    int r;               /* what the first part that failed said */
};

/* As lethe_snapshot_take() does it. To be given back by scene_finish(). */
void scene_init(struct scene *scene, const struct scene_input *input);
void scene_init_text(struct scene *scene, const char *mountinfo);
void scene_finish(struct scene *scene);

/* Makes the plan and returns it. */
const struct lethe_plan *scene_plan(struct scene *scene, bool own_root);

/* The index of the newest mount at `path`, LETHE_NONE when there is none. */
size_t scene_mount(const struct scene *scene, const char *path);

/* The place in the plan of the step of this kind and index, LETHE_NONE when it is not there. */
size_t scene_step(const struct scene *scene, enum lethe_step_kind kind, size_t index);

/* A complaint that only counts, into a struct scene. */
struct lethe_complaint scene_complaint(struct scene *scene);

/* A copy on the heap of exactly the text's bytes, without a NUL, so that a sanitizer sees every
 * read beyond. To be freed by its `at`. */
struct lethe_span exact_span(const char *text);

/* An arena of `size` bytes on the heap; its base is to be freed. */
struct lethe_arena heap_arena(size_t size);

#endif
