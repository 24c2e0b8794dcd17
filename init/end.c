/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "end.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "apart.h"
#include "handover.h"
#include "init.h"
#include "lethe/kernel/deadman.h"
#include "lethe/kernel/face.h"
#include "lethe/kernel/keyboard.h"
#include "lethe/kernel/log.h"
#include "lethe/kernel/network.h"
#include "lethe/kernel/offline.h"
#include "lethe/kernel/own_root.h"
#include "lethe/kernel/pid1.h"
#include "lethe/kernel/power.h"
#include "lethe/kernel/process.h"
#include "lethe/kernel/release.h"
#include "lethe/kernel/self.h"
#include "lethe/kernel/snapshot.h"
#include "lethe/kernel/sweep.h"
#include "lethe/kernel/sys.h"
#include "lethe/kernel/watchdog.h"
#include "summary.h"

#define SECOND_STAGE "lethe-end"
#define AGAIN "LETHE_AGAIN" /* in the environment of an end that goes on once more */

enum { CMDLINE_MAX = 8192 };

static void read_cmdline(struct lethe_end *end)
{
    char text[CMDLINE_MAX];
    lethe_cmdline_parse(&end->cmdline, lethe_sys_read_span("/proc/cmdline", text, sizeof text));
    lethe_log_set_verbose(end->cmdline.verbose);
}

/* Reads how long a file asks to pause at the end. After systemd's pivot the armed directory is the
 * root. The second stage does not find the file; the first has handed the number on. */
static void read_pause(struct lethe_end *end)
{
    enum { PAUSE_MAX = 3600 };
    char text[16];
    uint64_t seconds;
    const char *path = LETHE_ARMED_DIR LETHE_PAUSE;
    if (lethe_self_runs("/shutdown"))
        path = LETHE_PAUSE;
    if (lethe_sys_read_line(AT_FDCWD, path, text, sizeof text) &&
        !lethe_text_number(lethe_span(text), PAUSE_MAX, &seconds))
        end->pause_seconds = (int64_t)seconds;
}

void lethe_end_prepare_workers(void)
{
    /* The pivot moves a working directory along only when it is the root, and snapshots begin at
     * it. */
    (void)!chdir("/");
    lethe_self_shield();
    lethe_keyboard_disarm();
    lethe_own_root_mount_api();
    lethe_self_take_stdio();
    lethe_power_prepare();
    if (getpid() != 1)
        lethe_pid1_keep_stage();
}

/* The caller goes on after this end if it can: PID 1 then ends the machine in its own way. */
void lethe_end_keep_script(const struct lethe_end *end)
{
    if (getpid() != 1 && end->policy->keeps_callers)
        lethe_process_keep_ancestors();
}

void lethe_end_prepare(struct lethe_end *end)
{
    lethe_self_lock();
    lethe_log_to_kernel();
    lethe_watchdog_open();
    read_cmdline(end);
    read_pause(end);
}

static int enter_own_root(struct lethe_progress *progress, void *context)
{
    const struct lethe_end *end = context;
    if (!lethe_task_begin(progress, lethe_task_id(LETHE_TASK_ENTER_OWN_ROOT, 0),
                          end->policy->step_ms, "move to a root of Lethe's own"))
        return ETIMEDOUT;
    int r = lethe_own_root_enter();
    lethe_task_done(progress);
    return -r & 127;
}

bool lethe_end_is_second_stage(char **argv)
{
    return !strcmp(argv[0], SECOND_STAGE) && lethe_self_runs(LETHE_OWN_ROOT_PROGRAM);
}

static void exec_second_stage(const struct lethe_end *end)
{
    enum { ARGUMENTS_MAX = 32 };
    char text[1024], *argv[ARGUMENTS_MAX] = {SECOND_STAGE, (char *)lethe_verb_name(end->verb)};
    lethe_handover_print(end, text, sizeof text);
    int n = 2;
    lethe_own_root_follow();
    for (char *at = text; *at && n < ARGUMENTS_MAX - 1; at += strlen(at) + 1)
        argv[n++] = at;
    execve(LETHE_OWN_ROOT_PROGRAM, argv, environ);
}

