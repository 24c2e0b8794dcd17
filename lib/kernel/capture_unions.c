/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>

#include "lethe/kernel/capture_file.h"

static void write_aufs(struct lethe_capture *c, const struct lethe_union *u, struct lethe_span id)
{
    for (size_t i = 0; i < u->n_branches; i++) {
        const char *path = lethe_capture_path(c, u->branches[i].path);
        char place[100];
        snprintf(place, sizeof place, "sys/fs/aufs/si_%.*s/br%zu", (int)id.n, id.at, i);
        FILE *out = lethe_capture_open(c, place);
        if (out)
            fprintf(out, "%s=%s\n", path, u->branches[i].writable ? "rw" : "ro");
        lethe_capture_close(c, out);
    }
}

/* Returns the value of an aufs's option si=, which is hex digits; empty where there is none. */
static struct lethe_span aufs_id(const struct lethe_mount *m)
{
    for (struct lethe_span rest = lethe_span(m->super_options); rest.at;) {
        struct lethe_span option = lethe_text_cut(&rest, ','), name = lethe_text_cut(&option, '=');
        if (option.at && lethe_span_is(name, "si"))
            return strspn(option.at, "0123456789abcdef") == option.n && option.n <= 16
                       ? option
                       : (struct lethe_span){NULL, 0};
    }
    return (struct lethe_span){NULL, 0};
}

/* Escapes a path as libfuse reads it. */
static void put_option(FILE *out, const char *path)
{
    for (; *path; path++)
        fprintf(out, "%s%c", strchr(",\\", *path) ? "\\" : "", *path);
}

/* Writes the command line of a union's daemon. fuse-overlayfs takes its layers as options, the
 * others take them as a list with modes. */
static void write_daemon(struct lethe_capture *c, const struct lethe_union *u, size_t number)
{
    const struct lethe_mount *m = &c->snapshot->mounts[u->mount];
    bool overlay = !strcmp(m->fstype, "fuse.fuse-overlayfs");
    char place[64];
    snprintf(place, sizeof place, "proc/%zu/cmdline", 1000 + number);
    FILE *out = u->n_branches ? lethe_capture_open(c, place) : NULL;
    if (!out)
        return;
    fprintf(out, "%s%c", overlay ? "fuse-overlayfs" : m->fstype + strlen("fuse."), 0);
    if (overlay)
        fprintf(out, "-o%c", 0);
    for (size_t i = 0; i < u->n_branches; i++) {
        const struct lethe_branch *b = &u->branches[i];
        const char *path = lethe_capture_path(c, b->path);
        if (overlay) {
            fprintf(out, "%s%s=", i ? "," : "", b->writable ? "upperdir" : "lowerdir");
            put_option(out, path);
        } else
            fprintf(out, "%s%s=%s", i ? ":" : "", path, b->writable ? "RW" : "RO");
    }
    fprintf(out, "%c%s%c", 0, lethe_capture_path(c, m->path), 0);
    lethe_capture_close(c, out);
}

/* Lists the layers whose own mount has gone, so that their paths lead to what lies below it. */
static void write_lost_layers(struct lethe_capture *c)
{
    FILE *out = NULL;
    for (size_t i = 0; i < c->snapshot->n_unions; i++)
        for (size_t j = 0; j < c->snapshot->unions[i].n_branches; j++) {
            const struct lethe_branch *b = &c->snapshot->unions[i].branches[j];
            if ((b->mount != LETHE_NONE && !b->is_moved) || b->path[0] != '/')
                continue;
            out = out ? out : lethe_capture_open(c, "proc/self/lost_layers");
            if (out) {
                lethe_capture_escaped(out, lethe_capture_path(c, b->path));
                fputc('\n', out);
            }
        }
    lethe_capture_close(c, out);
}

void lethe_capture_unions(struct lethe_capture *c)
{
    for (size_t i = 0; i < c->snapshot->n_unions; i++) {
        const struct lethe_union *u = &c->snapshot->unions[i];
        const struct lethe_mount *m = &c->snapshot->mounts[u->mount];
        const struct lethe_span id = aufs_id(m);
        if (id.n && !strcmp(m->fstype, "aufs"))
            write_aufs(c, u, id);
        else if (!strncmp(m->fstype, "fuse.", 5))
            write_daemon(c, u, i);
    }
    write_lost_layers(c);
}
