/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/keys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "lethe/kernel/log.h"
#include "lethe/kernel/offline.h"
#include "lethe/kernel/snapshot.h"
#include "lethe/kernel/stop.h"
#include "lethe/kernel/sys.h"
#include "lethe/plan/below.h"
#include "lethe/plan/devices.h"
#include "lethe/plan/text.h"

/* True when the test holds for the device or for any that it is tied to by `links`: "slaves", what
 * it lies on, or "holders". */
static bool any_tied(const char *name, const char *links, int depth,
                     bool (*test)(const char *name, const void *context), const void *context)
{
    enum { DEPTH_MAX = 16 };
    char path[320];
    bool found = test(name, context);
    snprintf(path, sizeof path, "/sys/class/block/%.255s/%s", name, links);
    DIR *dir = found || depth == DEPTH_MAX ? NULL : opendir(path);
    if (!dir)
        return found;
    for (struct dirent *tied; !found && (tied = readdir(dir));)
        found = tied->d_name[0] != '.' && any_tied(tied->d_name, links, depth + 1, test, context);
    closedir(dir);
    return found;
}

/* True for a device that has gone: a link in slaves/ outlives what it leads to. */
static bool has_no_number(const char *name, const void *unused)
{
    char number[32];
    (void)unused;
    return !lethe_sys_read_block(name, "dev", number, sizeof number);
}

/* The system as /proc and /sys alone show it, looked at once by each worker that asks for it. Each
 * device has three marks. `swap`: pages are swapped out to it; `marks`: it is to be cut off, for a
 * key is left above it; `below`: for one walk (is_gone()). */
struct look {
    struct lethe_snapshot snapshot;
    bool taken, good;
    bool *swap, *marks, *below;
};

static void mark_swaps(const struct lethe_snapshot *s, bool *marks)
{
    for (size_t i = 0; i < s->n_swaps; i++)
        if (s->swaps[i].used_kib)
            lethe_below_mark_swap(s, &s->swaps[i], marks);
}

static const struct look *look(void)
{
    static struct look l;
    struct lethe_snapshot *s = &l.snapshot;
    if (l.taken)
        return &l;
    struct lethe_arena arena = lethe_snapshot_map_arena();
    l.taken = true;
    l.good = !lethe_snapshot_take(s, AT_FDCWD, false, &arena, &lethe_snapshot_complain_to_log) &&
             (l.swap = lethe_arena_alloc(&arena, s->n_blocks, sizeof *l.swap)) &&
             (l.marks = lethe_arena_alloc(&arena, s->n_blocks, sizeof *l.marks)) &&
             (l.below = lethe_arena_alloc(&arena, s->n_blocks, sizeof *l.below));
    if (l.good)
        mark_swaps(s, l.swap);
    return &l;
}

static size_t find(const struct lethe_snapshot *s, const char *name)
{
    size_t i = 0;
    while (i < s->n_blocks && strcmp(s->blocks[i].name, name) != 0)
        i++;
    return i;
}

static bool is_swap_in_use(void)
{
    char text[4096];
    unsigned long long used = 0;
    ssize_t n = lethe_sys_read_file(AT_FDCWD, "/proc/swaps", text, sizeof text);
    text[n > 0 ? n : 0] = '\0';
    for (char *line = strchr(text, '\n'); line && !used; line = strchr(line + 1, '\n'))
        if (sscanf(line + 1, "%*s %*s %*s %llu", &used) != 1)
            used = 0;
    return used || n == -EFBIG;
}

/* True when pages are swapped out to the device, through volumes, loops and files too. In doubt it
 * is true: a page that can't be got back ends whoever needs it, PID 1 or Lethe. */
static bool carries_swap(const char *name)
{
    const struct look *l = is_swap_in_use() ? look() : NULL;
    size_t block = l && l->good ? find(&l->snapshot, name) : 0;
    return l && (!l->good || block == l->snapshot.n_blocks || l->swap[block]);
}

/* True for a loop whose file lies on a device that has gone. */
static bool has_lost_file(const struct lethe_snapshot *s, const struct lethe_block *b)
{
    return b->kind == LETHE_BLOCK_LOOP && b->file_devno.major &&
           lethe_block_find(s, b->file_devno) == LETHE_NONE;
}

static bool is_gone(const char *name)
{
    if (any_tied(name, "slaves", 0, has_no_number, NULL))
        return true;
    const struct look *l = look();
    const struct lethe_snapshot *s = &l->snapshot;
    bool gone = false;
    size_t block = l->good ? find(s, name) : s->n_blocks;
    if (!l->good || block == s->n_blocks)
        return false;
    memset(l->below, 0, s->n_blocks * sizeof *l->below);
    lethe_below_mark(s, block, l->below);
    for (size_t i = 0; i < s->n_blocks; i++)
        gone |= l->below[i] && has_lost_file(s, &s->blocks[i]);
    return gone;
}