static void supervise_early(struct lethe_end *end, struct lethe_progress *progress,
                            int (*work)(struct lethe_progress *, void *))
{
    const struct lethe_supervisor supervisor = {.total_ms = 2 * end->policy->write_ms,
                                                .tick = lethe_watchdog_ping,
                                                .writes = end->policy->counts_writing};
    lethe_supervise(progress, work, end, &supervisor);
}

static pid_t write_or_cut(const struct lethe_end *end, struct lethe_progress *progress, bool thaws)
{
    struct lethe_arena arena = lethe_snapshot_map_arena();
    struct lethe_snapshot snapshot;
    if (!lethe_task_begin(progress, lethe_task_id(LETHE_TASK_LOOK_FOR_SERVERS, 0),
                          end->policy->step_ms, "look for servers"))
        return -1;
    int r =
        lethe_snapshot_take(&snapshot, AT_FDCWD, false, &arena, &lethe_snapshot_complain_to_log);
    lethe_task_done(progress);
    if (r)
        return -1;
    if (thaws)
        lethe_release_frozen(&snapshot, end->policy, progress);
    lethe_network_write_or_cut(&snapshot, end->policy, progress);
    return lethe_network_keep_failing(
        &snapshot, end->policy->is_patient ? LETHE_NETWORK_GIVEN_UP : LETHE_NETWORK_ALL, progress);
}

pid_t lethe_end_write_or_cut(const struct lethe_end *end, struct lethe_progress *progress)
{
    return write_or_cut(end, progress, false);
}

/* Thaws, then writes back or cuts off. A process that waits for a frozen file system can't be
 * killed; all keys have been seen to by now. */
static int free_from_servers(struct lethe_progress *progress, void *context)
{
    const struct timespec while_it_fails = {0, 300 * 1000 * 1000};
    lethe_offline_stop_queueing(false);
    pid_t failing = write_or_cut(context, progress, true);
    if (failing > 0)
        nanosleep(&while_it_fails, NULL);
    lethe_network_stop_failing(failing);
    return 0;
}

/* Starts writing early. Once a server was given up, what waits for it is failed as long as the
 * others write. */
static int write_early(struct lethe_progress *progress, void *context)
{
    const struct lethe_end *end = context;
    pid_t failing = progress->cut_off ? lethe_end_write_or_cut(end, progress) : -1;
    if (progress->cut_off)
        lethe_sweep_sync(end->policy, progress);
    else
        lethe_sweep_start_writing(end->policy, progress);
    lethe_network_stop_failing(failing);
    return 0;
}

/* Begins this end again in the place of a supervisor that was killed, once: from a root of Lethe's
 * own if there is one by now. */
static void go_on(const void *context)
{
    const struct lethe_end *end = context;
    char *argv[] = {"lethe", end->dead_ms ? "now" : "end", (char *)lethe_verb_name(end->verb),
                    NULL};
    if (getenv(AGAIN))
        return;
    setenv(AGAIN, "1", 1);
    exec_second_stage(end);
    execve(LETHE_ARMED_COPY, argv, environ);
}

pid_t lethe_end_start_deadman(const struct lethe_end *end, struct lethe_progress *progress)
{
    if (!end->dead_ms && getpid() == 1 && !end->guarded)
        return 0;
    return lethe_deadman_start(end->dead_ms, end->verb, progress, go_on, end);
}

unsigned lethe_end_stop_all(const struct lethe_end *end, struct lethe_progress *progress,
                            int64_t ms)
{
    lethe_process_kill_all();
    pid_t deadman = lethe_end_start_deadman(end, progress);
    unsigned left = lethe_process_stop_all(deadman > 0 ? deadman : 0, ms);
    if (deadman < 0) /* the dying still had the memory, or the numbers */
        lethe_end_start_deadman(end, progress);
    return left;
}

static unsigned stop_once(const struct lethe_end *end, struct lethe_progress *progress, int64_t ms)
{
    if (!progress || !progress->n_daemons)
        return lethe_end_stop_all(end, progress, ms);
    unsigned left = lethe_process_stop_others(progress->daemons, progress->n_daemons, ms);
    lethe_end_start_deadman(end, progress);
    return left;
}

