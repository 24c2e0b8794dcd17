/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lethe/kernel/capture_file.h"

static void put_devno(struct lethe_capture *c, struct lethe_devno devno, const char *path)
{
    char text[32];
    snprintf(text, sizeof text, "%u:%u", devno.major, devno.minor);
    lethe_capture_text(c, text, "%s", path);
}

/* Replaces a user's name: most devices are named by the kernel, but an MD array may be named by its
 * user. */
static const char *block_name(struct lethe_capture *c, size_t block)
{
    return lethe_capture_path(c, c->snapshot->blocks[block].name);
}

/* Writes an xfs's other devices by the kernel's names, whatever names they were mounted by. */
static void put_xfs_devices(struct lethe_capture *c, FILE *out, const struct lethe_block *b)
{
    for (size_t i = 0; i < b->n_beside; i++)
        fprintf(out, ",%s=/dev/%s", i ? "rtdev" : "logdev", block_name(c, b->beside[i]));
}

static void write_mount(struct lethe_capture *c, FILE *out, const struct lethe_mount *m)
{
    bool is_path = m->root[0] == '/'; /* nsfs: what it is */
    const char *root = is_path ? lethe_names_path(&c->names, m->root) : m->root,
               *path = lethe_names_path(&c->names, m->path),
               *type = lethe_names_type(&c->names, m->fstype),
               *source = lethe_names_source(&c->names, m),
               *options = lethe_names_options(&c->names, m);
    if (!root || !path || !type || !source || !options)
        lethe_capture_fail(c, -ENOMEM);
    fprintf(out, "%u %u %u:%u ", m->id, m->parent, m->devno.major, m->devno.minor);
    lethe_capture_escaped(out, root);
    fputc(' ', out);
    lethe_capture_escaped(out, path);
    fputc(' ', out);
    lethe_capture_escaped(out, m->options);
    fputs(" - ", out);
    lethe_capture_escaped(out, type);
    fputc(' ', out);
    lethe_capture_escaped(out, source);
    fprintf(out, " %s", options ? options : "");
    if (m->device != LETHE_NONE && !strcmp(m->fstype, "xfs"))
        put_xfs_devices(c, out, &c->snapshot->blocks[m->device]);
    fputc('\n', out);
}

static void write_mounts(struct lethe_capture *c)
{
    FILE *out = lethe_capture_open(c, "proc/self/mountinfo");
    for (size_t i = 0; out && i < c->snapshot->n_mounts; i++)
        write_mount(c, out, &c->snapshot->mounts[i]);
    lethe_capture_close(c, out);
}

static void write_swaps(struct lethe_capture *c)
{
    FILE *out = lethe_capture_open(c, "proc/swaps");
    if (out)
        fputs("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n", out);
    for (size_t i = 0; out && i < c->snapshot->n_swaps; i++) {
        const struct lethe_swap *s = &c->snapshot->swaps[i];
        lethe_capture_escaped(out, lethe_capture_path(c, s->path));
        fprintf(out, "\t%s\t0\t0\t-2\n", s->is_file ? "file" : "partition");
    }
    lethe_capture_close(c, out);
}

/* Names the folder of a device. A partition's lies in one named after its disk, not in the disk's
 * own, where it could have the name of one of the disk's files. */
static void name_place(struct lethe_capture *c, char *out, size_t size, size_t block,
                       const char *name)
{
    size_t disk = c->snapshot->blocks[block].disk;
    const char *in = disk == LETHE_NONE ? "block" : block_name(c, disk);
    snprintf(out, size, "devices/%s%s/%s", disk == LETHE_NONE ? "" : "partitions/", in, name);
}

/* Writes what a device lies on where the kernel has no link to it. */
static void write_unlinked(struct lethe_capture *c, const struct lethe_block *b, const char *place)
{
    for (size_t i = 0; i < b->n_slaves; i++) {
        char text[300];
        const struct lethe_block *slave = &c->snapshot->blocks[b->slaves[i]];
        const char *name = block_name(c, b->slaves[i]);
        if (b->kind == LETHE_BLOCK_ZRAM) {
            snprintf(text, sizeof text, "/dev/%s", name);
            lethe_capture_text(c, text, "sys/%s/backing_dev", place);
        } else if (b->kind == LETHE_BLOCK_MD && slave->kind == LETHE_BLOCK_MD) {
            snprintf(text, sizeof text, "external:/%s/0", name);
            lethe_capture_text(c, text, "sys/%s/md/metadata_version", place);
        }
    }
}

static void write_slaves(struct lethe_capture *c, const struct lethe_block *b, const char *place)
{
    char path[LETHE_CAPTURE_PATH_MAX], target[300];
    for (size_t i = 0; i < b->n_slaves; i++) {
        const char *slave = block_name(c, b->slaves[i]);
        if (b->kind == LETHE_BLOCK_ZRAM)
            continue; /* write_unlinked() */
        snprintf(path, sizeof path, "sys/%s/slaves/%s", place, slave);
        snprintf(target, sizeof target, "../../%s", slave);
        lethe_capture_link(c, target, path);
    }
}

