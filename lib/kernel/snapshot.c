/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lethe/devices.h"
#include "lethe/log.h"
#include "lethe/sort.h"
#include "lethe/sys.h"
#include "lethe/union.h"

struct source {
    int root;
    bool live;
    struct lethe_arena *arena;
    struct lethe_snapshot *snapshot;
    struct name *names; /* of all devices, in order */
    size_t n_names;
    struct daemon *daemons; /* of FUSE unions, the last found first … */
    bool looked;            /* … when they were looked for */
};

/* A device's name of the kernel's or of device-mapper's. */
struct name {
    const char *text;
    size_t block;
};

struct daemon {
    struct lethe_span command;
    struct daemon *next;
};

struct lethe_arena lethe_arena_map(void)
{
    for (size_t size = (size_t)1 << 30; size >= (size_t)1 << 20; size /= 4) {
        void *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (base != MAP_FAILED)
            return (struct lethe_arena){base, size, 0};
    }
    return (struct lethe_arena){0};
}

static void complain(void *context, const char *file, size_t line, struct lethe_span text,
                     const char *why)
{
    (void)context;
    char copy[81], shown[161];
    snprintf(copy, sizeof copy, "%.*s", (int)(text.n < 80 ? text.n : 80), text.n ? text.at : "");
    lethe_log(LETHE_LOG_ERROR, "%s, line %zu: %s: \"%s\"", file, line, why,
              lethe_printable(shown, sizeof shown, copy));
}

const struct lethe_complaint lethe_complain_to_log = {.tell = complain};

/* A whole file, read straight into what the arena has left: the allocation that keeps it must not
 * zero it. */
static int read_whole(const struct source *s, const char *path, struct lethe_span *text)
{
    char *at = s->arena->base + s->arena->used;
    size_t room = s->arena->size - s->arena->used;
    ssize_t n = lethe_read_file(s->root, path, at, room);
    if (n < 0)
        return n == -EFBIG ? -ENOMEM : (int)n;
    *text = (struct lethe_span){at, (size_t)n};
    size_t taken = ((size_t)n + 63) & ~(size_t)63;
    if (taken > room)
        return -ENOMEM;
    s->arena->used += taken;
    return 0;
}

static struct lethe_span read_small(void *context, const char *path)
{
    struct source *s = context;
    struct lethe_span text = {NULL, 0};
    return read_whole(s, path, &text) ? (struct lethe_span){NULL, 0} : text;
}

/* A one-line attribute of a block device, "" when it has none. */
static const char *attribute_line(const struct source *s, const char *name, const char *what)
{
    static char line[4096];
    char path[512];
    snprintf(path, sizeof path, "sys/class/block/%s/%s", name, what);
    lethe_read_line(s->root, path, line, sizeof line);
    return line;
}

/* A copy of it; NULL when the arena is full. */
static const char *attribute(const struct source *s, const char *name, const char *what)
{
    const char *line = attribute_line(s, name, what);
    return lethe_arena_text(s->arena, line, strlen(line));
}

static struct lethe_devno devno_of(dev_t device)
{
    return (struct lethe_devno){major(device), minor(device)};
}

/* Which file system hosts a loop's file: the kernel's own word for it (loop(4), lo_device), which a
 * captured tree has beside the file's name. */
