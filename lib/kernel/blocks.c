/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/blocks.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "lethe/kernel/sys.h"
#include "lethe/plan/devices.h"
#include "lethe/plan/sort.h"

/* A name of a device, given by the kernel or by device-mapper. */
struct lethe_device_name {
    const char *text;
    size_t block;
};

enum { ATTRIBUTE_MAX = 4096 };

/* Reads a one-line attribute of a block device into `line`, "" when it has none. Returns line. */
static const char *attribute_line(const struct lethe_source *s, const char *name, const char *what,
                                  char line[ATTRIBUTE_MAX])
{
    char path[512];
    snprintf(path, sizeof path, "sys/class/block/%s/%s", name, what);
    lethe_sys_read_line(s->root, path, line, ATTRIBUTE_MAX);
    return line;
}

/* Copies the attribute into the arena; NULL when that is full. */
static const char *attribute(const struct lethe_source *s, const char *name, const char *what)
{
    char room[ATTRIBUTE_MAX];
    const char *line = attribute_line(s, name, what, room);
    return lethe_arena_text(s->arena, line, strlen(line));
}

static struct lethe_devno devno_of(dev_t device)
{
    return (struct lethe_devno){major(device), minor(device)};
}

/* Returns the number of the file system that hosts a loop's file, as the kernel says it (loop(4),
 * lo_device). A captured tree has it beside the file's name. */
static struct lethe_devno loop_host(const struct lethe_source *s, const char *name)
{
    char path[300], line[ATTRIBUTE_MAX];
    struct loop_info64 info = {0};
    struct lethe_devno none = {0, 0}, host;
    if (!s->live)
        return lethe_devno(lethe_span(attribute_line(s, name, "loop/backing_dev", line)), &host)
                   ? none
                   : host;
    snprintf(path, sizeof path, "/dev/%.255s", name);
    int fd = lethe_sys->open(path, O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return none;
    int r = lethe_sys->ioctl(fd, LOOP_GET_STATUS64, &info);
    lethe_sys->close(fd);
    return r < 0 ? none : devno_of((dev_t)info.lo_device);
}

/* A running system's device may go while the others are listed. */
static void note_unread(const struct lethe_source *s, const char *name)
{
    char path[300], text[32];
    snprintf(path, sizeof path, "sys/class/block/%.255s/dev", name);
    if (!s->live || lethe_sys_read_file(s->root, path, text, sizeof text) != -ENOENT)
        s->snapshot->unseen |= LETHE_UNSEEN_ENTRIES;
}

static int read_block(const struct lethe_source *s, const char *name, struct lethe_block *b)
{
    char line[ATTRIBUTE_MAX];
    b->disk = LETHE_NONE;
    const char *number = attribute(s, name, "dev");
    b->name = lethe_arena_text(s->arena, name, strlen(name));
    b->dm_name = attribute(s, name, "dm/name");
    b->dm_uuid = attribute(s, name, "dm/uuid");
    b->file = attribute(s, name, "loop/backing_file");
    if (!number || !b->name || !b->dm_name || !b->dm_uuid || !b->file)
        return -ENOMEM;
    if (lethe_devno(lethe_span(number), &b->devno)) {
        note_unread(s, name);
        return -EINVAL;
    }
    b->read_only = !strcmp(attribute_line(s, name, "ro", line), "1");
    b->kind =
        lethe_devices_kind(b->name, b->dm_uuid, attribute_line(s, name, "md/array_state", line)[0]);
    if (b->kind == LETHE_BLOCK_LOOP && b->file[0])
        b->file_devno = loop_host(s, b->name);
    if (b->kind == LETHE_BLOCK_ZRAM) { /* one without a size holds nothing, and is left out */
        const char *size = attribute(s, name, "size");
        return !size ? -ENOMEM : strcmp(size, "0") ? 0 : -EINVAL;
    }
    if (b->kind == LETHE_BLOCK_NBD && !attribute_line(s, name, "pid", line)[0])
        b->kind = LETHE_BLOCK_PLAIN; /* it has no connection that could be closed */
    return 0;
}

static int compare_blocks(const void *left, const void *right)
{
    const struct lethe_block *a = left, *b = right;
    if (a->devno.major != b->devno.major)
        return a->devno.major < b->devno.major ? -1 : 1;
    return (a->devno.minor > b->devno.minor) - (a->devno.minor < b->devno.minor);
}

static int read_blocks(struct lethe_source *s)
{
    DIR *dir = lethe_source_open_dir(s, "sys/class/block");
    if (!dir) {
        s->snapshot->unseen |= LETHE_UNSEEN_DEVICES;
        return 0;
    }
    size_t room = lethe_source_count(dir);
    struct lethe_snapshot *snapshot = s->snapshot;
    snapshot->blocks = lethe_arena_alloc(s->arena, room, sizeof *snapshot->blocks);
    int r = snapshot->blocks ? 0 : -ENOMEM;
    for (struct dirent *entry; !r && snapshot->n_blocks < room && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        r = read_block(s, entry->d_name, &snapshot->blocks[snapshot->n_blocks]);
        snapshot->n_blocks += !r;
        r = r == -EINVAL ? 0 : r;
    }
    closedir(dir);
    if (snapshot->n_blocks)
        qsort(snapshot->blocks, snapshot->n_blocks, sizeof *snapshot->blocks, compare_blocks);
    return r;
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(((const struct lethe_device_name *)left)->text,
                  ((const struct lethe_device_name *)right)->text);
}

static int index_names(struct lethe_source *s)
{
    const size_t n = s->snapshot->n_blocks;
    struct lethe_device_name *room = lethe_arena_take(s->arena, n, sizeof *room);
    s->names = lethe_arena_take(s->arena, 2 * n, sizeof *s->names);
    if (!s->names || !room)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const struct lethe_block *b = &s->snapshot->blocks[i];
        s->names[s->n_names++] = (struct lethe_device_name){b->name, i};
        if (b->dm_name[0])
            s->names[s->n_names++] = (struct lethe_device_name){b->dm_name, i};
    }
    lethe_sort(s->names, s->n_names, sizeof *s->names, room, compare_names);
    return 0;
}