static void write_block(struct lethe_capture *c, size_t block)
{
    const struct lethe_block *b = &c->snapshot->blocks[block];
    const char *name = block_name(c, block);
    char place[600], path[800], target[800];
    name_place(c, place, sizeof place, block, name);
    snprintf(path, sizeof path, "sys/class/block/%s", name);
    snprintf(target, sizeof target, "../../%s", place);
    lethe_capture_link(c, target, path);
    snprintf(path, sizeof path, "sys/%s/dev", place);
    put_devno(c, b->devno, path);
    if (b->disk != LETHE_NONE)
        lethe_capture_text(c, "1", "sys/%s/partition", place);
    if (b->read_only)
        lethe_capture_text(c, "1", "sys/%s/ro", place);
    write_unlinked(c, b, place);
    if (b->kind == LETHE_BLOCK_ZRAM) /* without a size it would hold nothing */
        lethe_capture_text(c, "8", "sys/%s/size", place);
    if (b->kind == LETHE_BLOCK_NBD) /* without a process it would have no connection */
        lethe_capture_text(c, "1", "sys/%s/pid", place);
    if (b->kind == LETHE_BLOCK_MD)
        lethe_capture_text(c, "active", "sys/%s/md/array_state", place);
    lethe_capture_text(c, lethe_names_path(&c->names, b->dm_name), "sys/%s/dm/name", place);
    lethe_capture_text(c, lethe_names_dm_uuid(&c->names, b->dm_uuid), "sys/%s/dm/uuid", place);
    lethe_capture_text(c, lethe_names_path(&c->names, b->file), "sys/%s/loop/backing_file", place);
    if (b->kind == LETHE_BLOCK_LOOP && (b->file_devno.major || b->file_devno.minor)) {
        snprintf(path, sizeof path, "sys/%s/loop/backing_dev", place);
        put_devno(c, b->file_devno, path);
    }
    write_slaves(c, b, place);
}

/* True when a reader finds the device by its name in /sys. */
static bool is_known(const struct lethe_snapshot *s, const char *path, size_t device)
{
    const char *base = strrchr(path, '/') + 1;
    return !strcmp(s->blocks[device].name, base) || !strcmp(s->blocks[device].dm_name, base);
}

/* Writes a file with the device's number under a name that says nothing by itself. */
static void write_name(struct lethe_capture *c, const char *name, size_t device)
{
    const char *path = lethe_capture_path(c, name);
    struct stat st;
    if (device == LETHE_NONE || strncmp(path, "/dev/", 5) || is_known(c->snapshot, name, device) ||
        !fstatat(c->dir, path + 1, &st, AT_SYMLINK_NOFOLLOW))
        return;
    put_devno(c, c->snapshot->blocks[device].devno, path + 1);
}

static void write_names(struct lethe_capture *c)
{
    const struct lethe_snapshot *s = c->snapshot;
    for (size_t i = 0; i < s->n_mounts; i++)
        if (!s->mounts[i].devno.major)
            write_name(c, s->mounts[i].source, s->mounts[i].device);
    for (size_t i = 0; i < s->n_swaps; i++)
        write_name(c, s->swaps[i].path, s->swaps[i].device);
}

/* Writes a made-up process by the name that the journal's thread had. */
static void write_journal(struct lethe_capture *c, size_t device, size_t journal)
{
    char text[32];
    snprintf(text, sizeof text, "%zu", 100000 + device);
    lethe_capture_text(c, text, "sys/fs/ext4/%s/journal_task", block_name(c, device));
    snprintf(text, sizeof text, "proc/%zu/comm", 100000 + device);
    FILE *out = lethe_capture_open(c, text);
    if (out)
        fprintf(out, "jbd2/%s\n", block_name(c, journal));
    lethe_capture_close(c, out);
}

static void write_btrfs(struct lethe_capture *c, size_t device, size_t member)
{
    char path[LETHE_CAPTURE_PATH_MAX], target[300];
    const char *name = block_name(c, member);
    snprintf(path, sizeof path, "sys/fs/btrfs/%zu/devices/%s", device, name);
    snprintf(target, sizeof target, "../../../../class/block/%s", name);
    lethe_capture_link(c, target, path);
}

/* Writes what else a file system lies on, in the way in which that kind of file system says it. An
 * xfs says so in its options. */
static void write_beside(struct lethe_capture *c, size_t device)
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

static void write_namespace(struct lethe_capture *c, const char *process, uint64_t id)
{
    char path[64], target[64];
    snprintf(path, sizeof path, "proc/%s/ns/mnt", process);
    snprintf(target, sizeof target, "mnt:[%" PRIu64 "]", id);
    lethe_capture_link(c, target, path);
}

/* Writes the namespaces of processes. The reader's own only has to differ from the others: 1 is
 * nobody's. */
static void write_namespaces(struct lethe_capture *c)
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
    struct lethe_capture c = {.dir = dir, .snapshot = snapshot};
    c.names = (struct lethe_names){.arena = arena, .keep = keep_names};
    write_mounts(&c);
    write_swaps(&c);
    for (size_t i = 0; i < snapshot->n_blocks; i++)
        write_block(&c, i);
    for (size_t i = 0; i < snapshot->n_blocks; i++)
        write_beside(&c, i);
    write_names(&c);
    lethe_capture_unions(&c);
    lethe_capture_text(&c, snapshot->has_pool ? "ONLINE" : "", "proc/spl/kstat/zfs/pool/state");
    write_namespaces(&c);
    return c.r;
}