static struct lethe_devno loop_host(const struct source *s, const char *name)
{
    char path[300];
    struct loop_info64 info = {0};
    struct lethe_devno none = {0, 0}, host;
    if (!s->live)
        return lethe_devno(lethe_span(attribute_line(s, name, "loop/backing_dev")), &host) ? none
                                                                                           : host;
    snprintf(path, sizeof path, "/dev/%.255s", name);
    int fd = lethe_sys->open(path, O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return none;
    int r = lethe_sys->ioctl(fd, LOOP_GET_STATUS64, &info);
    lethe_sys->close(fd);
    return r < 0 ? none : devno_of((dev_t)info.lo_device);
}

static int read_block(const struct source *s, const char *name, struct lethe_block *b)
{
    b->disk = LETHE_NONE;
    const char *number = attribute(s, name, "dev");
    b->name = lethe_arena_text(s->arena, name, strlen(name));
    b->dm_name = attribute(s, name, "dm/name");
    b->dm_uuid = attribute(s, name, "dm/uuid");
    b->file = attribute(s, name, "loop/backing_file");
    if (!number || !b->name || !b->dm_name || !b->dm_uuid || !b->file)
        return -ENOMEM;
    if (lethe_devno(lethe_span(number), &b->devno))
        return -EINVAL;
    b->kind = lethe_block_kind(b->name, b->dm_uuid, attribute_line(s, name, "md/array_state")[0]);
    if (b->kind == LETHE_BLOCK_LOOP && b->file[0])
        b->file_devno = loop_host(s, b->name);
    if (b->kind == LETHE_BLOCK_ZRAM) { /* with no size it holds nothing, and is left out */
        const char *size = attribute(s, name, "size");
        return !size ? -ENOMEM : strcmp(size, "0") ? 0 : -EINVAL;
    }
    if (b->kind == LETHE_BLOCK_NBD && !attribute_line(s, name, "pid")[0])
        b->kind = LETHE_BLOCK_PLAIN; /* it has no connection that could be closed */
    return 0;
}

static DIR *open_dir(const struct source *s, const char *path)
{
    int fd = lethe_open_below(s->root, path, O_RDONLY | O_DIRECTORY);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (fd >= 0 && !dir)
        close(fd);
    return dir;
}

static size_t count_entries(DIR *dir)
{
    size_t n = 0;
    while (readdir(dir))
        n++;
    rewinddir(dir);
    return n;
}

static int compare_blocks(const void *left, const void *right)
{
    const struct lethe_block *a = left, *b = right;
    if (a->devno.major != b->devno.major)
        return a->devno.major < b->devno.major ? -1 : 1;
    return (a->devno.minor > b->devno.minor) - (a->devno.minor < b->devno.minor);
}

static int read_blocks(struct source *s)
{
    DIR *dir = open_dir(s, "sys/class/block");
    if (!dir)
        return 0;
    size_t room = count_entries(dir);
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
    return strcmp(((const struct name *)left)->text, ((const struct name *)right)->text);
}

static int index_names(struct source *s)
{
    const size_t n = s->snapshot->n_blocks;
    struct name *room = lethe_arena_take(s->arena, n, sizeof *room);
    s->names = lethe_arena_take(s->arena, 2 * n, sizeof *s->names);
    if (!s->names || !room)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const struct lethe_block *b = &s->snapshot->blocks[i];
        s->names[s->n_names++] = (struct name){b->name, i};
        if (b->dm_name[0])
            s->names[s->n_names++] = (struct name){b->dm_name, i};
    }
    lethe_sort(s->names, s->n_names, sizeof *s->names, room, compare_names);
    return 0;
}

/* The first device with this name, or LETHE_NONE; `kernel`: none of device-mapper's will do. */
static size_t find_name(const struct source *s, const char *text, bool kernel)
{
    const struct name key = {.text = text};
    size_t at = lethe_sort_find(s->names, s->n_names, sizeof *s->names, &key, compare_names);
    for (; at < s->n_names && !strcmp(s->names[at].text, text); at++)
        if (!kernel || s->names[at].text == s->snapshot->blocks[s->names[at].block].name)
            return s->names[at].block;
    return LETHE_NONE;
}

