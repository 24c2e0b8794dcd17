/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lethe/kernel/log.h"
#include "lethe/plan/names.h"

/* A path of the tree: what is made up of a device's name and a number or two has room in it. */
enum { PLACE_MAX = 1024 };

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

/* No name in a snapshot may lead out of the tree. */
static bool leads_out(const char *path)
{
    for (struct lethe_span rest = lethe_span(path); rest.at;) {
        struct lethe_span name = lethe_cut(&rest, '/');
        if (!name.n || lethe_span_is(name, ".") || lethe_span_is(name, ".."))
            return true;
    }
    return false;
}

/* A file that can't be made because of its name, too long or taken by a directory, which a forged
 * tree brings about, is told and left out. */
static void leave_out(struct capture *c, const char *path, int error)
{
    static const int names[] = {EISDIR, ENOTDIR, EEXIST, ENAMETOOLONG, ELOOP};
    char shown[200];
    bool name = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        name = name || error == names[i];
    if (name)
        lethe_log(LETHE_LOG_ERROR, "%s is left out: %s", lethe_printable(shown, sizeof shown, path),
                  strerror(error));
    else
        fail(c, -error);
}

static bool make_parents(struct capture *c, const char *path)
{
    char part[PLACE_MAX];
    if (snprintf(part, sizeof part, "%s", path) >= PLACE_MAX || leads_out(path)) {
        leave_out(c, path, leads_out(path) ? EISDIR : ENAMETOOLONG);
        return false;
    }
    for (char *slash = part; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        if (mkdirat(c->dir, part, 0755) && errno != EEXIST) {
            leave_out(c, path, errno);
            return false;
        }
    }
    return true;
}

static FILE *create(struct capture *c, const char *path)
{
    if (c->r || !make_parents(c, path))
        return NULL;
    int fd = openat(c->dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!out)
        leave_out(c, path, errno);
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
    char path[PLACE_MAX];
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
    if (!c->r && make_parents(c, path) && symlinkat(target, c->dir, path))
        leave_out(c, path, errno);
}

/* A path as it is to be told. When the arena is full the capture has failed, nothing more gets into
 * it, and this is "". */
static const char *path_of(struct capture *c, const char *path)
{
    const char *told = lethe_names_path(&c->names, path);
    if (!told)
        fail(c, -ENOMEM);
    return told ? told : "";
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

/* Most names are the kernel's and stay, but that of an MD array may be the user's. */
static const char *block_name(struct capture *c, size_t block)
{
    return path_of(c, c->snapshot->blocks[block].name);
}

/* By the kernel's names, whatever they were mounted by. */
static void put_xfs_devices(struct capture *c, FILE *out, const struct lethe_block *b)
{
    for (size_t i = 0; i < b->n_beside; i++)
        fprintf(out, ",%s=/dev/%s", i ? "rtdev" : "logdev", block_name(c, b->beside[i]));
}

static void write_mount(struct capture *c, FILE *out, const struct lethe_mount *m)
{
    bool is_path = m->root[0] == '/'; /* nsfs: what it is */
    const char *root = is_path ? lethe_names_path(&c->names, m->root) : m->root,
               *path = lethe_names_path(&c->names, m->path),
               *type = lethe_names_type(&c->names, m->fstype),
               *source = lethe_names_source(&c->names, m),
               *options = lethe_names_options(&c->names, m);
    if (!root || !path || !type || !source || !options)
        fail(c, -ENOMEM);
    fprintf(out, "%u %u %u:%u ", m->id, m->parent, m->devno.major, m->devno.minor);
    put_escaped(out, root);
    fputc(' ', out);
    put_escaped(out, path);
    fputc(' ', out);
    put_escaped(out, m->options);
    fputs(" - ", out);
    put_escaped(out, type);
    fputc(' ', out);
    put_escaped(out, source);
    fprintf(out, " %s", options ? options : "");
    if (m->device != LETHE_NONE && !strcmp(m->fstype, "xfs"))
        put_xfs_devices(c, out, &c->snapshot->blocks[m->device]);
    fputc('\n', out);
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
        put_escaped(out, path_of(c, s->path));
        fprintf(out, "\t%s\t0\t0\t-2\n", s->is_file ? "file" : "partition");
    }
    finish(c, out);
}

/* A partition's directory lies in one by its disk's name: not in the disk's own, where it could
 * have the name of one of its files. */