/* Returns the first device with this name, or LETHE_NONE. With `kernel`, names of device-mapper do
 * not count. */
static size_t find_name(const struct lethe_source *s, const char *text, bool kernel)
{
    const struct lethe_device_name key = {.text = text};
    size_t at = lethe_sort_find(s->names, s->n_names, sizeof *s->names, &key, compare_names);
    for (; at < s->n_names && !strcmp(s->names[at].text, text); at++)
        if (!kernel || s->names[at].text == s->snapshot->blocks[s->names[at].block].name)
            return s->names[at].block;
    return LETHE_NONE;
}

/* Lists the devices that a directory has links to. */
static int read_links(const struct lethe_source *s, const char *path, const size_t **list,
                      size_t *count)
{
    DIR *dir = lethe_source_open_dir(s, path);
    if (!dir)
        return 0;
    size_t room = lethe_source_count(dir), n = 0;
    size_t *found = lethe_arena_alloc(s->arena, room, sizeof *found);
    for (struct dirent *entry; found && n < room && (entry = readdir(dir));) {
        size_t device = find_name(s, entry->d_name, true);
        if (device != LETHE_NONE)
            found[n++] = device;
    }
    closedir(dir);
    *list = found;
    *count = n;
    return found ? 0 : -ENOMEM;
}

/* Returns the device that this one lies on without a link to it: of an MD array with external
 * metadata its container ("external:/md127/0", Documentation/admin-guide/md.rst), of zram the
 * device that it writes back to. */
static size_t unlinked_slave(const struct lethe_source *s, const struct lethe_block *b)
{
    static const char external[] = "external:";
    char room[ATTRIBUTE_MAX];
    const char *line = "";
    if (b->kind == LETHE_BLOCK_ZRAM) {
        line = attribute_line(s, b->name, "backing_dev", room);
        return line[0] == '/' ? lethe_block_find(s->snapshot, lethe_blocks_resolve((void *)s, line))
                              : LETHE_NONE;
    }
    if (b->kind == LETHE_BLOCK_MD)
        line = attribute_line(s, b->name, "md/metadata_version", room);
    if (strncmp(line, external, sizeof external - 1) != 0)
        return LETHE_NONE;
    line += sizeof external - 1;
    char name[256];
    if (line[0] != '/' && line[0] != '-') /* "imsm": it is a container */
        return LETHE_NONE;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(line + 1, "/"), line + 1);
    return find_name(s, name, true);
}

static int read_slaves(const struct lethe_source *s, struct lethe_block *b)
{
    char path[300];
    snprintf(path, sizeof path, "sys/class/block/%.255s/slaves", b->name);
    int r = read_links(s, path, &b->slaves, &b->n_slaves);
    const size_t more = r ? LETHE_NONE : unlinked_slave(s, b);
    if (more == LETHE_NONE)
        return r;
    size_t *list = lethe_arena_take(s->arena, b->n_slaves + 1, sizeof *list), n = 0;
    if (!list)
        return -ENOMEM;
    for (size_t i = 0; i < b->n_slaves; i++)
        if (b->slaves[i] != more) /* a capture has a link to it, too */
            list[n++] = b->slaves[i];
    list[n++] = more;
    b->slaves = list;
    b->n_slaves = n;
    return 0;
}

/* Finds the other devices of a btrfs. /sys has a directory named by its uuid, with links to all of
 * its devices; a mount's source names one of them. */
static int add_btrfs(const struct lethe_source *s, const char *uuid, const bool *mounted)
{
    char path[300];
    const size_t *list = NULL;
    size_t n = 0, first = 0;
    snprintf(path, sizeof path, "sys/fs/btrfs/%.255s/devices", uuid);
    int r = read_links(s, path, &list, &n);
    while (first < n && !mounted[list[first]])
        first++;
    for (size_t i = 0; !r && first < n && i < n; i++)
        r = lethe_devices_add_beside(s->snapshot, list[first], list[i], s->arena);
    return r;
}