static bool is_wanted(const char *name, enum lethe_keys which)
{
    switch (which) {
    case LETHE_KEYS_GONE:
        return is_gone(name);
    case LETHE_KEYS_IDLE:
        return !carries_swap(name) || is_gone(name);
    case LETHE_KEYS_ALL:
        break;
    }
    return true;
}

static bool find_crypt(const char *name, struct lethe_block *block,
                       char uuid[LETHE_OFFLINE_UUID_MAX])
{
    return lethe_offline_find_dm(name, block, uuid) && lethe_stop_holds_key(block);
}

static bool wipe(const struct lethe_block *block, const struct lethe_policy *policy,
                 struct lethe_progress *progress)
{
    uint64_t task = lethe_task_id_of_device(LETHE_TASK_WIPE_KEY, block->devno);
    if (lethe_task_is_finished(progress, task))
        return true;
    if (!lethe_task_beginf(progress, task, policy->step_ms, "wipe the key of %.64s", block->name))
        return false;
    int r = lethe_stop_wipe_key(block, &progress->account.keys_ms);
    lethe_task_done(progress);
    if (r)
        lethe_log(LETHE_LOG_ERROR, "%.64s (crypt): its key could not be wiped: %s", block->name,
                  strerror(-r));
    else
        lethe_task_set_finished(progress, task);
    progress->account.keys += !r;
    return !r;
}

static bool set_offline(const char *name, const void *unused)
{
    (void)unused;
    lethe_offline_set(name);
    return false; /* on to what it lies on */
}

/* Marks the device and what it lies on, to be cut off. */
static void mark_below(const struct look *l, const char *name)
{
    const struct lethe_snapshot *s = &l->snapshot;
    size_t block = find(s, name);
    if (block < s->n_blocks)
        lethe_below_mark(s, block, l->marks);
}

/* Resets the controllers again and again, since after each
 * reset a controller takes new requests. */
static pid_t keep_resetting(const struct look *l)
{
    const struct timespec pause = {0, 100 * 1000 * 1000};
    const struct lethe_snapshot *s = &l->snapshot;
    size_t first = 0;
    while (first < s->n_blocks && !(l->marks[first] && !strncmp(s->blocks[first].name, "nvme", 4)))
        first++;
    pid_t child = first < s->n_blocks ? fork() : -1;
    if (child)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;; nanosleep(&pause, NULL))
        for (size_t i = first; i < s->n_blocks; i++)
            if (l->marks[i] && s->blocks[i].disk == LETHE_NONE)
                lethe_offline_reset(s->blocks[i].name);
}

static pid_t cut_off_marked(const struct look *l, enum lethe_keys which)
{
    const struct lethe_snapshot *s = &l->snapshot;
    for (size_t i = 0; i < s->n_blocks; i++)
        if (which != LETHE_KEYS_ALL && l->swap[i])
            l->marks[i] = false;
        else if (l->marks[i] && s->blocks[i].disk == LETHE_NONE)
            lethe_offline_set(s->blocks[i].name);
    return keep_resetting(l);
}

pid_t lethe_keys_cut_off(enum lethe_keys which, const struct lethe_progress *progress)
{
    char uuid[LETHE_OFFLINE_UUID_MAX];
    struct lethe_block block;
    const struct look *l = look();
    DIR *blocks = opendir("/sys/class/block");
    if (!blocks)
        return -1;
    for (struct dirent *entry; (entry = readdir(blocks));) {
        if (!find_crypt(entry->d_name, &block, uuid) || !is_wanted(entry->d_name, which) ||
            lethe_task_is_finished(progress,
                                   lethe_task_id_of_device(LETHE_TASK_WIPE_KEY, block.devno)))
            continue;
        if (l->good)
            mark_below(l, entry->d_name);
        else
            any_tied(entry->d_name, "slaves", 0, set_offline, NULL);
    }
    closedir(blocks);
    return l->good ? cut_off_marked(l, which) : -1;
}

void lethe_keys_stop_cutting(pid_t child)
{
    if (child > 0)
        lethe_sys->kill(child, SIGKILL);
}

unsigned lethe_keys_wipe(enum lethe_keys which, const struct lethe_policy *policy,
                         struct lethe_progress *progress)
{
    unsigned left = 0;
    char uuid[LETHE_OFFLINE_UUID_MAX];
    struct lethe_block block;
    DIR *blocks = opendir("/sys/class/block");
    if (!blocks)
        return 1;
    lethe_offline_stop_queueing(true); /* before anything is asked of what lies on them */
    for (struct dirent *entry; (entry = readdir(blocks));)
        if (find_crypt(entry->d_name, &block, uuid) && is_wanted(entry->d_name, which))
            left += !wipe(&block, policy, progress);
    closedir(blocks);
    return left;
}
