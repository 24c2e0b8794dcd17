/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The kill switch. It wipes the keys first; then there are two ways down. PID 1 is made to become
 * Lethe; where it can't or does not, an ordinary process does the same work, with PID 1 frozen. A
 * deadman stands behind both. */
#include "now.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "end.h"
#include "handover.h"
#include "helper.h"
#include "init.h"
#include "lethe/kernel/confined.h"
#include "lethe/kernel/deadman.h"
#include "lethe/kernel/identity.h"
#include "lethe/kernel/ipc.h"
#include "lethe/kernel/keys.h"
#include "lethe/kernel/log.h"
#include "lethe/kernel/network.h"
#include "lethe/kernel/own_root.h"
#include "lethe/kernel/pid1.h"
#include "lethe/kernel/process.h"
#include "lethe/kernel/self.h"
#include "lethe/kernel/sweep.h"
#include "lethe/kernel/sys.h"
#include "lethe/kernel/takeover.h"
#include "lethe/kernel/watchdog.h"
#include "options.h"

#define AUFS_MAGIC 0x61756673 /* include/uapi/linux/aufs_type.h */

enum { DEADLINE_SECONDS = 45, TAKEOVER_MS = 3000, KEYS_MS = 4000, LOAD_MS = 1500 };

/* The policy of the first try at the keys. */
static const struct lethe_policy policy_keys = {.name = "keys", .step_ms = 1500};

struct emergency {
    struct lethe_end end;
    enum lethe_keys keys; /* those to be wiped by the next worker */
    const struct lethe_kill *kill;
    struct lethe_progress *progress; /* what the deadman tells of */
};

/* Grants a second for each GiB: filling takes the longer the more RAM there is. */
static int64_t default_deadline_seconds(void)
{
    struct sysinfo info;
    return DEADLINE_SECONDS + (sysinfo(&info) ? 0 : (int64_t)(info.totalram * info.mem_unit >> 30));
}

static void stop_all_others(const struct emergency *e)
{
    lethe_end_stop_all(&e->end, e->progress, e->end.policy->stop_ms);
}

/* Starts the deadman. The starter of this process may have left it a limit on processes. */
static void start_deadman(const struct emergency *e)
{
    if (lethe_end_start_deadman(&e->end, e->progress) >= 0)
        return;
    lethe_pid1_leave_cgroup();
    if (lethe_end_start_deadman(&e->end, e->progress) < 0)
        stop_all_others(e);
}

/* Waits for another kill switch: two at once would stop each other, and each take the other's work
 * for failures. Usually the first one stops this process meanwhile; it goes on when the first has
 * ended without that, or hangs. */