static void name_place(struct capture *c, char *out, size_t size, size_t block, const char *name)
{
    size_t disk = c->snapshot->blocks[block].disk;
    const char *in = disk == LETHE_NONE ? "block" : block_name(c, disk);
    snprintf(out, size, "devices/%s%s/%s", disk == LETHE_NONE ? "" : "partitions/", in, name);
}

/* What a device lies on without a link to it. */
static void write_unlinked(struct capture *c, const struct lethe_block *b, const char *place)
{
    for (size_t i = 0; i < b->n_slaves; i++) {
        char text[300];
        const struct lethe_block *slave = &c->snapshot->blocks[b->slaves[i]];
        const char *name = block_name(c, b->slaves[i]);
        if (b->kind == LETHE_BLOCK_ZRAM) {
            snprintf(text, sizeof text, "/dev/%s", name);
            put_text(c, text, "sys/%s/backing_dev", place);
        } else if (b->kind == LETHE_BLOCK_MD && slave->kind == LETHE_BLOCK_MD) {
            snprintf(text, sizeof text, "external:/%s/0", name);
            put_text(c, text, "sys/%s/md/metadata_version", place);
        }
    }
}

static void write_slaves(struct capture *c, const struct lethe_block *b, const char *place)
{
    char path[PLACE_MAX], target[300];
    for (size_t i = 0; i < b->n_slaves; i++) {
        const char *slave = block_name(c, b->slaves[i]);
        if (b->kind == LETHE_BLOCK_ZRAM)
            continue; /* write_unlinked() */
        snprintf(path, sizeof path, "sys/%s/slaves/%s", place, slave);
        snprintf(target, sizeof target, "../../%s", slave);
        put_link(c, target, path);
    }
}

static void write_block(struct capture *c, size_t block)
{
    const struct lethe_block *b = &c->snapshot->blocks[block];
    const char *name = block_name(c, block);
    char place[600], path[800], target[800];
    name_place(c, place, sizeof place, block, name);
    snprintf(path, sizeof path, "sys/class/block/%s", name);
    snprintf(target, sizeof target, "../../%s", place);
    put_link(c, target, path);
    snprintf(path, sizeof path, "sys/%s/dev", place);
    put_devno(c, b->devno, path);
    if (b->disk != LETHE_NONE)
        put_text(c, "1", "sys/%s/partition", place);
    if (b->read_only)
        put_text(c, "1", "sys/%s/ro", place);
    write_unlinked(c, b, place);
    if (b->kind == LETHE_BLOCK_ZRAM) /* without a size it would hold nothing */
        put_text(c, "8", "sys/%s/size", place);
    if (b->kind == LETHE_BLOCK_NBD) /* without a process it would have no connection */
        put_text(c, "1", "sys/%s/pid", place);
    if (b->kind == LETHE_BLOCK_MD)
        put_text(c, "active", "sys/%s/md/array_state", place);
    put_text(c, lethe_names_path(&c->names, b->dm_name), "sys/%s/dm/name", place);
    put_text(c, lethe_names_dm_uuid(&c->names, b->dm_uuid), "sys/%s/dm/uuid", place);
    put_text(c, lethe_names_path(&c->names, b->file), "sys/%s/loop/backing_file", place);
    if (b->kind == LETHE_BLOCK_LOOP && (b->file_devno.major || b->file_devno.minor)) {
        snprintf(path, sizeof path, "sys/%s/loop/backing_dev", place);
        put_devno(c, b->file_devno, path);
    }
    write_slaves(c, b, place);
}

/* What a reader knows from /sys. */
static bool is_known(const struct lethe_snapshot *s, const char *path, size_t device)
{
    const char *base = strrchr(path, '/') + 1;
    return !strcmp(s->blocks[device].name, base) || !strcmp(s->blocks[device].dm_name, base);
}

