/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/execute.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lethe/ipc.h"
#include "lethe/log.h"
#include "lethe/page_cache.h"
#include "lethe/process.h"
#include "lethe/ram_device.h"
#include "lethe/ram_fs.h"
#include "lethe/stop.h"
#include "lethe/sys.h"

struct pass {
    const struct lethe_snapshot *snapshot;
    const struct lethe_policy *policy;
    struct lethe_progress *progress;
    bool loud;
};

static uint64_t devno_number(struct lethe_devno devno)
{
    return makedev(devno.major, devno.minor);
}

static void tell_failure(const struct pass *p, const char *text, int error)
{
    p->progress->failed++;
    if (p->loud)
        lethe_log(LETHE_LOG_ERROR, "%s: %s", text, strerror(-error));
}

/* One number for a part of a file system (FNV-1a); the whole of it goes by its device's. */
static uint64_t part_number(const struct lethe_mount *m)
{
    uint64_t n = devno_number(m->devno);
    for (const char *c = m->root + 1; m->root[0] && *c; c++)
        n = (n ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
    return n;
}

static bool erase(const struct pass *p, const struct lethe_mount *m, const char *text)
{
    struct lethe_erased erased;
    uint64_t key = lethe_key('e', part_number(m));
    bool keep_names = !strcmp(m->fstype, "devtmpfs");
    if (lethe_finished(p->progress, key) ||
        !lethe_begin(p->progress, key, p->policy->erase_ms, text))
        return false;
    int r = lethe_ram_fs_erase(m->path, devno_number(m->devno), keep_names, &erased);
    lethe_end(p->progress);
    if (!r) {
        lethe_finished_add(p->progress, key);
        p->progress->erased_file_systems++;
        p->progress->erased_ms = lethe_now_ms();
        p->progress->erased_bytes += erased.bytes;
        p->progress->erased_files += erased.files;
    }
    p->progress->not_erased += r ? 1 : (unsigned)erased.failed;
    if (!r && erased.failed)
        lethe_log(LETHE_LOG_ERROR, "%s: %llu files could not be zeroed: %s", text,
                  (unsigned long long)erased.failed, strerror(-erased.first_error));
    if (r)
        lethe_log(LETHE_LOG_ERROR, "%s: %s", text, strerror(-r));
    return !r;
}

/* A held descriptor keeps the detached file system from being shut down, which would wait for a
 * dead device. */
static int detach_held(const struct lethe_mount *m)
{
    if (lethe_mount_is_remote(
            m)) /* a look-up may ask the server, and it aborts what waits for it */
        return lethe_sys->umount(m->path, UMOUNT_NOFOLLOW | MNT_FORCE | MNT_DETACH);
    int fd = lethe_sys->open(m->path, O_PATH);
    return fd < 0 ? fd : lethe_sys->umount(m->path, MNT_DETACH);
}

/* Its daemon has been killed: where it could not die, MNT_FORCE aborts the connection, as does
 * /sys/fs/fuse/connections/N/abort, so that nothing waits for an answer. */
static bool is_fuse(const struct lethe_mount *m)
{
    return !strcmp(m->fstype, "fuse") || !strncmp(m->fstype, "fuse.", 5);
}

/* NFS 4 takes its leave of the server at the end, and waits for the answer until it is killed; by
 * then all its pages are gone. */
static int unmount_silent(const struct lethe_mount *m, int flags)
{
    enum { LEAVE_MS = 500 };
    int status = 0;
    pid_t child = fork();
    if (child < 0)
        return lethe_sys->umount(m->path, flags);
    if (!child)
        _exit(-lethe_sys->umount(m->path, flags) & 127);
    if (!lethe_process_await(child, LEAVE_MS, &status))
        waitpid(child, &status, 0);
    return WIFEXITED(status) ? -WEXITSTATUS(status) : 0;
}

/* What is still in use goes lazily; its data are written back first, since nobody waits for its
 * last user. */
static int unmount_now(const struct pass *p, const struct lethe_mount *m, bool lazy)
{
    const int flags = UMOUNT_NOFOLLOW | (is_fuse(m) ? MNT_FORCE : 0);
    bool stored = lethe_mount_is_stored(m);
    int r = -EBUSY;
    if (!lazy)
        r = p->progress->cut_off && lethe_mount_is_remote(m) ? unmount_silent(m, flags)
                                                             : lethe_sys->umount(m->path, flags);
    if (r != -EBUSY)
        return r;
    int fd = stored && p->policy->sync ? lethe_sys->open(m->path, O_RDONLY | O_DIRECTORY) : -1;
    if (fd >= 0) {
        lethe_sys->syncfs(fd);
        lethe_sys->close(fd);
    }
    return lethe_sys->umount(m->path, UMOUNT_NOFOLLOW | MNT_DETACH);
}

/* What hung once is not waited for at length again. */
static int64_t write_ms(const struct lethe_policy *policy, const struct lethe_progress *progress)
{
    return progress->n_stuck ? policy->step_ms : policy->write_ms;
}

static bool unmount(const struct pass *p, const struct lethe_mount *m,
                    const struct lethe_step *step, const char *text)
{
    uint64_t key = lethe_key('u', m->id), held = lethe_key('h', m->id);
    bool stored = lethe_mount_is_stored(m);
    int r;
    int64_t ms = stored ? write_ms(p->policy, p->progress) : p->policy->step_ms;
    if (lethe_begin(p->progress, key, ms, text))
        r = unmount_now(p, m, step->lazy);
    else if (lethe_beginf(p->progress, held, p->policy->step_ms, "%s, detached", text))
        r = detach_held(m);
    else
        return false;
    lethe_end(p->progress);
    if (r)
        tell_failure(p, text, r);
    else
        p->progress->unmounted++;
    return !r;
}

static const struct lethe_mount *parent_of(const struct lethe_snapshot *s,
                                           const struct lethe_mount *m)
{
    for (size_t i = 0; i < s->n_mounts; i++)
        if (s->mounts[i].id == m->parent)
            return &s->mounts[i];
    return NULL;
}

/* Many mounts on one parent in one go; false when they have to go one by one. */
static bool unmount_together(const struct pass *p, const struct lethe_step *steps)
{
    enum { TOGETHER_MIN = 64 };
    const struct lethe_mount *m = &p->snapshot->mounts[steps->index];
    const struct lethe_mount *parent =
        steps->together < TOGETHER_MIN ? NULL : parent_of(p->snapshot, m);
    if (!parent ||
        !lethe_beginf(p->progress, lethe_key('t', parent->id), p->policy->step_ms,
                      "unmount the last %zu mounts on %.80s", steps->together, parent->path))
        return false;
    int r = lethe_sys->strip(parent->path);
    lethe_end(p->progress);
    if (!r)
        p->progress->unmounted += (unsigned)steps->together;
    return !r;
}

static bool swap_off(const struct pass *p, const struct lethe_swap *swap, const char *text)
{
    uint64_t key = lethe_key('s', swap->device != LETHE_NONE
                                      ? devno_number(p->snapshot->blocks[swap->device].devno)
                                      : devno_number(swap->devno));
    if (!lethe_begin(p->progress, key, write_ms(p->policy, p->progress), text))
        return false;
    int r = lethe_sys->swapoff(swap->path);
    lethe_end(p->progress);
    if (r)
        tell_failure(p, text, r);
    return !r;
}

static bool stop(const struct pass *p, const struct lethe_block *block, const char *text)
{
    uint64_t key = lethe_key_of('d', block->devno);
    if (lethe_finished(p->progress, key) ||
        !lethe_begin(p->progress, key, p->policy->step_ms, text))
        return false;
    int r = lethe_stop_device(block);
    lethe_end(p->progress);
    if (r) {
        tell_failure(p, text, r);
    } else {
        lethe_finished_add(p->progress, key);
        p->progress->stopped++;
    }
    return !r;
}

static bool erase_device(const struct pass *p, const struct lethe_block *block, const char *text)
{
    uint64_t key = lethe_key_of('b', block->devno);
    if (lethe_finished(p->progress, key) ||
        !lethe_begin(p->progress, key, p->policy->erase_ms, text))
        return false;
    int r = lethe_ram_device_erase(block, &p->progress->erased_bytes);
    lethe_end(p->progress);
    if (r == -EBUSY) /* again in the next pass; what uses it is told as left */
        return false;
    lethe_finished_add(p->progress, key);
    if (r) {
        p->progress->not_erased++;
        lethe_log(LETHE_LOG_ERROR, "%s: %s", text, strerror(-r));
    }
    return !r;
}

unsigned lethe_execute(const struct lethe_plan *plan, const struct lethe_snapshot *snapshot,
                       const struct lethe_policy *policy, struct lethe_progress *progress,
                       bool loud)
{
    const struct pass p = {snapshot, policy, progress, loud};
    unsigned changed = 0;
    char text[120];
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct lethe_step *step = &plan->steps[i];
        if (unmount_together(&p, step)) {
            changed += (unsigned)step->together;
            i += step->together - 1;
            continue;
        }
        lethe_step_print(text, sizeof text, step, snapshot);
        switch (step->kind) {
        case LETHE_STEP_ERASE:
            changed += erase(&p, &snapshot->mounts[step->index], text);
            break;
        case LETHE_STEP_UNMOUNT:
            changed += unmount(&p, &snapshot->mounts[step->index], step, text);
            break;
        case LETHE_STEP_SWAPOFF:
            changed += swap_off(&p, &snapshot->swaps[step->index], text);
            break;
        case LETHE_STEP_STOP:
            changed += stop(&p, &snapshot->blocks[step->index], text);
            break;
        case LETHE_STEP_ERASE_DEVICE:
            changed += erase_device(&p, &snapshot->blocks[step->index], text);
            break;
        }
    }
    return changed;
}

