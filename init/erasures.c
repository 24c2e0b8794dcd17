/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "erasures.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include "command.h"
#include "lethe/kernel/ask.h"
#include "lethe/kernel/sys.h"

enum { ANSWER_MS = 1000, HANGS_MAX = 4 };

/* A mount that shows the file system of an erasure, and the answer how much it holds; in shared
 * memory. */
struct question {
    size_t mount, erasure;
    unsigned long long bytes;
    bool answered;
};

struct questions {
    const struct lethe_snapshot *snapshot;
    struct question *list;
};

/* Asks the size in a child: a path may lead to another mount, or through one whose server has
 * stopped. A ramfs and a tmpfs without a limit have no blocks to be counted. */
static void ask_size(void *context, size_t i)
{
    const struct questions *questions = context;
    struct question *q = &questions->list[i];
    const struct lethe_mount *m = &questions->snapshot->mounts[q->mount];
    struct stat st;
    struct statvfs fs;
    if (stat(m->path, &st) || major(st.st_dev) != m->devno.major ||
        minor(st.st_dev) != m->devno.minor || statvfs(m->path, &fs) || !fs.f_blocks)
        return;
    q->bytes = (unsigned long long)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
    q->answered = true;
}

static size_t list_questions(const struct lethe_snapshot *s, const size_t *erasures,
                             struct question *list)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_mounts; i++)
        if (erasures[i] != LETHE_NONE)
            list[n++] = (struct question){.mount = i, .erasure = erasures[i]};
    return n;
}

static void ask_sizes(struct lethe_erasures *e, const struct lethe_snapshot *s,
                      const size_t *erasures)
{
    struct questions questions = {s, lethe_ask_memory((s->n_mounts + 1) * sizeof(struct question))};
    if (!questions.list)
        return;
    const size_t n = list_questions(s, erasures, questions.list);
    lethe_ask(ask_size, &questions, n, ANSWER_MS, HANGS_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct question *q = &questions.list[i];
        if (q->answered) {
            e->list[q->erasure].bytes = q->bytes;
            e->list[q->erasure].known = true;
        }
    }
}

/* Lists the file systems, and notes in `erasures` which of them each mount shows. */
static void list_file_systems(struct lethe_erasures *e, const struct lethe_snapshot *s,
                              size_t *erasures)
{
    const size_t armed = lethe_command_armed_mount(s);
    for (size_t i = 0; i < s->n_mounts; i++) {
        const struct lethe_mount *m = &s->mounts[i];
        const size_t first = lethe_mount_find(s, m->devno);
        erasures[i] = LETHE_NONE;
        if (!lethe_mount_is_ram(m) ||
            (armed != LETHE_NONE && lethe_devno_is(s->mounts[armed].devno, m->devno)))
            continue;
        erasures[i] = first < i ? erasures[first] : e->n;
        if (first == i)
            e->list[e->n++] =
                (struct lethe_erasure){.path = m->path, .type = m->fstype, .devno = m->devno};
    }
}

static bool is_in_use(const struct lethe_snapshot *s, size_t device)
{
    for (size_t i = 0; i < s->n_mounts; i++)
        if (s->mounts[i].device != LETHE_NONE &&
            lethe_block_lies_on(s, s->mounts[i].device, device))
            return true;
    return false;
}

static void list_ramdisks(struct lethe_erasures *e, const struct lethe_snapshot *s)
{
    char sectors[32];
    for (size_t i = 0; i < s->n_blocks; i++) {
        const struct lethe_block *b = &s->blocks[i];
        if (b->kind != LETHE_BLOCK_BRD || !is_in_use(s, i))
            continue;
        const bool known = lethe_sys_read_block(b->name, "size", sectors, sizeof sectors);
        e->list[e->n++] = (struct lethe_erasure){b->name, "ramdisk", b->devno,
                                                 strtoull(sectors, NULL, 10) * 512, known};
    }
}

int lethe_erasures_list(struct lethe_erasures *e, const struct lethe_snapshot *s,
                        struct lethe_arena *arena)
{
    size_t *erasures = lethe_arena_take(arena, s->n_mounts + 1, sizeof *erasures);
    *e = (struct lethe_erasures){
        .list = lethe_arena_take(arena, s->n_mounts + s->n_blocks + 1, sizeof *e->list)};
    if (!erasures || !e->list)
        return -ENOMEM;
    list_file_systems(e, s, erasures);
    ask_sizes(e, s, erasures);
    list_ramdisks(e, s);
    return 0;
}
