/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lethe/names.h"

struct capture {
    int dir;
    const struct lethe_snapshot *snapshot;
    struct lethe_names names;
    int r; /* the first error; after it nothing is written */
};

static void fail(struct capture *c, int r)
{
    c->r = c->r ? c->r : r;
}

static void make_parents(struct capture *c, const char *path)
{
    char part[1024];
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = part; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        if (mkdirat(c->dir, part, 0755) && errno != EEXIST)
            fail(c, -errno);
    }
}

static FILE *create(struct capture *c, const char *path)
{
    if (c->r)
        return NULL;
    make_parents(c, path);
    int fd = openat(c->dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!out)
        fail(c, -errno);
    if (!out && fd >= 0)
        close(fd);
    return out;
}

static void finish(struct capture *c, FILE *out)
{
    if (out && (ferror(out) | fclose(out)))
        fail(c, -EIO);
}

static void put_text(struct capture *c, const char *text, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A file of one line, where there is a text. */
static void put_text(struct capture *c, const char *text, const char *format, ...)
{
    char path[1024];
    va_list list;
    if (!text)
        fail(c, -ENOMEM);
    if (!text || !text[0])
        return;
    va_start(list, format);
    vsnprintf(path, sizeof path, format, list);
    va_end(list);
    FILE *out = create(c, path);
    if (out)
        fprintf(out, "%s\n", text);
    finish(c, out);
}

static void put_devno(struct capture *c, struct lethe_devno devno, const char *path)
{
    char text[32];
    snprintf(text, sizeof text, "%u:%u", devno.major, devno.minor);
    put_text(c, text, "%s", path);
}

static void put_link(struct capture *c, const char *target, const char *path)
{
    make_parents(c, path);
    if (!c->r && symlinkat(target, c->dir, path))
        fail(c, -errno);
}

/* As show_mountinfo() and seq_path() in the kernel's fs do it. */
static void put_escaped(FILE *out, const char *text)
{
    for (; text && *text; text++)
        if (strchr(" \t\n\\#", *text))
            fprintf(out, "\\%03o", (unsigned char)*text);
        else
            fputc(*text, out);
}

static void write_mount(struct capture *c, FILE *out, const struct lethe_mount *m)
{
    bool is_path = m->root[0] == '/'; /* nsfs: what it is */
    const char *root = is_path ? lethe_names_path(&c->names, m->root) : m->root,
               *path = lethe_names_path(&c->names, m->path),
               *source = lethe_names_source(&c->names, m),
               *options = lethe_names_options(&c->names, m);
    if (!root || !path || !source || !options)
        fail(c, -ENOMEM);
    fprintf(out, "%u %u %u:%u ", m->id, m->parent, m->devno.major, m->devno.minor);
    put_escaped(out, root);
    fputc(' ', out);
    put_escaped(out, path);
    fputc(' ', out);
    put_escaped(out, m->options);
    fputs(" - ", out);
    put_escaped(out, m->fstype);
    fputc(' ', out);
    put_escaped(out, source);
    fprintf(out, " %s\n", options ? options : "");
}

static void write_mounts(struct capture *c)
{
    FILE *out = create(c, "proc/self/mountinfo");
    for (size_t i = 0; out && i < c->snapshot->n_mounts; i++)
        write_mount(c, out, &c->snapshot->mounts[i]);
    finish(c, out);
}

static void write_swaps(struct capture *c)
{
    FILE *out = create(c, "proc/swaps");
    if (out)
        fputs("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n", out);
    for (size_t i = 0; out && i < c->snapshot->n_swaps; i++) {
        const struct lethe_swap *s = &c->snapshot->swaps[i];
        put_escaped(out, lethe_names_path(&c->names, s->path));
        fprintf(out, "\t%s\t0\t0\t-2\n", s->is_file ? "file" : "partition");
    }
    finish(c, out);
}

/* A partition's directory lies in its disk's. */
static void name_place(char *out, size_t size, const struct lethe_snapshot *s, size_t block)
{
    size_t disk = s->blocks[block].disk;
    if (disk == LETHE_NONE)
        snprintf(out, size, "devices/block/%s", s->blocks[block].name);
    else
        snprintf(out, size, "devices/block/%s/%s", s->blocks[disk].name, s->blocks[block].name);
}

static void write_block(struct capture *c, size_t block)
{
    const struct lethe_block *b = &c->snapshot->blocks[block];
    char place[600], path[800], target[800];
    name_place(place, sizeof place, c->snapshot, block);
    snprintf(path, sizeof path, "sys/class/block/%s", b->name);
    snprintf(target, sizeof target, "../../%s", place);
    put_link(c, target, path);
    snprintf(path, sizeof path, "sys/%s/dev", place);
    put_devno(c, b->devno, path);
    if (b->disk != LETHE_NONE)
        put_text(c, "1", "sys/%s/partition", place);
    if (b->kind == LETHE_BLOCK_ZRAM) /* without a size it would hold nothing */
        put_text(c, "8", "sys/%s/size", place);
    if (b->kind == LETHE_BLOCK_NBD) /* without a process it would have no connection */
        put_text(c, "1", "sys/%s/pid", place);
    put_text(c, lethe_names_path(&c->names, b->dm_name), "sys/%s/dm/name", place);
    put_text(c, lethe_names_dm_uuid(&c->names, b->dm_uuid), "sys/%s/dm/uuid", place);
    put_text(c, lethe_names_path(&c->names, b->file), "sys/%s/loop/backing_file", place);
    if (b->kind == LETHE_BLOCK_LOOP && (b->file_devno.major || b->file_devno.minor)) {
        snprintf(path, sizeof path, "sys/%s/loop/backing_dev", place);
        put_devno(c, b->file_devno, path);
    }
    for (size_t i = 0; i < b->n_slaves; i++) {
        const char *slave = c->snapshot->blocks[b->slaves[i]].name;
        snprintf(path, sizeof path, "sys/%s/slaves/%s", place, slave);
        snprintf(target, sizeof target, "../../%s", slave);
        put_link(c, target, path);
    }
}

/* The file by a device's name, for names that say nothing by themselves. */
static void write_name(struct capture *c, const char *name, size_t device)
{
    const char *path = lethe_names_path(&c->names, name);
    struct stat st;
    if (!path)
        fail(c, -ENOMEM);
    if (!path || device == LETHE_NONE || strncmp(path, "/dev/", 5) || strstr(path, "/../") ||
        !fstatat(c->dir, path + 1, &st, AT_SYMLINK_NOFOLLOW))
        return;
    put_devno(c, c->snapshot->blocks[device].devno, path + 1);
}

static void write_names(struct capture *c)
{
    const struct lethe_snapshot *s = c->snapshot;
    for (size_t i = 0; i < s->n_mounts; i++)
        if (!s->mounts[i].devno.major)
            write_name(c, s->mounts[i].source, s->mounts[i].device);
    for (size_t i = 0; i < s->n_swaps; i++)
        write_name(c, s->swaps[i].path, s->swaps[i].device);
}

static void write_aufs(struct capture *c, const struct lethe_union *u, struct lethe_span id)
{
    for (size_t i = 0; i < u->n_branches; i++) {
        const char *path = lethe_names_path(&c->names, u->branches[i].path);
        char place[100];
        snprintf(place, sizeof place, "sys/fs/aufs/si_%.*s/br%zu", (int)id.n, id.at, i);
        FILE *out = path ? create(c, place) : NULL;
        if (out)
            fprintf(out, "%s=%s\n", path, u->branches[i].writable ? "rw" : "ro");
        finish(c, out);
    }
}

/* fuse-overlayfs takes its layers as options, the others as a list with modes. */
static void write_daemon(struct capture *c, const struct lethe_union *u, size_t number)
{
    const struct lethe_mount *m = &c->snapshot->mounts[u->mount];
    bool overlay = !strcmp(m->fstype, "fuse.fuse-overlayfs");
    char place[64];
    snprintf(place, sizeof place, "proc/%zu/cmdline", 1000 + number);
    FILE *out = u->n_branches ? create(c, place) : NULL;
    if (!out)
        return;
    fprintf(out, "%s%c", overlay ? "fuse-overlayfs" : m->fstype + strlen("fuse."), 0);
    if (overlay)
        fprintf(out, "-o%c", 0);
    for (size_t i = 0; i < u->n_branches; i++) {
        const struct lethe_branch *b = &u->branches[i];
        const char *path = lethe_names_path(&c->names, b->path);
        if (!path)
            fail(c, -ENOMEM);
        else if (overlay)
            fprintf(out, "%s%s=%s", i ? "," : "", b->writable ? "upperdir" : "lowerdir", path);
        else
            fprintf(out, "%s%s=%s", i ? ":" : "", path, b->writable ? "RW" : "RO");
    }
    const char *path = lethe_names_path(&c->names, m->path);
    fprintf(out, "%c%s%c", 0, path ? path : "", 0);
    finish(c, out);
}

static void write_unions(struct capture *c)
{
    for (size_t i = 0; i < c->snapshot->n_unions; i++) {
        const struct lethe_union *u = &c->snapshot->unions[i];
        const struct lethe_mount *m = &c->snapshot->mounts[u->mount];
        const char *id = !strcmp(m->fstype, "aufs") ? strstr(m->super_options, "si=") : NULL;
        if (id)
            write_aufs(c, u, (struct lethe_span){id + 3, strspn(id + 3, "0123456789abcdef")});
        else if (strncmp(m->fstype, "fuse.", 5) == 0)
            write_daemon(c, u, i);
    }
}

static void write_namespace(struct capture *c, const char *process, uint64_t id)
{
    char path[64], target[64];
    snprintf(path, sizeof path, "proc/%s/ns/mnt", process);
    snprintf(target, sizeof target, "mnt:[%" PRIu64 "]", id);
    put_link(c, target, path);
}

/* The reader's own is only told from the others: 1 is nobody's. */
static void write_namespaces(struct capture *c)
{
    char process[32];
    const struct lethe_snapshot *s = c->snapshot;
    if (s->n_namespaces)
        write_namespace(c, "self", 1);
    for (size_t i = 0; i < s->n_namespaces; i++) {
        snprintf(process, sizeof process, "%" PRIu64, s->namespaces[i].pid);
        write_namespace(c, process, s->namespaces[i].id);
    }
}

int lethe_capture(int dir, const struct lethe_snapshot *snapshot, bool keep_names,
                  struct lethe_arena *arena)
{
    struct capture c = {.dir = dir, .snapshot = snapshot};
    c.names = (struct lethe_names){.arena = arena, .keep = keep_names};
    write_mounts(&c);
    write_swaps(&c);
    for (size_t i = 0; i < snapshot->n_blocks; i++)
        write_block(&c, i);
    write_names(&c);
    write_unions(&c);
    write_namespaces(&c);
    return c.r;
}
