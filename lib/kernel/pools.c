/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/pools.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lethe/kernel/audit.h"
#include "lethe/kernel/bluetooth.h"
#include "lethe/kernel/kfence.h"
#include "lethe/kernel/links.h"
#include "lethe/kernel/log.h"
#include "lethe/kernel/modules.h"
#include "lethe/kernel/printed.h"
#include "lethe/kernel/stacks.h"
#include "lethe/kernel/sys.h"
#include "lethe/kernel/tracing.h"
#include "lethe/kernel/zswap.h"

static bool visit_stream(const char *path, bool free)
{
    char now[32];
    if (free)
        lethe_sys->write_file(path, "0\n");
    return lethe_sys_read_line(AT_FDCWD, path, now, sizeof now) && strcmp(now, "0") != 0;
}

/* Counts the buffers of sound streams below a directory of /proc/asound, and frees them if `free`
 * is set. What was recorded or played last lies in a stream's buffer until its device is removed;
 * writing 0 keeps no buffer (snd_pcm_lib_preallocate_proc_write(), sound/core/pcm_memory.c). A
 * stream in use refuses. glob(3) would bring the whole of the C library's user names. */
static unsigned visit_sound(const char *above, size_t depth, bool free)
{
    static const char *const names[] = {"card", "pcm", "sub",
                                        "prealloc"}; /* how they begin, but the last */
    char path[200];
    unsigned n = 0;
    DIR *dir = opendir(above);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (depth < 3 ? strncmp(entry->d_name, names[depth], strlen(names[depth])) != 0
                      : strcmp(entry->d_name, names[depth]) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%.40s", above, entry->d_name);
        n += depth < 3 ? visit_sound(path, depth + 1, free) : visit_stream(path, free);
    }
    if (dir)
        closedir(dir);
    return n;
}

static bool begin(struct lethe_progress *p, int64_t ms, enum lethe_task task, const char *what)
{
    return lethe_task_begin(p, lethe_task_id(task, 0), ms, what);
}

void lethe_pools_clear(const struct lethe_policy *policy, struct lethe_progress *progress)
{
    if (begin(progress, policy->step_ms, LETHE_TASK_DELETE_LINKS, "delete links")) {
        lethe_links_delete();
        unsigned adapters = lethe_bluetooth_forget();
        lethe_task_done(progress);
        progress->account.not_erased += adapters;
        if (adapters)
            lethe_log(LETHE_LOG_ERROR, "left: the keys of %u Bluetooth adapters", adapters);
    }
    if (begin(progress, policy->step_ms, LETHE_TASK_FREE_SOUND, "free the buffers of sound")) {
        visit_sound("/proc/asound", 0, true);
        lethe_task_done(progress);
    }
    if (begin(progress, policy->step_ms, LETHE_TASK_CLEAR_TRACES, "clear what was traced")) {
        if (lethe_tracing_open())
            lethe_tracing_clear();
        lethe_task_done(progress);
    }
    if (begin(progress, policy->step_ms, LETHE_TASK_TAKE_RECORDS, "take the records of audit")) {
        lethe_audit_take(lethe_sys_now_ms() + policy->step_ms / 2);
        lethe_task_done(progress);
    }
    if (begin(progress, policy->step_ms, LETHE_TASK_OVERWRITE_LOG, "overwrite the kernel's log")) {
        progress->account.log_overwritten = lethe_printed_overwrite();
        lethe_task_done(progress);
    }
    if (lethe_zswap_was_used() && begin(progress, policy->erase_ms, LETHE_TASK_OVERWRITE_ZSWAP,
                                        "overwrite the buffers of zswap")) {
        progress->account.zswap_overwritten = lethe_zswap_overwrite();
        lethe_task_done(progress);
    }
    lethe_modules_unload(policy, progress);
}

void lethe_pools_clear_freed(const struct lethe_policy *policy, int64_t ms,
                             struct lethe_progress *progress)
{
    struct lethe_account *account = &progress->account;
    account->stacks_overwritten = false;
    if (begin(progress, policy->step_ms, LETHE_TASK_OVERWRITE_STACKS,
              "overwrite the stacks of the dead")) {
        account->stacks_overwritten = lethe_stacks_overwrite();
        lethe_task_done(progress);
    }
    account->samples_left = !account->fill.kernel_clears && lethe_kfence_samples();
    if (account->samples_left && begin(progress, ms + policy->step_ms, LETHE_TASK_OVERWRITE_SAMPLES,
                                       "overwrite what KFENCE keeps")) {
        account->samples_left = !lethe_kfence_overwrite(lethe_sys_now_ms() + ms);
        lethe_task_done(progress);
    }
}

unsigned lethe_pools_report(const struct lethe_progress *progress)
{
    unsigned sound = visit_sound("/proc/asound", 0, false);
    bool zswap = lethe_zswap_was_used() && !progress->account.zswap_overwritten;
    if (sound)
        lethe_log(LETHE_LOG_ERROR, "left: the buffers of %u streams of sound", sound);
    if (zswap)
        lethe_log(LETHE_LOG_ERROR, "left: what zswap has compressed last on each processor");
    if (!progress->account.log_overwritten)
        lethe_log(LETHE_LOG_ERROR, "left: what the kernel has logged");
    if (!progress->account.stacks_overwritten)
        lethe_log(LETHE_LOG_ERROR, "left: stacks of dead processes that the kernel keeps");
    if (progress->account.samples_left)
        lethe_log(LETHE_LOG_ERROR, "left: freed objects of the kernel's that KFENCE keeps");
    return lethe_links_report() + lethe_modules_report() + (sound != 0) + zswap +
           !progress->account.log_overwritten + !progress->account.stacks_overwritten +
           progress->account.samples_left;
}