static void wait_for_another(void)
{
    enum { WAIT_MS = 10000 };
    const struct timespec pause = {0, 20 * 1000 * 1000};
    const struct flock whole = {.l_type = F_WRLCK};
    int fd = open(LETHE_ARMED_LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (int64_t end = lethe_sys_now_ms() + WAIT_MS;
         fd >= 0 && fcntl(fd, F_SETLK, &whole) && lethe_sys_now_ms() < end;)
        nanosleep(&pause, NULL);
}

static int write_back(struct lethe_progress *progress, void *context)
{
    const struct emergency *e = context;
    if (!lethe_task_begin(progress, lethe_sweep_sync_task(), 1000 * (int64_t)e->kill->sync_seconds,
                          "sync"))
        return 1;
    sync();
    lethe_task_done(progress);
    return 0;
}

/* Runs a worker. When no process number or no memory is left
 * for one, all others are stopped first. */
static int supervise(struct lethe_progress *progress, int (*work)(struct lethe_progress *, void *),
                     struct emergency *e, int64_t ms)
{
    const struct lethe_supervisor supervisor = {
        .total_ms = ms, .tick = lethe_watchdog_ping, .writes = work == write_back};
    int r = lethe_supervise(progress, work, e, &supervisor);
    if (r != -EAGAIN && r != -ENOMEM)
        return r;
    stop_all_others(e);
    return lethe_supervise(progress, work, e, &supervisor);
}

/* Reads in what is swapped out of the program, in a worker that may wait for a disk in vain. */
static int load_program(struct lethe_progress *progress, void *context)
{
    const struct emergency *e = context;
    if (!lethe_task_begin(progress, lethe_task_id(LETHE_TASK_LOAD_PROGRAM, 0),
                          e->end.policy->step_ms, "read the program in"))
        return 1;
    lethe_self_load();
    lethe_task_done(progress);
    return 0;
}

/* Locks the program before the first key goes: it may be swapped out to the device of that key. */
static void lock_program(struct emergency *e, struct lethe_progress *progress)
{
    if (!supervise(progress, load_program, e, LOAD_MS))
        lethe_self_lock();
}

static int wipe_keys(struct lethe_progress *progress, void *context)
{
    const struct emergency *e = context;
    const struct lethe_policy *policy = e->end.keys_left ? e->end.policy : &policy_keys;
    pid_t failing = -1, cutting = -1;
    if (e->end.keys_left) {
        cutting = lethe_keys_cut_off(e->keys, progress);
        failing = lethe_end_write_or_cut(&e->end, progress);
    }
    unsigned left = lethe_keys_wipe(e->keys, policy, progress);
    lethe_network_stop_failing(failing);
    lethe_keys_stop_cutting(cutting);
    return left != 0;
}

/* Wipes the keys. Where data may be written back, only keys of devices that have gone go before
 * that. */
static void wipe_or_write_back(struct emergency *e, struct lethe_progress *progress)
{
    if (e->kill->sync_seconds) {
        e->keys = LETHE_KEYS_GONE;
        supervise(progress, wipe_keys, e, KEYS_MS);
        supervise(progress, write_back, e, 1000 * (int64_t)e->kill->sync_seconds + 1000);
    }
    e->keys = LETHE_KEYS_IDLE;
    e->end.keys_left = supervise(progress, wipe_keys, e, KEYS_MS) != 0;
}

static void try_keys_again(struct emergency *e, struct lethe_progress *progress, int64_t ms)
{
    progress->n_stuck = 0;
    e->end.keys_left = supervise(progress, wipe_keys, e, ms) != 0;
}

/* Wipes all keys, in up to three tries: with everything as it is; with the disks below cut off; and
 * with all other processes ended, for in a storm of them the kernel may not get to it. */
static void wipe_all_keys(struct emergency *e, struct lethe_progress *progress)
{
    wipe_or_write_back(e, progress);
    if (e->end.keys_left) {
        lethe_log_to_kernel();
        try_keys_again(e, progress, KEYS_MS);
    }
    if (e->end.keys_left) {
        stop_all_others(e);
        try_keys_again(e, progress, 4 * e->end.policy->step_ms);
    }
    e->end.keys = progress->account.keys;
    e->end.keys_ms = (progress->account.keys_ms ? progress->account.keys_ms : lethe_sys_now_ms()) -
                     e->end.started_ms;
}

/* True where "/" is no union, whose branch is zeroed in place beside PID 1 too. What was written to
 * a dm-snapshot in RAM, as dracut's, goes only when PID 1 lets go of "/". */
static bool root_goes_with_init(void)
{
    struct statfs fs;
    return !statfs("/", &fs) && fs.f_type != OVERLAYFS_SUPER_MAGIC && fs.f_type != AUFS_MAGIC &&
           fs.f_type != FUSE_SUPER_MAGIC;
}

/* True where the other way could not zero PID 1's memory (Yama's ptrace_scope 3). */
static bool is_init_closed(void)
{
    int fd = lethe_sys->open("/proc/1/mem", O_RDWR);
    if (fd >= 0)
        lethe_sys->close(fd);
    return fd < 0;
}

static int look_whether_possible(struct lethe_progress *progress, void *context)
{
    const struct emergency *e = context;
    if (!lethe_task_begin(progress, lethe_task_id(LETHE_TASK_LOOK_AT_INIT, 0),
                          e->end.policy->step_ms, "look at PID 1"))
        return 1;
    bool good = lethe_takeover_is_armed(LETHE_ARMED_COPY);
    /* The other way is barred, or does less: the medium is worth waiting for. */
    if (good && (e->kill->is_confined || root_goes_with_init() || is_init_closed()))
        lethe_takeover_load();
    good = good && lethe_takeover_is_resident() && lethe_pid1_recall();
    lethe_task_done(progress);
    return !good;
}

/* Way (a): makes PID 1 become Lethe. It returns when PID 1 does not. */
static void take_over(struct emergency *e, struct lethe_progress *progress)
{
    const struct timespec pause = {0, 20 * 1000 * 1000};
    if (supervise(progress, look_whether_possible, e, 2 * e->end.policy->step_ms) ||
        !lethe_handover_write(&e->end))
        return;
    lethe_takeover_hold();
    lethe_process_hurry(1, true);
    if (lethe_takeover_signal(e->end.verb))
        return;
    for (int64_t end = lethe_sys_now_ms() + TAKEOVER_MS;
         lethe_sys_now_ms() < end || lethe_takeover_has_begun();)
        nanosleep(&pause, NULL);
    lethe_log(LETHE_LOG_ERROR, "PID 1 did not become Lethe in %d ms; going on without it",
              TAKEOVER_MS);
}

/* Way (b): does the same work as an ordinary process, with PID 1 frozen. */
static _Noreturn void go_without_init(struct emergency *e, struct lethe_progress *progress)
{
    stop_all_others(e);
    lethe_process_hurry(0, false);
    lethe_end_leave_old_root(&e->end, progress);
    lethe_end_finish(&e->end, progress);
}

_Noreturn void lethe_now_fire(const struct lethe_kill *kill)
{
    static struct emergency e;
    int64_t seconds = kill->deadline_seconds ? kill->deadline_seconds : default_deadline_seconds();
    e = (struct emergency){
        .end = {.verb = kill->verb,
                .policy = &lethe_policy_emergency,
                .started_ms = kill->triggered_ms,
                .dead_ms = kill->triggered_ms + 1000 * seconds,
                .own_root = true},
        .kill = kill,
    };
    /* Any call may hang, even one before there is memory to share with the deadman. */
    pid_t early = lethe_deadman_start(e.end.dead_ms, e.end.verb, NULL, NULL, NULL);
    lethe_process_hurry(0, true);
    (void)setsid();
    if (!lethe_confined_join())
        lethe_helper_ask(kill);
    lethe_end_prepare_workers();
    lethe_pid1_leave_cgroup(); /* a session or a service that is being stopped ends all in it */
    struct lethe_progress *progress = e.progress = lethe_progress_new();
    wait_for_another();
    start_deadman(&e);
    if (early > 0)
        lethe_sys->kill(early, SIGKILL);
    if (!progress)
        lethe_end_finish(&e.end, NULL);
    lock_program(&e, progress);
    wipe_all_keys(&e, progress);
    lethe_end_prepare(&e.end);
    lethe_ipc_leave_session();
    lethe_watchdog_arm(e.end.dead_ms);
    if (kill->reason)
        lethe_log(LETHE_LOG_ERROR, "kill switch: %s", kill->reason);
    take_over(&e, progress);
    go_without_init(&e, progress);
}

bool lethe_now_take_verb(void *kill, const char *value)
{
    enum lethe_verb asked = lethe_verb_parse(value);
    if (asked != LETHE_VERB_POWEROFF && asked != LETHE_VERB_REBOOT && asked != LETHE_VERB_HALT)
        return false;
    ((struct lethe_kill *)kill)->verb = asked;
    return true;
}

bool lethe_now_take_sync(void *kill, const char *value)
{
    return lethe_options_seconds(value, &((struct lethe_kill *)kill)->sync_seconds);
}

bool lethe_now_take_deadline(void *kill, const char *value)
{
    struct lethe_kill *k = kill;
    return lethe_options_seconds(value, &k->deadline_seconds) && k->deadline_seconds;
}

static bool take_after(void *kill, const char *value)
{
    struct lethe_kill *k = kill;
    return lethe_options_seconds(value, &k->after_seconds) && k->after_seconds;
}

static const struct lethe_option options[] = {
    {"--after", "SECONDS", "wait first, until no data have been written for so long", take_after,
     false},
    {"--sync", "SECONDS", "let what is still there be written back for so long",
     lethe_now_take_sync, false},
    {"--deadline", "SECONDS", "when the machine is switched off in any case",
     lethe_now_take_deadline, false},
};

static const struct lethe_usage usage = {
    .command = "now",
    .summary = "Ends the machine at once: keys first, then everything in RAM. Asks nothing.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .operand = "poweroff|reboot|halt",
    .take = lethe_now_take_verb,
};

/* Executes the armed copy, which lies in RAM, unless this is it. Where there is none, reads this
 * program in, whose file may go with its medium. */
static void become_armed_copy(char **argv)
{
    char program[] = LETHE_ARMED_COPY, command[] = "now";
    char *arguments[10] = {program, command}, *environment[] = {NULL}; /* three options, a verb */
    if (lethe_self_runs(program))
        return;
    for (int i = 1; i < 8 && argv[i]; i++)
        arguments[i + 1] = argv[i];
    execve(program, arguments, environment);
    lethe_self_load();
}

/* True when PID 1 is Lethe's /shutdown, whose steps have deadlines of their own. */
static bool has_begun(void)
{
    char init[32];
    return lethe_sys_read_line(AT_FDCWD, "/proc/1/comm", init, sizeof init) &&
           !strcmp(init, "shutdown");
}

/* Waits until no data have moved for so long as --after says. A shutdown that comes as far as Lethe
 * ends this process. */
static void wait_for_shutdown(struct lethe_kill *kill)
{
    const struct timespec second = {1, 0};
    const int64_t limit_ms = 1000 * (int64_t)kill->after_seconds;
    uint64_t moved = lethe_supervise_data_moved();
    for (int64_t end = lethe_sys_now_ms() + limit_ms; lethe_sys_now_ms() < end;
         nanosleep(&second, NULL)) {
        uint64_t now = lethe_supervise_data_moved();
        if (now != moved || has_begun())
            end = lethe_sys_now_ms() + limit_ms;
        moved = now;
    }
    kill->triggered_ms = lethe_sys_now_ms();
    kill->reason = "the time is over, and nothing is being written";
}

int lethe_now_main(int argc, char **argv)
{
    struct lethe_kill kill = {.verb = LETHE_VERB_POWEROFF, .triggered_ms = lethe_sys_now_ms()};
    int status;
    if (!lethe_options_read(&usage, &kill, argc, argv, &status))
        return status;
    if (geteuid())
        return lethe_command_refuse("now", "only root can do this");
    kill.is_confined = lethe_confined();
    const bool asks = kill.is_confined && lethe_identity_seems_machine();
    /* Before the next call, for which a filter may end this process. */
    if (asks && !kill.after_seconds)
        lethe_helper_ask(&kill);
    if (!lethe_identity_is_machine())
        return lethe_command_refuse("now", "a pid or user namespace of its own ends no machine");
    lethe_self_close_all();
    lethe_own_root_mount_api(); /* a chroot may have no /proc */
    lethe_confined_join();
    kill.triggered_ms = lethe_sys_now_ms(); /* a time namespace has another clock */
    become_armed_copy(argv);
    if (kill.after_seconds) {
        wait_for_shutdown(&kill);
        if (asks)
            lethe_helper_ask(&kill);
    }
    lethe_now_fire(&kill);
}
