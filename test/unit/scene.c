/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "scene.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lethe/plan/devices.h"
#include "lethe/plan/tree.h"
#include "lethe/plan/union.h"

enum { ARENA_SIZE = 1 << 19 };

struct lethe_arena heap_arena(size_t size)
{
    char *base = malloc(size ? size : 1);
    if (!base)
        abort();
    return (struct lethe_arena){base, size, 0};
}

struct lethe_span exact_span(const char *text)
{
    size_t n = strlen(text);
    char *copy = malloc(n ? n : 1);
    if (!copy)
        abort();
    memcpy(copy, text, n);
    return (struct lethe_span){copy, n};
}

static void count_complaint(void *context, const char *file, size_t line, struct lethe_span text,
                            const char *why)
{
    struct scene *scene = context;
    (void)file;
    (void)text;
    (void)why;
    if (!scene->complaints++)
        scene->first_line = line;
}

struct lethe_complaint scene_complaint(struct scene *scene)
{
    return (struct lethe_complaint){count_complaint, scene};
}

static struct lethe_devno resolve(void *context, const char *path)
{
    const struct lethe_snapshot *s = context;
    const char *base = strrchr(path, '/');
    for (size_t i = 0; base && base[1] && i < s->n_blocks; i++)
        if (!strcmp(s->blocks[i].name, base + 1) || !strcmp(s->blocks[i].dm_name, base + 1))
            return s->blocks[i].devno;
    return (struct lethe_devno){0, 0};
}

static struct lethe_span read_file(void *context, const char *path)
{
    for (const struct scene_file *f = context; f && f->path; f++)
        if (!strcmp(f->path, path))
            return lethe_span(f->text);
    return (struct lethe_span){NULL, 0};
}

/* The file "daemon" has a command line with '|' at each word's end. */
static struct lethe_span read_daemon(void *context, const struct lethe_mount *mount)
{
    struct lethe_span text = read_file(context, "daemon");
    for (size_t i = 0; i < text.n; i++)
        if (text.at[i] == '|')
            ((char *)text.at)[i] = '\0';
    return text.n && lethe_union_is_served_by(mount, text) ? text : (struct lethe_span){NULL, 0};
}

static void tie_swap_files(struct scene *scene)
{
    struct lethe_snapshot *s = &scene->snapshot;
    for (size_t i = 0; i < s->n_swaps; i++) {
        size_t host =
            s->swaps[i].is_file ? lethe_tree_lookup(&scene->tree, s->swaps[i].path) : LETHE_NONE;
        if (host != LETHE_NONE)
            s->swaps[i].devno = s->mounts[host].devno;
    }
}

static int fill(struct scene *scene, const struct scene_input *input)
{
    struct lethe_snapshot *s = &scene->snapshot;
    const struct lethe_complaint complaint = scene_complaint(scene);
    const struct lethe_union_reader reader = {
        .read = read_file, .daemon = read_daemon, .context = (void *)input->files};
    int r = lethe_mountinfo_parse(s, input->mountinfo, &scene->arena, &complaint);
    if (!r)
        r = lethe_mountinfo_parse_swaps(s, input->swaps, &scene->arena, &complaint);
    s->blocks = lethe_arena_alloc(&scene->arena, input->n_blocks, sizeof *s->blocks);
    if (r || !s->blocks)
        return r ? r : -ENOMEM;
    if (input->n_blocks)
        memcpy(s->blocks, input->blocks, input->n_blocks * sizeof *s->blocks);
    s->n_blocks = input->n_blocks;
    r = lethe_devices_tie(s, resolve, s, &scene->arena);
    if (r)
        return r;
    r = lethe_tree_build(&scene->tree, s, &scene->arena);
    if (r && r != -ENOENT)
        return r;
    if (!r)
        tie_swap_files(scene);
    return lethe_union_find_all(s, r ? NULL : &scene->tree, &scene->arena, &reader);
}

void scene_init(struct scene *scene, const struct scene_input *input)
{
    *scene = (struct scene){.arena = heap_arena(ARENA_SIZE)};
    scene->r = fill(scene, input);
}

void scene_init_text(struct scene *scene, const char *mountinfo)
{
    scene_init(scene, &(struct scene_input){.mountinfo = lethe_span(mountinfo)});
}

void scene_finish(struct scene *scene)
{
    free(scene->arena.base);
}

const struct lethe_plan *scene_plan(struct scene *scene, bool own_root)
{
    const struct lethe_plan_options options = {.own_root = own_root};
    if (!scene->r)
        scene->r = lethe_plan_make(&scene->plan, &scene->snapshot, &options, &scene->arena);
    return &scene->plan;
}

size_t scene_mount(const struct scene *scene, const char *path)
{
    for (size_t i = scene->snapshot.n_mounts; i--;)
        if (!strcmp(scene->snapshot.mounts[i].path, path))
            return i;
    return LETHE_NONE;
}

size_t scene_step(const struct scene *scene, enum lethe_step_kind kind, size_t index)
{
    for (size_t i = 0; i < scene->plan.n_steps; i++)
        if (scene->plan.steps[i].kind == kind && scene->plan.steps[i].index == index)
            return i;
    return LETHE_NONE;
}