/* Stops processes. Those that wait for a server that was given up are freed as often as they wait:
 * a process writes its files back as it ends. */
static void stop_processes(struct lethe_end *end, struct lethe_progress *progress)
{
    enum { ROUNDS = 10, ROUND_MS = 300 };
    unsigned left = !lethe_task_is_skipped(lethe_task_id(LETHE_TASK_STOP_PROCESSES, 0));
    for (int i = 0; progress->cut_off && left && i < ROUNDS; i++) {
        left = stop_once(end, progress, ROUND_MS);
        if (left)
            supervise_early(end, progress, free_from_servers);
    }
    if (left)
        stop_once(end, progress, end->policy->stop_ms);
}

static int empty_init(struct lethe_progress *progress, void *context)
{
    const struct lethe_end *end = context;
    if (!lethe_task_begin(progress, lethe_task_id(LETHE_TASK_EMPTY_INIT, 0), end->policy->step_ms,
                          "empty what PID 1 keeps"))
        return 1;
    lethe_pid1_empty_files();
    bool zeroed = lethe_pid1_zero_memory();
    lethe_task_done(progress);
    return !zeroed;
}

/* Freezes PID 1 and empties it, once it has reaped the dead. */
static void freeze_and_empty_init(struct lethe_end *end, struct lethe_progress *progress)
{
    enum { REAP_MS = 1500 };
    end->unreaped = lethe_process_wait_for_reaper(REAP_MS);
    if (lethe_pid1_freeze())
        end->init_memory =
            lethe_supervise(progress, empty_init, end,
                            &(struct lethe_supervisor){.total_ms = 2 * end->policy->step_ms,
                                                       .tick = lethe_watchdog_ping})
                ? LETHE_INIT_CLOSED
                : LETHE_INIT_ZEROED;
}

void lethe_end_leave_old_root(struct lethe_end *end, struct lethe_progress *progress)
{
    const struct lethe_policy *policy = end->policy;
    lethe_face_start(progress);
    lethe_network_close_at_once();
    supervise_early(end, progress, free_from_servers);
    if (policy->writes_back)
        supervise_early(end, progress, write_early);
    end->sync_hung |= lethe_task_is_stuck(progress, lethe_sweep_sync_task());
    lethe_apart_find_daemons(end, progress);
    lethe_process_hurry(0, true);
    end->init_memory = getpid() == 1 ? LETHE_INIT_ZEROED : LETHE_INIT_RUNS;
    stop_processes(end, progress);
    end->cut_off = progress->cut_off;
    lethe_process_hurry(0, false);
    if (getpid() != 1)
        freeze_and_empty_init(end, progress);
    end->stopped_ms = lethe_sys_now_ms() - end->started_ms;
    int r = lethe_supervise(
        progress, enter_own_root, end,
        &(struct lethe_supervisor){.total_ms = 4 * policy->step_ms, .tick = lethe_watchdog_ping});
    if (!r)
        exec_second_stage(end);
    lethe_log(LETHE_LOG_ERROR, "no root of Lethe's own: %s; going on in the old one",
              strerror(r < 0 ? -r
                       : r   ? r
                             : errno));
    end->own_root = false;
}

/* Sweeps memory in a worker of its own: the memory of the workers that took the system apart, with
 * paths and names in it, is free by now. */
static int sweep_memory(struct lethe_progress *progress, void *context)
{
    const struct lethe_end *end = context;
    lethe_self_harden();
    lethe_sweep_memory(end->policy, &end->cmdline, end->memory_end_ms, progress);
    return 0;
}

static int sweep_memory_again(struct lethe_progress *progress, void *context)
{
    const struct lethe_end *end = context;
    lethe_self_harden();
    lethe_sweep_memory_again(end->policy, &end->cmdline, end->memory_end_ms, progress);
    return 0;
}