void lethe_execute_erase_ipc(const struct lethe_policy *policy, struct lethe_progress *progress)
{
    struct lethe_erased erased;
    uint64_t key = lethe_key('i', 0);
    if (lethe_finished(progress, key) ||
        !lethe_begin(progress, key, policy->erase_ms, "erase IPC objects and keys"))
        return;
    lethe_ipc_erase(&erased);
    lethe_ipc_revoke_keys();
    lethe_end(progress);
    lethe_finished_add(progress, key);
    progress->erased_bytes += erased.bytes;
    progress->not_erased += (unsigned)erased.failed;
    if (erased.failed)
        lethe_log(LETHE_LOG_ERROR, "%llu shared memory segments could not be zeroed: %s",
                  (unsigned long long)erased.failed, strerror(-erased.first_error));
}

void lethe_execute_wipe_keys(const struct lethe_snapshot *snapshot,
                             const struct lethe_policy *policy, struct lethe_progress *progress)
{
    for (size_t i = 0; i < snapshot->n_blocks; i++) {
        const struct lethe_block *b = &snapshot->blocks[i];
        uint64_t key = lethe_key_of('k', b->devno);
        if (!lethe_stop_holds_key(b) || lethe_finished(progress, key) ||
            !lethe_beginf(progress, key, policy->step_ms, "wipe the key of %.64s", b->name))
            continue;
        int r = lethe_stop_wipe_key(b, &progress->keys_ms);
        lethe_end(progress);
        lethe_finished_add(progress, key);
        lethe_log(LETHE_LOG_ERROR, "%.64s (crypt) was still in use: its key %s%s", b->name,
                  r ? "could not be wiped: " : "is wiped", r ? strerror(-r) : "");
    }
}

