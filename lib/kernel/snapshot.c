/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lethe/kernel/blocks.h"
#include "lethe/kernel/log.h"
#include "lethe/kernel/sys.h"
#include "lethe/plan/devices.h"
#include "lethe/plan/tree.h"
#include "lethe/plan/union.h"

struct lethe_daemon {
    struct lethe_span command;
    struct lethe_daemon *next;
};

struct lethe_arena lethe_snapshot_map_arena(void)
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
              lethe_text_printable(shown, sizeof shown, copy));
}

const struct lethe_complaint lethe_snapshot_complain_to_log = {.tell = complain};

void lethe_snapshot_take_mounts(struct lethe_snapshot *snapshot, struct lethe_arena *arena)
{
    *snapshot = (struct lethe_snapshot){0};
    *arena = lethe_snapshot_map_arena();
    size_t half = arena->size / 2;
    char *text = lethe_arena_take(arena, half, 1);
    ssize_t n = text ? lethe_sys_read_file(AT_FDCWD, "/proc/self/mountinfo", text, half) : 0;
    if (n > 0)
        lethe_mountinfo_parse(snapshot, (struct lethe_span){text, (size_t)n}, arena,
                              &lethe_snapshot_complain_to_log);
}

static struct lethe_span read_small(void *context, const char *path)
{
    struct lethe_source *s = context;
    struct lethe_span text = {NULL, 0};
    return lethe_source_read(s, path, &text) ? (struct lethe_span){NULL, 0} : text;
}

static bool keep_daemon(struct lethe_source *s, const char *process)
{
    char path[300];
    struct lethe_span command;
    snprintf(path, sizeof path, "proc/%.255s/cmdline", process);
    if (lethe_source_read(s, path, &command) || !lethe_union_is_daemon(command))
        return false;
    struct lethe_daemon *daemon = lethe_arena_take(s->arena, 1, sizeof *daemon);
    if (daemon)
        *daemon = (struct lethe_daemon){command, s->daemons};
    s->daemons = daemon ? daemon : s->daemons;
    return daemon;
}

/* Looks for daemons of unions among all processes, which asks no daemon. It is done once, only
 * where such a union is mounted, and not when the system is known to hang. */
static void find_daemons(struct lethe_source *s)
{
    DIR *dir = s->live || s->root != AT_FDCWD ? lethe_source_open_dir(s, "proc") : NULL;
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
    struct lethe_source *s = context;
    if (!s->looked)
        find_daemons(s);
    for (const struct lethe_daemon *d = s->daemons; d; d = d->next)
        if (lethe_union_is_served_by(mount, d->command))
            return d->command;
    return (struct lethe_span){NULL, 0};
}

/* True when a loop's file has a number that no mount has, but its path leads to a file with that
 * number: then the path's mount hosts it. The files of a btrfs or an overlay have other numbers
 * than their mounts (stat(2), st_dev). */
static bool is_elsewhere(const struct lethe_snapshot *snapshot, const struct lethe_block *b)
{
    struct stat st;
    return !b->file_devno.major && lethe_mount_find(snapshot, b->file_devno) == LETHE_NONE &&
           !stat(b->file, &st) && major(st.st_dev) == b->file_devno.major &&
           minor(st.st_dev) == b->file_devno.minor;
}

/* Returns the number of the file system that the path leads to, below the system's root. */
static struct lethe_devno look_up(const struct lethe_source *s, const struct lethe_tree *tree,
                                  const char *shown)
{
    const char *system = lethe_tree_system(tree), *path = lethe_source_below_system(shown);
    const size_t n = strlen(system), length = strlen(path);
    char *whole = n ? lethe_arena_take(s->arena, n + length + 1, 1) : NULL;
    if (whole) {
        memcpy(whole, system, n);
        memcpy(whole + n, path, length + 1);
    }
    return s->snapshot->mounts[lethe_tree_lookup(tree, whole ? whole : path)].devno;
}