/* Finds the device of an ext4's journal by the name of the journal's thread: "jbd2/" and the
 * device, followed by the number of the journal's file where it has no device of its own
 * (jbd2_journal_init_dev(), fs/jbd2/journal.c). */
static int add_journal(const struct lethe_source *s, const char *name)
{
    static const char prefix[] = "jbd2/";
    char path[300], line[300];
    uint64_t process;
    const size_t device = find_name(s, name, true);
    snprintf(path, sizeof path, "sys/fs/ext4/%.255s/journal_task", name);
    if (device == LETHE_NONE || !lethe_sys_read_line(s->root, path, line, sizeof line) ||
        lethe_text_number(lethe_span(line), UINT32_MAX, &process))
        return 0;
    snprintf(path, sizeof path, "proc/%" PRIu64 "/comm", process);
    if (!lethe_sys_read_line(s->root, path, line, sizeof line) ||
        strncmp(line, prefix, sizeof prefix - 1))
        return 0;
    size_t journal = find_name(s, line + sizeof prefix - 1, true);
    return journal == LETHE_NONE ? 0
                                 : lethe_devices_add_beside(s->snapshot, device, journal, s->arena);
}

/* Finds what file systems lie on beside the devices of their mounts: a btrfs's other devices, an
 * ext4's journal. */
int lethe_blocks_read_beside(const struct lethe_source *s)
{
    const struct lethe_snapshot *snapshot = s->snapshot;
    bool *mounted = lethe_arena_alloc(s->arena, snapshot->n_blocks, sizeof *mounted);
    int r = mounted ? 0 : -ENOMEM;
    for (size_t i = 0; !r && i < snapshot->n_mounts; i++)
        if (snapshot->mounts[i].device != LETHE_NONE &&
            !strcmp(snapshot->mounts[i].fstype, "btrfs"))
            mounted[snapshot->mounts[i].device] = true;
    DIR *btrfs = lethe_source_open_dir(s, "sys/fs/btrfs"),
        *ext4 = lethe_source_open_dir(s, "sys/fs/ext4");
    for (struct dirent *entry; !r && btrfs && (entry = readdir(btrfs));)
        r = add_btrfs(s, entry->d_name, mounted);
    for (struct dirent *entry; !r && ext4 && (entry = readdir(ext4));)
        r = add_journal(s, entry->d_name);
    if (btrfs)
        closedir(btrfs);
    if (ext4)
        closedir(ext4);
    return r;
}

/* Finds a partition's disk: its directory lies inside the disk's, as its link in /sys/class/block
 * shows. */
static void read_disk(const struct lethe_source *s, struct lethe_block *b)
{
    char path[300], link[1024];
    snprintf(path, sizeof path, "sys/class/block/%.255s/partition", b->name);
    if (!lethe_sys_read_line(s->root, path, link, sizeof link))
        return;
    snprintf(path, sizeof path, "sys/class/block/%.255s", b->name);
    if (!lethe_sys_read_link(s->root, path, link, sizeof link))
        return;
    char *last = strrchr(link, '/');
    if (last)
        *last = '\0';
    char *disk = strrchr(link, '/');
    if (last && disk)
        b->disk = find_name(s, disk + 1, true);
}

/* Finds the number of a device by its path. Names of /dev/mapper and /dev/dm-N are known from
 * sysfs. For the others stat(2) of a device node touches no device, and a captured tree has a file
 * with the number in its place. */
struct lethe_devno lethe_blocks_resolve(void *context, const char *shown)
{
    const char *path = lethe_source_below_system(shown);
    const struct lethe_source *s = context;
    struct stat st;
    char line[32];
    struct lethe_devno found;
    const char *base = strrchr(path, '/');
    if (strncmp(path, "/dev/", 5))
        return (struct lethe_devno){0, 0};
    size_t known = base[1] ? find_name(s, base + 1, false) : LETHE_NONE;
    if (known != LETHE_NONE)
        return s->snapshot->blocks[known].devno;
    if (s->live && !stat(shown, &st) && S_ISBLK(st.st_mode))
        return devno_of(st.st_rdev);
    if (s->root != AT_FDCWD && lethe_sys_read_line(s->root, path, line, sizeof line) &&
        !lethe_devno(lethe_span(line), &found))
        return found;
    return (struct lethe_devno){0, 0};
}

int lethe_blocks_read(struct lethe_source *s)
{
    int r = read_blocks(s);
    r = r ? r : index_names(s);
    for (size_t i = 0; !r && i < s->snapshot->n_blocks; i++) {
        read_disk(s, &s->snapshot->blocks[i]);
        r = read_slaves(s, &s->snapshot->blocks[i]);
    }
    return r;
}
