/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lethe/kernel/bounce.h"
#include "lethe/kernel/cgroup.h"
#include "lethe/kernel/efi.h"
#include "lethe/kernel/huge_pages.h"
#include "lethe/kernel/interfaces.h"
#include "lethe/kernel/ipc.h"
#include "lethe/kernel/left.h"
#include "lethe/kernel/log.h"
#include "lethe/kernel/network.h"
#include "lethe/kernel/page_cache.h"
#include "lethe/kernel/pools.h"
#include "lethe/kernel/screen.h"
#include "lethe/kernel/scrub.h"
#include "lethe/kernel/sys.h"
#include "lethe/kernel/withheld.h"
#include "lethe/plan/meminfo.h"

static void erase_ipc(const struct lethe_policy *policy, struct lethe_progress *progress)
{
    struct lethe_ram_fs_erased erased;
    uint64_t task = lethe_task_id(LETHE_TASK_ERASE_IPC, 0);
    if (lethe_task_is_finished(progress, task) ||
        !lethe_task_begin(progress, task, policy->erase_ms, "erase IPC objects"))
        return;
    lethe_ipc_erase(&erased);
    lethe_task_done(progress);
    lethe_task_set_finished(progress, task);
    progress->account.erased_bytes += erased.bytes;
    progress->account.not_erased += (unsigned)erased.failed;
    if (erased.failed)
        lethe_log(LETHE_LOG_ERROR, "%llu segments or queues could not be erased: %s",
                  (unsigned long long)erased.failed, strerror(-erased.first_error));
}

static void revoke_keys(const struct lethe_policy *policy, struct lethe_progress *progress)
{
    uint64_t task = lethe_task_id(LETHE_TASK_REVOKE_KEYS, 0);
    if (lethe_task_is_finished(progress, task) ||
        !lethe_task_begin(progress, task, policy->erase_ms, "revoke the keys of users"))
        return;
    bool revoked = lethe_ipc_revoke_keys();
    if (!revoked)
        revoked = lethe_ipc_revoke_keys();
    lethe_task_done(progress);
    lethe_task_set_finished(progress, task);
    progress->account.not_erased += !revoked;
    if (!revoked)
        lethe_log(LETHE_LOG_ERROR, "not all keys of users could be revoked");
}

void lethe_sweep_ipc(const struct lethe_policy *policy, struct lethe_progress *progress)
{
    revoke_keys(policy, progress);
    erase_ipc(policy, progress);
}

static uint64_t unwritten_kib(void)
{
    char text[4096];
    const struct lethe_span meminfo = lethe_sys_read_span("/proc/meminfo", text, sizeof text);
    return lethe_meminfo(meminfo, "Dirty") + lethe_meminfo(meminfo, "Writeback");
}

uint64_t lethe_sweep_sync_task(void)
{
    return lethe_task_id(LETHE_TASK_SYNC, 0);
}

/* Has the kernel's own threads begin to write, so that nobody waits for a slow disk now. Setting
 * the interval to 0 and back wakes them. */
void lethe_sweep_start_writing(const struct lethe_policy *policy, struct lethe_progress *progress)
{
    enum { AT_ONCE_MS = 2000, KIB_MAX = 64 };
    static const char interval[] = "/proc/sys/vm/dirty_writeback_centisecs";
    const struct timespec pause = {0, 10 * 1000 * 1000};
    if (!policy->writes_back ||
        !lethe_task_begin(progress, lethe_task_id(LETHE_TASK_START_WRITING, 0), policy->step_ms,
                          "have all data written"))
        return;
    lethe_sys->write_file("/proc/sys/vm/dirty_expire_centisecs", "1");
    lethe_sys->write_file(interval, "0");
    lethe_sys->write_file(interval, "10");
    for (int64_t end = lethe_sys_now_ms() + AT_ONCE_MS;
         unwritten_kib() > KIB_MAX && lethe_sys_now_ms() < end;)
        nanosleep(&pause, NULL);
    lethe_task_done(progress);
}

void lethe_sweep_sync(const struct lethe_policy *policy, struct lethe_progress *progress)
{
    uint64_t task = lethe_sweep_sync_task();
    if (!policy->writes_back ||
        !lethe_task_begin(progress, task, lethe_policy_write_ms(policy, progress->n_stuck), "sync"))
        return;
    sync();
    lethe_task_done(progress);
}