uint64_t lethe_execute_sync_key(void)
{
    return lethe_key('y', 0);
}

void lethe_execute_sync(const struct lethe_policy *policy, struct lethe_progress *progress)
{
    uint64_t key = lethe_execute_sync_key();
    if (!policy->sync || !lethe_begin(progress, key, write_ms(policy, progress), "sync"))
        return;
    sync();
    lethe_end(progress);
}

void lethe_execute_drop_page_cache(const struct lethe_policy *policy,
                                   struct lethe_progress *progress)
{
    uint64_t key = lethe_key('c', 1);
    if (lethe_finished(progress, key) ||
        !lethe_begin(progress, key, policy->step_ms, "drop the page cache"))
        return;
    lethe_page_cache_drop();
    lethe_end(progress);
    lethe_finished_add(progress, key);
}

void lethe_execute_drop_caches(const struct lethe_policy *policy, struct lethe_progress *progress)
{
    if (!lethe_begin(progress, lethe_key('c', 0), write_ms(policy, progress), "drop caches"))
        return;
    lethe_sys->write_file("/proc/sys/vm/drop_caches", "3");
    lethe_end(progress);
}

static void add_holders(char *text, size_t size, const struct lethe_block *block)
{
    char path[300];
    snprintf(path, sizeof path, "/sys/class/block/%.255s/holders", block->name);
    DIR *dir = opendir(path);
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.') {
            size_t n = strlen(text);
            snprintf(text + n, size - n, ", held by %.32s", entry->d_name);
        }
    closedir(dir);
}

/* A loop that can't be written to is a part of the medium: what it shows is nobody's secret. */
static bool is_medium(const struct lethe_block *block)
{
    char text[8];
    return block->kind == LETHE_BLOCK_LOOP &&
           lethe_read_block(block->name, "ro", text, sizeof text) && !strcmp(text, "1");
}

unsigned lethe_execute_report(const struct lethe_plan *plan, const struct lethe_snapshot *snapshot,
                              bool init_stays)
{
    enum { LINES_MAX = 20 };
    unsigned left = 0;
    char what[120], text[300];
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct lethe_step *step = &plan->steps[i];
        if (step->kind == LETHE_STEP_ERASE || step->kind == LETHE_STEP_ERASE_DEVICE)
            continue;
        if (init_stays && step->kind == LETHE_STEP_STOP &&
            is_medium(&snapshot->blocks[step->index]))
            continue;
        snprintf(text, sizeof text, "left: could not %s",
                 lethe_step_print(what, sizeof what, step, snapshot));
        if (step->kind == LETHE_STEP_STOP)
            add_holders(text, sizeof text, &snapshot->blocks[step->index]);
        if (left++ < LINES_MAX)
            lethe_log(LETHE_LOG_ERROR, "%s", text);
    }
    if (left > LINES_MAX)
        lethe_log(LETHE_LOG_ERROR, "left: %u more", left - LINES_MAX);
    return left;
}
