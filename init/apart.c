/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "apart.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>

#include "lethe/kernel/daemons.h"
#include "lethe/kernel/execute.h"
#include "lethe/kernel/face.h"
#include "lethe/kernel/kexec.h"
#include "lethe/kernel/keys.h"
#include "lethe/kernel/left.h"
#include "lethe/kernel/log.h"
#include "lethe/kernel/network.h"
#include "lethe/kernel/offline.h"
#include "lethe/kernel/power.h"
#include "lethe/kernel/process.h"
#include "lethe/kernel/release.h"
#include "lethe/kernel/scrub.h"
#include "lethe/kernel/self.h"
#include "lethe/kernel/snapshot.h"
#include "lethe/kernel/sweep.h"
#include "lethe/kernel/sys.h"
#include "lethe/kernel/uncover.h"
#include "lethe/kernel/unmount.h"
#include "lethe/kernel/watchdog.h"
#include "lethe/plan/plan.h"
#include "lethe/plan/served.h"

enum { PASSES_MAX = 12, FAILURES_MAX = 3, ROUNDS_MAX = 8, AGAIN = 64, UNCOVER };

static int take_and_plan(struct lethe_end *end, struct lethe_progress *progress,
                         struct lethe_snapshot *snapshot, struct lethe_plan *plan)
{
    const struct lethe_plan_options options = {.own_root = true};
    if (!end->arena.base) /* there was no memory for it when the end began */
        end->arena = lethe_snapshot_map_arena();
    lethe_arena_reset(&end->arena);
    /* A dead device may not answer what a live snapshot asks it; then a snapshot of /proc and /sys
     * alone has to do. */
    bool live = lethe_task_begin(progress, lethe_task_id(LETHE_TASK_LOOK_AT_SYSTEM, 0),
                                 end->policy->step_ms, "look at the system");
    if (!live && !lethe_task_begin(progress, lethe_task_id(LETHE_TASK_LOOK_AT_PROC, 0),
                                   end->policy->step_ms, "look at /proc and /sys"))
        return -ETIMEDOUT;
    int r =
        lethe_snapshot_take(snapshot, AT_FDCWD, live, &end->arena, &lethe_snapshot_complain_to_log);
    if (!r)
        r = lethe_plan_make(plan, snapshot, &options, &end->arena);
    lethe_task_done(progress);
    return r;
}

/* Takes all mounts away at once, which can be done without a plan too. */
static void detach_everything(const struct lethe_end *end, struct lethe_progress *progress, int why)
{
    lethe_log(LETHE_LOG_ERROR, "no plan could be made: %s; detaching everything", strerror(-why));
    if (end->own_root && lethe_task_begin(progress, lethe_task_id(LETHE_TASK_DETACH_OLD_ROOT, 0),
                                          end->policy->step_ms, "detach /oldroot")) {
        lethe_sys->umount("/oldroot", MNT_DETACH);
        lethe_task_done(progress);
    }
}

static unsigned report_init(const struct lethe_end *end)
{
    if (end->init_memory == LETHE_INIT_ZEROED)
        return 0;
    lethe_log(LETHE_LOG_ERROR, "left: the memory of PID 1, which could not be %s",
              end->init_memory == LETHE_INIT_RUNS ? "frozen" : "written to");
    return 1;
}

/* Takes a last look and reports what is left. Returns how many things that are. */
static unsigned report(struct lethe_end *end, struct lethe_progress *progress)
{
    struct lethe_snapshot snapshot;
    struct lethe_plan plan;
    unsigned left = lethe_process_report() + lethe_left_report_shmem(end->policy, progress) +
                    lethe_kexec_unload(end->verb == LETHE_VERB_KEXEC) + report_init(end);
    if (end->unreaped)
        lethe_log(LETHE_LOG_ERROR,
                  "left: the last registers of %lld dead processes, which nobody reaps",
                  (long long)end->unreaped);
    if (take_and_plan(end, progress, &snapshot, &plan))
        return left + 1;
    left += (end->unreaped != 0) + progress->account.unclean +
            lethe_left_report(&plan, &snapshot, end->init_stays) +
            lethe_left_report_claimed(&snapshot, end->init_stays, end->policy, progress);
    lethe_execute_wipe_keys(&snapshot, end->policy, progress);
    return left;
}

/* Reports what is left, which must not be missed when time was too short for the rest. */
static int report_only(struct lethe_progress *progress, void *context)
{
    progress->account.left = report(context, progress);
    return progress->account.left != 0;
}

/* Makes passes until one changes nothing: over the whole system as it is then, or over what may be
 * served. */
static int make_passes(struct lethe_end *end, struct lethe_progress *progress, bool served)
{
    struct lethe_snapshot snapshot;
    struct lethe_plan plan, part;
    unsigned changed = 1, failures = 0;
    int r = 0;
    for (int pass = 0; changed && pass < PASSES_MAX; pass++) {
        if ((r = take_and_plan(end, progress, &snapshot, &plan)) ||
            (served && (r = lethe_served_pick(&part, &plan, &snapshot, &end->arena)))) {
            if (++failures < FAILURES_MAX)
                continue;
            break;
        }
        pid_t failing = progress->cut_off
                            ? lethe_network_keep_failing(&snapshot, LETHE_NETWORK_ALL, progress)
                            : -1;
        lethe_left_note_stores(&snapshot, progress);
        changed = lethe_execute(served ? &part : &plan, &snapshot, end->policy, progress);
        lethe_network_stop_failing(failing);
    }
    return r;
}