/* The file by a device's name, for names that say nothing by themselves. */
static void write_name(struct capture *c, const char *name, size_t device)
{
    const char *path = path_of(c, name);
    struct stat st;
    if (device == LETHE_NONE || strncmp(path, "/dev/", 5) || is_known(c->snapshot, name, device) ||
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

/* A journal's thread, made up. */
static void write_journal(struct capture *c, size_t device, size_t journal)
{
    char text[32];
    snprintf(text, sizeof text, "%zu", 100000 + device);
    put_text(c, text, "sys/fs/ext4/%s/journal_task", block_name(c, device));
    snprintf(text, sizeof text, "proc/%zu/comm", 100000 + device);
    FILE *out = create(c, text);
    if (out)
        fprintf(out, "jbd2/%s\n", block_name(c, journal));
    finish(c, out);
}

static void write_btrfs(struct capture *c, size_t device, size_t member)
{
    char path[PLACE_MAX], target[300];
    const char *name = block_name(c, member);
    snprintf(path, sizeof path, "sys/fs/btrfs/%zu/devices/%s", device, name);
    snprintf(target, sizeof target, "../../../../class/block/%s", name);
    put_link(c, target, path);
}

/* What the file system on the device lies on too, as that kind of file system tells it; an xfs does
 * so in its options. */
static void write_beside(struct capture *c, size_t device)
{
    const struct lethe_snapshot *s = c->snapshot;
    const struct lethe_block *b = &s->blocks[device];
    size_t mount = 0;
    while (b->n_beside && mount < s->n_mounts && s->mounts[mount].device != device)
        mount++;
    if (!b->n_beside || mount == s->n_mounts || !strcmp(s->mounts[mount].fstype, "xfs"))
        return;
    if (strcmp(s->mounts[mount].fstype, "btrfs")) {
        write_journal(c, device, b->beside[0]);
        return;
    }
    write_btrfs(c, device, device);
    for (size_t i = 0; i < b->n_beside; i++)
        write_btrfs(c, device, b->beside[i]);
}

static void write_aufs(struct capture *c, const struct lethe_union *u, struct lethe_span id)
{
    for (size_t i = 0; i < u->n_branches; i++) {
        const char *path = path_of(c, u->branches[i].path);
        char place[100];
        snprintf(place, sizeof place, "sys/fs/aufs/si_%.*s/br%zu", (int)id.n, id.at, i);
        FILE *out = create(c, place);
        if (out)
            fprintf(out, "%s=%s\n", path, u->branches[i].writable ? "rw" : "ro");
        finish(c, out);
    }
}

/* The value of an aufs's option si=, which is hex digits; n is 0 where there is none. */
static struct lethe_span aufs_id(const struct lethe_mount *m)
{
    for (struct lethe_span rest = lethe_span(m->super_options); rest.at;) {
        struct lethe_span option = lethe_cut(&rest, ','), name = lethe_cut(&option, '=');
        if (option.at && lethe_span_is(name, "si"))
            return strspn(option.at, "0123456789abcdef") == option.n && option.n <= 16
                       ? option
                       : (struct lethe_span){NULL, 0};
    }
    return (struct lethe_span){NULL, 0};
}

/* As libfuse reads it. */
static void put_option(FILE *out, const char *path)
{
    for (; *path; path++)
        fprintf(out, "%s%c", strchr(",\\", *path) ? "\\" : "", *path);
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
        const char *path = path_of(c, b->path);
        if (overlay) {
            fprintf(out, "%s%s=", i ? "," : "", b->writable ? "upperdir" : "lowerdir");
            put_option(out, path);
        } else
            fprintf(out, "%s%s=%s", i ? ":" : "", path, b->writable ? "RW" : "RO");
    }
    fprintf(out, "%c%s%c", 0, path_of(c, m->path), 0);
    finish(c, out);
}

/* Those whose paths lead to what lies below the mount that they were on. */
static void write_lost_layers(struct capture *c)
{
    FILE *out = NULL;
    for (size_t i = 0; i < c->snapshot->n_unions; i++)
        for (size_t j = 0; j < c->snapshot->unions[i].n_branches; j++) {
            const struct lethe_branch *b = &c->snapshot->unions[i].branches[j];
            if (b->mount != LETHE_NONE || b->path[0] != '/')
                continue;
            out = out ? out : create(c, "proc/self/lost_layers");
            if (out) {
                put_escaped(out, path_of(c, b->path));
                fputc('\n', out);
            }
        }
    finish(c, out);
}

static void write_unions(struct capture *c)
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
    for (size_t i = 0; i < snapshot->n_blocks; i++)
        write_beside(&c, i);
    write_names(&c);
    write_unions(&c);
    write_lost_layers(&c);
    put_text(&c, snapshot->has_pool ? "ONLINE" : "", "proc/spl/kstat/zfs/pool/state");
    write_namespaces(&c);
    return c.r;
}