/* The devices that a directory has links to. */
static int read_links(const struct source *s, const char *path, const size_t **list, size_t *count)
{
    DIR *dir = open_dir(s, path);
    if (!dir)
        return 0;
    size_t room = count_entries(dir), n = 0;
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

static int read_slaves(const struct source *s, struct lethe_block *b)
{
    char path[300];
    snprintf(path, sizeof path, "sys/class/block/%.255s/slaves", b->name);
    return read_links(s, path, &b->slaves, &b->n_slaves);
}

/* A btrfs has a directory by its uuid with links to all of its devices; a mount's source names one
 * of them. */
static int add_btrfs(const struct source *s, const char *uuid, const bool *mounted)
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

/* The thread of an ext4's journal is called "jbd2/" and the journal's device, with the number of
 * its file behind that where it has none for itself (jbd2_journal_init_dev(), fs/jbd2/journal.c).
 */
static int add_journal(const struct source *s, const char *name)
{
    static const char prefix[] = "jbd2/";
    char path[300], line[300];
    uint64_t process;
    const size_t device = find_name(s, name, true);
    snprintf(path, sizeof path, "sys/fs/ext4/%.255s/journal_task", name);
    if (device == LETHE_NONE || !lethe_read_line(s->root, path, line, sizeof line) ||
        lethe_number(lethe_span(line), UINT32_MAX, &process))
        return 0;
    snprintf(path, sizeof path, "proc/%" PRIu64 "/comm", process);
    if (!lethe_read_line(s->root, path, line, sizeof line) ||
        strncmp(line, prefix, sizeof prefix - 1))
        return 0;
    size_t journal = find_name(s, line + sizeof prefix - 1, true);
    return journal == LETHE_NONE ? 0
                                 : lethe_devices_add_beside(s->snapshot, device, journal, s->arena);
}

/* What file systems lie on beside the device of their mounts. */
static int read_beside(const struct source *s)
{
    const struct lethe_snapshot *snapshot = s->snapshot;
    bool *mounted = lethe_arena_alloc(s->arena, snapshot->n_blocks, sizeof *mounted);
    int r = mounted ? 0 : -ENOMEM;
    for (size_t i = 0; !r && i < snapshot->n_mounts; i++)
        if (snapshot->mounts[i].device != LETHE_NONE &&
            !strcmp(snapshot->mounts[i].fstype, "btrfs"))
            mounted[snapshot->mounts[i].device] = true;
    DIR *btrfs = open_dir(s, "sys/fs/btrfs"), *ext4 = open_dir(s, "sys/fs/ext4");
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

/* A partition's directory lies inside its disk's, which its link in /sys/class/block shows. */
static void read_disk(const struct source *s, struct lethe_block *b)
{
    char path[300], link[1024];
    snprintf(path, sizeof path, "sys/class/block/%.255s/partition", b->name);
    if (!lethe_read_line(s->root, path, link, sizeof link))
        return;
    snprintf(path, sizeof path, "sys/class/block/%.255s", b->name);
    if (!lethe_read_link(s->root, path, link, sizeof link))
        return;
    char *last = strrchr(link, '/');
    if (last)
        *last = '\0';
    char *disk = strrchr(link, '/');
    if (last && disk)
        b->disk = find_name(s, disk + 1, true);
}

/* The number of the device that a name in /dev leads to. /dev/mapper and /dev/dm-N are known from
 * sysfs; for the others stat(2) of a device node touches no device, and a captured tree has a file
 * with the number in its place. */
static struct lethe_devno resolve_device(void *context, const char *path)
{
    const struct source *s = context;
    struct stat st;
    char line[32];
    struct lethe_devno found;
    const char *base = strrchr(path, '/');
    if (strncmp(path, "/dev/", 5))
        return (struct lethe_devno){0, 0};
    size_t known = base[1] ? find_name(s, base + 1, false) : LETHE_NONE;
    if (known != LETHE_NONE)
        return s->snapshot->blocks[known].devno;
    if (s->live && !stat(path, &st) && S_ISBLK(st.st_mode))
        return devno_of(st.st_rdev);
    if (s->root != AT_FDCWD && lethe_read_line(s->root, path, line, sizeof line) &&
        !lethe_devno(lethe_span(line), &found))
        return found;
    return (struct lethe_devno){0, 0};
}

static bool keep_daemon(struct source *s, const char *process)
{
    char path[300];
    struct lethe_span command;
    snprintf(path, sizeof path, "proc/%.255s/cmdline", process);
    if (read_whole(s, path, &command) || !lethe_union_is_daemon(command))
        return false;
    struct daemon *daemon = lethe_arena_take(s->arena, 1, sizeof *daemon);
    if (daemon)
        *daemon = (struct daemon){command, s->daemons};
    s->daemons = daemon ? daemon : s->daemons;
    return daemon;
}

/* Looks among all processes, which takes no answer of the daemon itself. Once, where there is such
 * a mount at all, and not when the system is known to hang. */
static void find_daemons(struct source *s)
{
    DIR *dir = s->live || s->root != AT_FDCWD ? open_dir(s, "proc") : NULL;
    s->looked = true;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        size_t used = s->arena->used;
        if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9' && !keep_daemon(s, entry->d_name))
            s->arena->used = used;
    }
    if (dir)
        closedir(dir);
}

static struct lethe_span read_daemon(void *context, const struct lethe_mount *mount)
{
    struct source *s = context;
    if (!s->looked)
        find_daemons(s);
    for (const struct daemon *d = s->daemons; d; d = d->next)
        if (lethe_union_is_served_by(mount, d->command))
            return d->command;
    return (struct lethe_span){NULL, 0};
}

/* The files of a btrfs or an overlay have other numbers than their mount (stat(2), st_dev): where
 * no mount has a loop's, and the file's path leads to this very number, its mount hosts it. */
static bool is_elsewhere(const struct lethe_snapshot *snapshot, const struct lethe_block *b)
{
    struct stat st;
    return !b->file_devno.major && lethe_mount_find(snapshot, b->file_devno) == LETHE_NONE &&
           !stat(b->file, &st) && lethe_devno_is(devno_of(st.st_dev), b->file_devno);
}

/* A swap file's file system is that of the mount its path leads to; a loop's is too, where the
 * kernel was not asked (a captured tree) or its word is no mount's number. */
static void tie_files(const struct source *s, const struct lethe_tree *tree)
{
    struct lethe_snapshot *snapshot = s->snapshot;
    for (size_t i = 0; i < snapshot->n_blocks; i++) {
        struct lethe_block *b = &snapshot->blocks[i];
        if (b->kind == LETHE_BLOCK_LOOP && b->file[0] == '/' &&
            (lethe_devno_is(b->file_devno, (struct lethe_devno){0, 0}) ||
             (s->live && is_elsewhere(snapshot, b))))
            b->file_devno = snapshot->mounts[lethe_tree_lookup(tree, b->file)].devno;
    }
    for (size_t i = 0; i < snapshot->n_swaps; i++)
        if (snapshot->swaps[i].is_file)
            snapshot->swaps[i].devno =
                snapshot->mounts[lethe_tree_lookup(tree, snapshot->swaps[i].path)].devno;
}

int lethe_snapshot_take(struct lethe_snapshot *snapshot, int root, bool live,
                        struct lethe_arena *arena, const struct lethe_complaint *complaint)
{
    struct source s = {.root = root, .live = live, .arena = arena, .snapshot = snapshot};
    struct lethe_span text;
    const struct lethe_reader sysfs = {.read = read_small, .daemon = read_daemon, .context = &s};
    *snapshot = (struct lethe_snapshot){0};
    int r = read_whole(&s, "proc/self/mountinfo", &text);
    if (!r)
        r = lethe_mountinfo_parse(snapshot, text, arena, complaint);
    if (!r && !read_whole(&s, "proc/swaps", &text))
        r = lethe_swaps_parse(snapshot, text, arena, complaint);
    if (!r)
        r = read_blocks(&s);
    if (!r)
        r = index_names(&s);
    for (size_t i = 0; !r && i < snapshot->n_blocks; i++) {
        read_disk(&s, &snapshot->blocks[i]);
        r = read_slaves(&s, &snapshot->blocks[i]);
    }
    if (r)
        return r;
    r = lethe_devices_tie(snapshot, resolve_device, &s, arena);
    r = r ? r : read_beside(&s);
    if (r)
        return r;
    struct lethe_tree *tree = lethe_arena_take(arena, 1, sizeof *tree);
    r = tree ? lethe_tree_build(tree, snapshot, arena) : -ENOMEM;
    if (r && r != -ENOENT)
        return r;
    snapshot->tree = tree;
    if (!r)
        tie_files(&s, tree);
    return lethe_unions_find(snapshot, r ? NULL : tree, arena, &sysfs);
}

/* The id of the mount namespace that the process is in, 0 where that can't be said. A kernel thread
 * has no program: kdevtmpfs has a namespace of its own, with nothing but /dev in it. */
static uint64_t read_namespace(const struct source *s, const char *process)
{
    char path[300], text[64];
    uint64_t id;
    snprintf(path, sizeof path, "proc/%.255s/exe", process);
    if (s->live && !lethe_read_link(s->root, path, text, sizeof text))
        return 0;
    snprintf(path, sizeof path, "proc/%.255s/ns/mnt", process);
    lethe_read_link(s->root, path, text, sizeof text);
    struct lethe_span number = lethe_span(text), kind = lethe_cut(&number, '[');
    if (!lethe_span_is(kind, "mnt:") || lethe_number(lethe_cut(&number, ']'), UINT64_MAX, &id))
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

int lethe_snapshot_add_namespaces(struct lethe_snapshot *snapshot, int root, bool live,
                                  struct lethe_arena *arena)
{
    const struct source s = {.root = root, .live = live, .arena = arena, .snapshot = snapshot};
    const uint64_t own = read_namespace(&s, "self");
    DIR *dir = own ? open_dir(&s, "proc") : NULL;
    if (!dir)
        return 0;
    size_t room = count_entries(dir), n = 0, kept = 0;
    struct lethe_namespace *list = lethe_arena_alloc(arena, room, sizeof *list);
    for (struct dirent *entry; list && n < room && (entry = readdir(dir));) {
        if (lethe_number(lethe_span(entry->d_name), UINT32_MAX, &list[n].pid))
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