static int take_served(struct lethe_progress *progress, void *context)
{
    struct lethe_end *end = context;
    lethe_self_harden();
    progress->cut_off = end->cut_off;
    return make_passes(end, progress, true) != 0;
}

/* Takes the whole system apart. What an earlier worker got stuck on is known to `progress`. */
static int take_all(struct lethe_progress *progress, void *context)
{
    struct lethe_end *end = context;
    const struct lethe_policy *policy = end->policy;
    lethe_self_harden();
    progress->cut_off = end->cut_off;
    if (end->keys_left)
        lethe_keys_wipe(LETHE_KEYS_IDLE, policy, progress);
    lethe_offline_stop_queueing(!policy->writes_back); /* again after each step that hung */
    lethe_sweep_page_cache(policy, progress);
    lethe_sweep_ipc(policy, progress);
    lethe_release_probes(policy, progress);
    int r = make_passes(end, progress, false);
    if (progress->n_aside || progress->n_daemons)
        return AGAIN;
    if (!r && end->own_root && !end->uncovered && lethe_uncover_finds(policy->step_ms))
        return UNCOVER;
    if (r)
        detach_everything(end, progress, r);
    lethe_sweep_sync(policy, progress);
    progress->account.left = report(end, progress);
    return progress->account.left || r;
}

/* Caches are not dropped here, since that may wait for the same data. */
static int clear_meanwhile(struct lethe_progress *progress, void *context)
{
    const struct lethe_end *end = context;
    lethe_self_harden();
    const int64_t ms = end->policy->erase_ms;
    lethe_scrub_look(end->policy, progress);
    lethe_scrub_objects(end->policy, &end->cmdline, ms / 8, false, progress);
    lethe_scrub_memory(end->policy, &end->cmdline, lethe_sys_now_ms() + ms, progress);
    return 0;
}

static int await_unmounts(struct lethe_progress *progress, void *context)
{
    const struct lethe_end *end = context;
    lethe_self_harden();
    lethe_unmount_await(end->policy, progress);
    return 0;
}

/* Waits for slow writes, without a limit as long as data move. All else is done by now; only free
 * memory is cleared before. */
static void await_data(struct lethe_end *end, struct lethe_progress *progress,
                       const struct lethe_supervisor *supervisor, bool first)
{
    unsigned n_stuck = progress->n_stuck;
    if (first)
        lethe_supervise(progress, clear_meanwhile, end, supervisor);
    progress->n_stuck = n_stuck; /* free memory is cleared again later */
    lethe_supervise(progress, await_unmounts, end, supervisor);
    progress->n_aside = 0;
}

static void end_daemons(struct lethe_end *end, struct lethe_progress *progress)
{
    enum { BY_THEMSELVES_MS = 2000 };
    lethe_daemons_await(progress, BY_THEMSELVES_MS);
    lethe_end_stop_all(end, progress, end->policy->stop_ms);
    lethe_face_start(progress); /* the screen's process was stopped too */
    progress->n_daemons = 0;
}

static int find_daemons(struct lethe_progress *progress, void *context)
{
    const struct lethe_end *end = context;
    if (lethe_task_begin(progress, lethe_task_id(LETHE_TASK_FIND_DAEMONS, 0), end->policy->step_ms,
                         "look for daemons that serve what is mounted"))
        lethe_daemons_find(progress);
    lethe_task_done(progress);
    return 0;
}

void lethe_apart_find_daemons(struct lethe_end *end, struct lethe_progress *progress)
{
    const struct lethe_supervisor supervisor = {.total_ms = 2 * end->policy->step_ms,
                                                .tick = lethe_watchdog_ping};
    if (end->policy->writes_back)
        lethe_supervise(progress, find_daemons, end, &supervisor);
    end->served = progress->n_daemons;
}

int lethe_apart(struct lethe_end *end, struct lethe_progress *progress,
                const struct lethe_supervisor *supervisor)
{
    int r = AGAIN;
    if (end->served)
        lethe_apart_find_daemons(end, progress);
    for (int round = 0; r == AGAIN && round < ROUNDS_MAX; round++) {
        if (progress->n_daemons)
            lethe_supervise(progress, take_served, end, supervisor);
        if (progress->n_daemons && !progress->n_aside)
            end_daemons(end, progress);
        r = lethe_supervise(progress, take_all, end, supervisor);
        if (r == UNCOVER) {
            end->uncovered = true;
            lethe_uncover();
            r = AGAIN;
        }
        if (r == AGAIN && progress->n_aside)
            await_data(end, progress, supervisor, !round);
    }
    if (r < 0 || r == AGAIN) {
        lethe_log(LETHE_LOG_ERROR, "the work ended early: %s", strerror(r < 0 ? -r : ETIMEDOUT));
        lethe_supervise(progress, report_only, end, supervisor);
    }
    return r;
}
