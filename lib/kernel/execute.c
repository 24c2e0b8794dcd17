/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/execute.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "lethe/kernel/log.h"
#include "lethe/kernel/ram_device.h"
#include "lethe/kernel/ram_fs.h"
#include "lethe/kernel/stop.h"
#include "lethe/kernel/sys.h"
#include "lethe/kernel/unmount.h"

struct pass {
    const struct lethe_snapshot *snapshot;
    const struct lethe_policy *policy;
    struct lethe_progress *progress;
};

static uint64_t devno_number(struct lethe_devno devno)
{
    return makedev(devno.major, devno.minor);
}

/* Returns a number for a part of a file system (FNV-1a). The whole of it goes by its device's
 * number. */
static uint64_t part_number(const struct lethe_mount *m)
{
    uint64_t n = devno_number(m->devno);
    for (const char *c = m->root + 1; m->root[0] && *c; c++)
        n = (n ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
    return n;
}

/* True for a branch whose names are still needed: aufs and FUSE look a path up in the branches
 * again, so what is mounted on such a union is found as long as their names are there. A branch
 * whose path leads nowhere may be any file system. */
static bool names_are_needed(const struct lethe_snapshot *s, const struct lethe_mount *m)
{
    for (size_t i = 0; i < s->n_unions; i++) {
        const struct lethe_union *u = &s->unions[i];
        bool pins = !strcmp(s->mounts[u->mount].fstype, "overlay");
        for (size_t j = 0; !pins && j < u->n_branches; j++) {
            size_t shown = u->branches[j].mount;
            if (shown == LETHE_NONE ||
                devno_number(s->mounts[shown].devno) == devno_number(m->devno))
                return true;
        }
    }
    return false;
}

static void count_erased(struct lethe_progress *progress, const struct lethe_ram_fs_erased *erased)
{
    progress->account.erased_file_systems++;
    progress->account.erased_bytes += erased->bytes;
    progress->account.erased_files += erased->files;
}

/* Zeroes a RAM file system. Names that are still needed stay the first time. */
static bool erase(const struct pass *p, const struct lethe_mount *m, const char *text)
{
    struct lethe_ram_fs_erased erased;
    uint64_t number = part_number(m), task = lethe_task_id(LETHE_TASK_ERASE, number),
             zeroed = lethe_task_id(LETHE_TASK_ERASE, ~number);
    bool again = lethe_task_is_finished(p->progress, zeroed),
         wait = (!again || p->progress->n_daemons) && names_are_needed(p->snapshot, m);
    const enum lethe_ram_fs_keeps keeps = wait ? LETHE_RAM_FS_KEEPS_ALL
                                          : !strcmp(m->fstype, "devtmpfs")
                                              ? LETHE_RAM_FS_KEEPS_NODES
                                              : LETHE_RAM_FS_KEEPS_NONE;
    if (lethe_task_is_finished(p->progress, task) || (wait && again) ||
        !lethe_task_begin(p->progress, task, p->policy->erase_ms, text))
        return false;
    int r = lethe_ram_fs_erase(m->path, devno_number(m->devno), keeps, &erased);
    lethe_task_done(p->progress);
    if (!r) {
        lethe_task_set_finished(p->progress, wait ? zeroed : task);
        p->progress->account.erased_ms = lethe_sys_now_ms();
    }
    if (!r && !again)
        count_erased(p->progress, &erased);
    p->progress->account.not_erased += r ? 1 : (unsigned)erased.failed;
    if (!r && erased.failed)
        lethe_log(LETHE_LOG_ERROR, "%s: %llu files could not be zeroed: %s", text,
                  (unsigned long long)erased.failed, strerror(-erased.first_error));
    if (r)
        lethe_log(LETHE_LOG_ERROR, "%s: %s", text, strerror(-r));
    return !r;
}

static bool unmount(const struct pass *p, const struct lethe_step *step, const char *text)
{
    int r = lethe_unmount(p->snapshot, &p->snapshot->mounts[step->index], step->lazy, text,
                          p->policy, p->progress);
    if (r == -EALREADY)
        return false;
    if (r)
        p->progress->account.failed++;
    else
        p->progress->account.unmounted++;
    return !r;
}

/* Erases such names right before the last mount of their file system goes, so that whoever still
 * holds it has it without names. */
static void erase_names(const struct pass *p, const struct lethe_plan *plan, size_t step,
                        const char *text)
{
    const struct lethe_mount *mounts = p->snapshot->mounts, *m = &mounts[plan->steps[step].index];
    if (!lethe_mount_is_ram(m) || !names_are_needed(p->snapshot, m))
        return;
    for (size_t i = step + 1; i < plan->n_steps; i++)
        if (plan->steps[i].kind == LETHE_STEP_UNMOUNT &&
            devno_number(mounts[plan->steps[i].index].devno) == devno_number(m->devno))
            return;
    erase(p, m, text);
}

static const struct lethe_mount *parent_of(const struct lethe_snapshot *s,
                                           const struct lethe_mount *m)
{
    for (size_t i = 0; i < s->n_mounts; i++)
        if (s->mounts[i].id == m->parent)
            return &s->mounts[i];
    return NULL;
}

/* Unmounts many mounts on one parent with one call. False when they have to go one by one. */
static bool unmount_together(const struct pass *p, const struct lethe_step *steps)
{
    enum { TOGETHER_MIN = 64 };
    const struct lethe_mount *m = &p->snapshot->mounts[steps->index];
    const struct lethe_mount *parent =
        steps->together < TOGETHER_MIN ? NULL : parent_of(p->snapshot, m);
    if (!parent ||
        !lethe_task_beginf(p->progress, lethe_task_id(LETHE_TASK_UNMOUNT_TOGETHER, parent->id),
                           p->policy->step_ms, "unmount the last %zu mounts on %.80s",
                           steps->together, parent->path))
        return false;
    int r = lethe_sys->strip(parent->path);
    lethe_task_done(p->progress);
    if (!r)
        p->progress->account.unmounted += (unsigned)steps->together;
    return !r;
}

static bool swap_off(const struct pass *p, const struct lethe_swap *swap, const char *text)
{
    uint64_t task = lethe_task_id(LETHE_TASK_SWAPOFF,
                                  swap->device != LETHE_NONE
                                      ? devno_number(p->snapshot->blocks[swap->device].devno)
                                      : devno_number(swap->devno));
    if (!lethe_task_begin(p->progress, task, lethe_policy_write_ms(p->policy, p->progress->n_stuck),
                          text))
        return false;
    int r = lethe_sys->swapoff(swap->path);
    lethe_task_done(p->progress);
    if (r)
        p->progress->account.failed++;
    return !r;
}

static bool stop(const struct pass *p, const struct lethe_block *block, const char *text)
{
    uint64_t task = lethe_task_id_of_device(LETHE_TASK_STOP_DEVICE, block->devno);
    if (lethe_task_is_finished(p->progress, task) ||
        !lethe_task_begin(p->progress, task, p->policy->step_ms, text))
        return false;
    int r = lethe_stop_device(block);
    lethe_task_done(p->progress);
    if (r) {
        p->progress->account.failed++;
    } else {
        lethe_task_set_finished(p->progress, task);
        p->progress->account.stopped++;
    }
    return !r;
}

static bool erase_device(const struct pass *p, const struct lethe_block *block, const char *text)
{
    uint64_t task = lethe_task_id_of_device(LETHE_TASK_ERASE_DEVICE, block->devno);
    if (lethe_task_is_finished(p->progress, task) ||
        !lethe_task_begin(p->progress, task, p->policy->erase_ms, text))
        return false;
    int r = lethe_ram_device_erase(block, &p->progress->account.erased_bytes);
    lethe_task_done(p->progress);
    if (r == -EBUSY) /* the next pass tries again; a user that stays is reported as left */
        return false;
    lethe_task_set_finished(p->progress, task);
    if (r) {
        p->progress->account.not_erased++;
        lethe_log(LETHE_LOG_ERROR, "%s: %s", text, strerror(-r));
    }
    return !r;
}

unsigned lethe_execute(const struct lethe_plan *plan, const struct lethe_snapshot *snapshot,
                       const struct lethe_policy *policy, struct lethe_progress *progress)
{
    const struct pass p = {snapshot, policy, progress};
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
            erase_names(&p, plan, i, text);
            changed += unmount(&p, step, text);
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

void lethe_execute_wipe_keys(const struct lethe_snapshot *snapshot,
                             const struct lethe_policy *policy, struct lethe_progress *progress)
{
    for (size_t i = 0; i < snapshot->n_blocks; i++) {
        const struct lethe_block *b = &snapshot->blocks[i];
        uint64_t task = lethe_task_id_of_device(LETHE_TASK_WIPE_KEY, b->devno);
        if (!lethe_stop_holds_key(b) || lethe_task_is_finished(progress, task) ||
            !lethe_task_beginf(progress, task, policy->step_ms, "wipe the key of %.64s", b->name))
            continue;
        int r = lethe_stop_wipe_key(b, &progress->account.keys_ms);
        lethe_task_done(progress);
        lethe_task_set_finished(progress, task);
        lethe_log(LETHE_LOG_ERROR, "%.64s (crypt) was still in use: its key %s%s", b->name,
                  r ? "could not be wiped: " : "is wiped", r ? strerror(-r) : "");
    }
}