/* Sweeps in two workers, between which the log is opened anew (log.h). */
static void sweep_all_memory(struct lethe_end *end, struct lethe_progress *progress)
{
    struct sysinfo info;
    uint64_t kib = sysinfo(&info) ? 0 : (uint64_t)info.totalram * info.mem_unit >> 10;
    int64_t now = lethe_sys_now_ms(), left = end->dead_ms ? end->dead_ms - now : INT64_MAX;
    int64_t ms =
        lethe_policy_memory_ms(end->policy, 1000 * (int64_t)end->cmdline.scrub_seconds, left, kib);
    const struct lethe_supervisor supervisor = {.total_ms = ms + end->policy->total_ms,
                                                .tick = lethe_watchdog_ping,
                                                .writes = end->policy->counts_writing};
    char printk[64];
    lethe_sys_read_line(AT_FDCWD, "/proc/sys/kernel/printk", printk, sizeof printk);
    end->memory_end_ms = now + ms;
    int r = lethe_supervise(progress, sweep_memory, end, &supervisor);
    lethe_log_to_kernel();
    int again = lethe_supervise(progress, sweep_memory_again, end, &supervisor);
    progress->account.kept += r || again; /* what was to follow a hung sweep was not begun */
    if (r || again)
        lethe_log(LETHE_LOG_ERROR, "left: what was to be cleared in memory: %s",
                  strerror(r ? -r : -again));
    /* A worker that had silenced the console may have been killed. */
    lethe_sys->write_file("/proc/sys/kernel/printk", printk);
}

/* Returns for how long what is left, or for a moment that nothing is, is shown where there is a
 * screen. */
static int64_t show_ms(const struct lethe_end *end, const struct lethe_progress *progress,
                       bool clean)
{
    enum { MOMENT_MS = 1000 };
    bool seen = lethe_face_end(progress ? lethe_summary_left(end, progress, clean) : 0);
    int64_t ms = end->cmdline.show_seconds < 0 ? end->policy->show_ms
                                               : 1000 * (int64_t)end->cmdline.show_seconds;
    return !seen ? 0 : clean && ms > MOMENT_MS ? MOMENT_MS : ms;
}

/* Stops all processes again, but daemons that serve what is mounted: those that PID 1 has started
 * since the first stage, or that that stage could not know of, and its deadman, which holds the old
 * program. */
static void stop_again(struct lethe_end *end, struct lethe_progress *progress)
{
    const bool again = end->init_stays || end->dead_ms;
    if (again && end->served && progress)
        lethe_apart_find_daemons(end, progress);
    if (again)
        stop_once(end, progress, end->policy->stop_ms);
    if (end->dead_ms)
        lethe_watchdog_arm(end->dead_ms); /* systemd stops its own when it hands over */
}

static bool work(struct lethe_end *end, struct lethe_progress *progress)
{
    const struct lethe_supervisor supervisor = {.total_ms = end->policy->total_ms,
                                                .tick = lethe_watchdog_ping,
                                                .writes = end->policy->counts_writing};
    if (end->sync_hung)
        lethe_task_set_stuck(progress, lethe_sweep_sync_task());
    int r = lethe_apart(end, progress, &supervisor);
    sweep_all_memory(end, progress);
    bool clean = !r && lethe_summary_is_clean(end, progress);
    if (end->cmdline.bad[0])
        lethe_log(LETHE_LOG_ERROR, "kernel argument not understood: %s", end->cmdline.bad);
    lethe_summary_print(end, progress, clean);
    return clean;
}

void lethe_end_finish(struct lethe_end *end, struct lethe_progress *progress)
{
    end->init_stays = getpid() != 1;
    end->guarded = progress;
    if (progress)
        lethe_watchdog_count(&progress->beats);
    stop_again(end, progress);
    if (!end->init_stays && !end->dead_ms)
        lethe_end_start_deadman(end, progress);
    lethe_face_start(progress);
    end->arena = lethe_snapshot_map_arena();
    bool clean = progress && work(end, progress);
    if (!progress)
        lethe_log(LETHE_LOG_ERROR, "no memory to work in: NOT all is gone");
    if (!clean && end->policy->keeps_log)
        lethe_summary_keep(progress);
    lethe_watchdog_stay(show_ms(end, progress, clean));
    lethe_watchdog_stay(1000 * ((int64_t)end->cmdline.pause_seconds + end->pause_seconds));
    lethe_power_end(end->verb, end->argument, end->policy->power_ms);
    for (;;) /* PID 1 never exits */
        pause();
}
