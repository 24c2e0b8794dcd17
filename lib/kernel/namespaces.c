/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/namespaces.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "lethe/kernel/source.h"
#include "lethe/kernel/sys.h"

/* Returns the id of the process's mount namespace, or 0 where that can't be said. Kernel threads,
 * which have no program, are passed: kdevtmpfs has a namespace with nothing but /dev in it. */
static uint64_t read_namespace(const struct lethe_source *s, const char *process)
{
    char path[300], text[64];
    uint64_t id;
    snprintf(path, sizeof path, "proc/%.255s/exe", process);
    if (s->live && !lethe_sys_read_link(s->root, path, text, sizeof text))
        return 0;
    snprintf(path, sizeof path, "proc/%.255s/ns/mnt", process);
    lethe_sys_read_link(s->root, path, text, sizeof text);
    struct lethe_span number = lethe_span(text), kind = lethe_text_cut(&number, '[');
    if (!lethe_span_is(kind, "mnt:") ||
        lethe_text_number(lethe_text_cut(&number, ']'), UINT64_MAX, &id))
        return 0;
    return id;
}

static int compare_namespaces(const void *left, const void *right)
{
    const struct lethe_namespace *a = left, *b = right;
    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    return (a->pid > b->pid) - (a->pid < b->pid);
}

int lethe_namespaces_add(struct lethe_snapshot *snapshot, int root, bool live,
                         struct lethe_arena *arena)
{
    const struct lethe_source s = {
        .root = root, .live = live, .arena = arena, .snapshot = snapshot};
    const uint64_t own = read_namespace(&s, "self");
    DIR *dir = own ? lethe_source_open_dir(&s, "proc") : NULL;
    if (!dir)
        return 0;
    size_t room = lethe_source_count(dir), n = 0, kept = 0;
    struct lethe_namespace *list = lethe_arena_alloc(arena, room, sizeof *list);
    for (struct dirent *entry; list && n < room && (entry = readdir(dir));) {
        if (lethe_text_number(lethe_span(entry->d_name), UINT32_MAX, &list[n].pid))
            continue;
        list[n].id = read_namespace(&s, entry->d_name);
        n += list[n].id && list[n].id != own;
    }
    closedir(dir);
    if (n)
        qsort(list, n, sizeof *list, compare_namespaces);
    for (size_t i = 0; i < n; i++)
        if (!kept || list[kept - 1].id != list[i].id)
            list[kept++] = list[i];
    snapshot->namespaces = list;
    snapshot->n_namespaces = kept;
    return list ? 0 : -ENOMEM;
}