void lethe_sweep_page_cache(const struct lethe_policy *policy, struct lethe_progress *progress)
{
    uint64_t task = lethe_task_id(LETHE_TASK_DROP_PAGE_CACHE, 0);
    if (lethe_task_is_finished(progress, task) ||
        !lethe_task_begin(progress, task, policy->step_ms, "drop the page cache"))
        return;
    progress->account.bad_kib = lethe_withheld_bad_kib(); /* before the first reading back */
    lethe_page_cache_drop();
    lethe_task_done(progress);
    lethe_task_set_finished(progress, task);
}

void lethe_sweep_caches(const struct lethe_policy *policy, struct lethe_progress *progress)
{
    if (!lethe_task_begin(progress, lethe_task_id(LETHE_TASK_DROP_CACHES, 0),
                          lethe_policy_write_ms(policy, progress->n_stuck), "drop caches"))
        return;
    int r = 0;
    for (int i = 0; i < 2 && (!i || r); i++)
        r = lethe_sys->write_file("/proc/sys/vm/drop_caches", "3");
    lethe_task_done(progress);
    progress->account.not_erased += r != 0;
    if (r)
        lethe_log(LETHE_LOG_ERROR, "drop caches: %s", strerror(-r));
}

static void take_step(struct lethe_progress *p, const struct lethe_policy *policy,
                      enum lethe_task task, const char *what, void (*act)(void))
{
    if (!lethe_task_begin(p, lethe_task_id(task, 0), policy->step_ms, what))
        return;
    act();
    lethe_task_done(p);
}

/* Asks the firmware last before the power-off, since it may hang. Many have no such variable. */
static void ask_firmware(const struct lethe_policy *policy, struct lethe_progress *p)
{
    if (!lethe_task_begin(p, lethe_task_id(LETHE_TASK_ASK_FIRMWARE, 0), policy->step_ms,
                          "ask the firmware to clear RAM"))
        return;
    int r = lethe_efi_request_clearing_mounted();
    lethe_task_done(p);
    if (!r)
        lethe_log(LETHE_LOG_VERBOSE, "the firmware will clear RAM at the next start");
    else if (r != -ENOENT)
        lethe_log(LETHE_LOG_VERBOSE, "the firmware was not asked to clear RAM: %s", strerror(-r));
}

/* Looks at objects another way than that by which they were erased. */
static void look_at_objects(const struct lethe_policy *policy, struct lethe_progress *p)
{
    p->account.kept = 0;
    if (!lethe_task_begin(p, lethe_task_id(LETHE_TASK_LOOK_AT_OBJECTS, 0), policy->step_ms,
                          "look at objects of the kernel's"))
        return;
    p->account.kept = lethe_pools_report(p) + lethe_left_report_objects() +
                      lethe_withheld_report(p->account.bad_kib);
    lethe_task_done(p);
}

void lethe_sweep_memory(const struct lethe_policy *policy, const struct lethe_cmdline *cmdline,
                        int64_t end_ms, struct lethe_progress *progress)
{
    lethe_cgroup_leave();
    lethe_pools_clear(policy, progress);
    take_step(progress, policy, LETHE_TASK_CLEAR_SCREENS, "clear the screens", lethe_screen_clear);
    take_step(progress, policy, LETHE_TASK_NETWORK_DOWN, "take the network down",
              lethe_interfaces_down);
    take_step(progress, policy, LETHE_TASK_FREE_HUGE_PAGES, "free huge pages",
              lethe_huge_pages_free);
    take_step(progress, policy, LETHE_TASK_PUT_MEMORY_ONLINE, "take all memory into use",
              lethe_withheld_put_online);
    lethe_sweep_caches(policy, progress);
    lethe_scrub_look(policy, progress);
    lethe_scrub_objects(policy, cmdline, (end_ms - lethe_sys_now_ms()) / 8, false, progress);
}

void lethe_sweep_memory_again(const struct lethe_policy *policy,
                              const struct lethe_cmdline *cmdline, int64_t end_ms,
                              struct lethe_progress *progress)
{
    lethe_cgroup_leave();
    lethe_scrub_objects(policy, cmdline, (end_ms - lethe_sys_now_ms()) / 8, true, progress);
    lethe_pools_clear_freed(policy, (end_ms - lethe_sys_now_ms()) / 8, progress);
    lethe_scrub_memory(policy, cmdline, end_ms, progress);
    look_at_objects(policy, progress);
    lethe_bounce_overwrite(policy, progress);
    ask_firmware(policy, progress);
}