/* Ties files to file systems by path. Swap files always; loops where the kernel was not asked (a
 * captured tree) or named a number that no mount has. */
static void tie_files(const struct lethe_source *s, const struct lethe_tree *tree)
{
    struct lethe_snapshot *snapshot = s->snapshot;
    for (size_t i = 0; i < snapshot->n_blocks; i++) {
        struct lethe_block *b = &snapshot->blocks[i];
        if (b->kind == LETHE_BLOCK_LOOP && b->file[0] == '/' &&
            (lethe_devno_is(b->file_devno, (struct lethe_devno){0, 0}) ||
             (s->live && is_elsewhere(snapshot, b))))
            b->file_devno = look_up(s, tree, b->file);
    }
    for (size_t i = 0; i < snapshot->n_swaps; i++)
        if (snapshot->swaps[i].is_file)
            snapshot->swaps[i].devno = look_up(s, tree, snapshot->swaps[i].path);
}

/* True when a pool of ZFS is imported: it has a directory here, and nothing in /sys. */
static bool has_pool(const struct lethe_source *s)
{
    DIR *dir = lethe_source_open_dir(s, "proc/spl/kstat/zfs");
    bool found = false;
    char path[300], line[32];
    for (struct dirent *entry; dir && !found && (entry = readdir(dir));) {
        snprintf(path, sizeof path, "proc/spl/kstat/zfs/%.255s/state", entry->d_name);
        found = lethe_sys_read_line(s->root, path, line, sizeof line);
    }
    if (dir)
        closedir(dir);
    return found;
}

/* True unless a union's layer is known not to be where its path leads: a device that has gone knows
 * nothing. A captured tree lists those that were not. */
static bool is_there(void *context, const char *path, const char *seen)
{
    const struct lethe_source *s = context;
    struct stat st;
    if (s->live)
        return !lstat(seen, &st) || (errno != ENOENT && errno != ENOTDIR);
    if (s->root == AT_FDCWD)
        return true;
    struct lethe_span text, line;
    for (int r = lethe_source_read(s, "proc/self/lost_layers", &text);
         !r && lethe_text_next_line(&text, &line);) {
        const char *lost = lethe_text_unescape(s->arena, line);
        if (lost && !strcmp(lost, path))
            return false;
    }
    return true;
}

int lethe_snapshot_take(struct lethe_snapshot *snapshot, int root, bool live,
                        struct lethe_arena *arena, const struct lethe_complaint *complaint)
{
    struct lethe_source s = {.root = root, .live = live, .arena = arena, .snapshot = snapshot};
    struct lethe_span text;
    const struct lethe_union_reader reader = {
        .read = read_small, .daemon = read_daemon, .is_there = is_there, .context = &s};
    *snapshot = (struct lethe_snapshot){0};
    int r = lethe_source_read(&s, "proc/self/mountinfo", &text);
    if (!r)
        r = lethe_mountinfo_parse(snapshot, text, arena, complaint);
    if (!r && !lethe_source_read(&s, "proc/swaps", &text))
        r = lethe_mountinfo_parse_swaps(snapshot, text, arena, complaint);
    else
        snapshot->unseen |= LETHE_UNSEEN_SWAPS;
    if (!r)
        r = lethe_blocks_read(&s);
    if (r)
        return r;
    snapshot->unseen |= live && geteuid() ? LETHE_UNSEEN_RIGHTS : 0;
    snapshot->has_pool = has_pool(&s);
    r = lethe_devices_tie(snapshot, lethe_blocks_resolve, &s, arena);
    r = r ? r : lethe_blocks_read_beside(&s);
    if (r)
        return r;
    struct lethe_tree *tree = lethe_arena_take(arena, 1, sizeof *tree);
    r = tree ? lethe_tree_build(tree, snapshot, arena) : -ENOMEM;
    if (r && r != -ENOENT)
        return r;
    snapshot->tree = tree;
    if (!r)
        tie_files(&s, tree);
    return lethe_union_find_all(snapshot, r ? NULL : tree, arena, &reader);
}
