/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * From a snapshot to its plan. The input is text in three parts with a line "--" between them:
 * mountinfo, swaps, and block devices, one a line:
 *
 *     MAJOR:MINOR NAME DM-UUID BACKING-FILE HOST-MAJOR:MINOR DISK SLAVE...
 *
 * with "-" for what is not there, and DISK and SLAVE the places of devices in the list. A first
 * byte of '+' says that the root is Lethe's own.
 */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

#include "../unit/invariants.h"
#include "../unit/scene.h"
#include "lethe/plan/devices.h"
#include "lethe/plan/roles.h"

enum { BLOCKS_MAX = 16, SLAVES_MAX = 8, MOUNTS_MAX = 48 };

static struct lethe_block blocks[BLOCKS_MAX];
static size_t slaves[BLOCKS_MAX][SLAVES_MAX];
static char words[BLOCKS_MAX][3][64];

/* Cuts the text before a line of "--". */
static struct lethe_span next_part(struct lethe_span *rest)
{
    struct lethe_span part = *rest, line;
    while (lethe_text_next_line(rest, &line))
        if (lethe_span_is(line, "--")) {
            part.n = (size_t)(line.at - part.at);
            return part;
        }
    *rest = (struct lethe_span){"", 0};
    return part;
}

static const char *next_text(struct lethe_span *line, char *out)
{
    struct lethe_span word = lethe_text_cut(line, ' ');
    size_t n = lethe_span_is(word, "-") ? 0 : word.n < 63 ? word.n : 63;
    if (n)
        memcpy(out, word.at, n);
    out[n] = '\0';
    return out;
}

static size_t next_place(struct lethe_span *line, size_t n)
{
    uint64_t place;
    return lethe_text_number(lethe_text_cut(line, ' '), n - 1, &place) ? LETHE_NONE : (size_t)place;
}

static void read_block(size_t i, size_t n, struct lethe_span line)
{
    struct lethe_block *b = &blocks[i];
    *b = (struct lethe_block){.disk = LETHE_NONE, .dm_name = "", .slaves = slaves[i]};
    lethe_devno(lethe_text_cut(&line, ' '), &b->devno);
    b->name = next_text(&line, words[i][0]);
    b->dm_uuid = next_text(&line, words[i][1]);
    b->file = next_text(&line, words[i][2]);
    b->kind = lethe_devices_kind(b->name, b->dm_uuid, !strncmp(b->name, "md_", 3));
    lethe_devno(lethe_text_cut(&line, ' '), &b->file_devno);
    b->disk = next_place(&line, n);
    while (line.at && b->n_slaves < SLAVES_MAX) {
        size_t slave = next_place(&line, n);
        if (slave != LETHE_NONE)
            slaves[i][b->n_slaves++] = slave;
    }
}

static size_t read_blocks(struct lethe_span text)
{
    struct lethe_span rest = text, line;
    size_t n = 0, i = 0;
    while (n < BLOCKS_MAX && lethe_text_next_line(&rest, &line))
        n++;
    while (i < n && lethe_text_next_line(&text, &line))
        read_block(i++, n, line);
    return n;
}

static void check_steps(struct scene *scene)
{
    for (size_t i = 0; i < scene->plan.n_steps; i++) {
        char text[300];
        MUST(scene->plan.steps[i].reason[0]);
        for (size_t size = 1; size <= sizeof text; size += 23) {
            lethe_step_print(text, size, &scene->plan.steps[i], &scene->snapshot);
            MUST(strlen(text) < size);
            for (const char *c = text; *c; c++)
                MUST(*c >= ' ' && *c < 0177);
        }
    }
}

/* Each edge between two steps is kept, unless what comes too early is lazy. */
static void check_edges(const struct scene *scene)
{
    const struct lethe_snapshot *s = &scene->snapshot;
    const struct lethe_plan *p = &scene->plan;
    static size_t place[6 * MOUNTS_MAX + BLOCKS_MAX + LETHE_HOLDERS_KINDS];
    size_t n = LETHE_HOLDERS_KINDS + 5 * s->n_mounts + s->n_swaps + s->n_blocks;
    memset(place, 0xff, sizeof place);
    for (size_t i = 0; i < p->n_steps; i++) {
        size_t node = lethe_plan_step_node(s, &p->steps[i]);
        MUST(node < n && place[node] == LETHE_NONE);
        place[node] = i;
    }
    for (size_t i = 0; i < p->n_edges; i++) {
        MUST(p->edges[i].before < n && p->edges[i].after < n);
        size_t before = place[p->edges[i].before], after = place[p->edges[i].after];
        MUST(before == LETHE_NONE || after == LETHE_NONE || before < after || p->steps[after].lazy);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scene scene;
    enum lethe_role roles[BLOCKS_MAX];
    struct lethe_span rest = {(const char *)data, size};
    bool own_root = size && data[0] == '+';
    if (!size)
        return 0;
    rest.at += own_root;
    rest.n -= own_root;
    struct scene_input input = {.blocks = blocks};
    input.mountinfo = next_part(&rest);
    input.swaps = next_part(&rest);
    input.n_blocks = read_blocks(rest);
    scene_init(&scene, &input);
    MUST(!scene.r);
    if (scene.snapshot.n_mounts <= MOUNTS_MAX && scene.snapshot.n_swaps <= MOUNTS_MAX) {
        scene_plan(&scene, own_root);
        MUST(!scene.r);
        check_steps(&scene);
        check_edges(&scene);
        invariants_must_hold(&scene, own_root);
        lethe_roles_find(&scene.snapshot, false, roles);
        for (size_t i = 0; i < scene.snapshot.n_blocks; i++)
            lethe_block_is_ram(&scene.snapshot, i);
    }
    scene_finish(&scene);
    return 0;
}
