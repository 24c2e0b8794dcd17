/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The last minutes, as PID 1. Two processes of the same program: the first, started by
 * systemd-shutdown, stops all others and moves to a root of its own; it then execs the copy in
 * there, so that nothing of the old system holds it, and that one takes everything apart and ends
 * the machine. What may hang is done by a worker (supervise.h); PID 1 itself only waits with a
 * clock.
 */
#include "lethe/init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lethe/efi.h"
#include "lethe/execute.h"
#include "lethe/free_ram.h"
#include "lethe/log.h"
#include "lethe/meminfo.h"
#include "lethe/own_root.h"
#include "lethe/plan.h"
#include "lethe/policy.h"
#include "lethe/power.h"
#include "lethe/process.h"
#include "lethe/screen.h"
#include "lethe/slab.h"
#include "lethe/snapshot.h"
#include "lethe/supervise.h"
#include "lethe/sys.h"
#include "lethe/verb.h"

#define SECOND_STAGE "lethe-end"

enum { STOP_MS = 3000, PASSES_MAX = 12, CMDLINE_MAX = 8192 };

const struct lethe_policy lethe_policy_clean = {
    .name = "clean",
    .step_ms = 5000,
    .write_ms = 40000, /* a stick that is reset takes 30 s (the SCSI command timeout) */
    .erase_ms = 60000,
    .fill_ms = 60000,
    .total_ms = 180000,
    .sync = true,
};

struct end {
    enum lethe_verb verb;
    char argument[256]; /* reboot's */
    int64_t started_ms;
    bool sync_hung; /* already in the first stage */
    struct lethe_cmdline cmdline;
    struct lethe_arena arena;
    bool own_root;
};

/* systemd leaves reboot's argument in /run; the first stage reads it and hands it on, for /run will
 * be gone. */
static void read_arguments(struct end *end, int argc, char **argv)
{
    end->verb = argc > 1 ? lethe_verb_parse(argv[1]) : LETHE_VERB_NONE;
    end->started_ms = lethe_now_ms();
    lethe_read_line(AT_FDCWD, "/run/systemd/reboot-param", end->argument, sizeof end->argument);
    for (int i = 2; i < argc; i++) {
        if (!strncmp(argv[i], "--lethe-argument=", 17))
            snprintf(end->argument, sizeof end->argument, "%s", argv[i] + 17);
        else if (!strncmp(argv[i], "--lethe-started=", 16))
            end->started_ms = strtoll(argv[i] + 16, NULL, 10);
        else if (!strcmp(argv[i], "--lethe-sync-hung"))
            end->sync_hung = true;
    }
}

static void read_cmdline(struct end *end)
{
    char text[CMDLINE_MAX];
    ssize_t n = lethe_read_file(AT_FDCWD, "/proc/cmdline", text, sizeof text);
    lethe_cmdline_parse(&end->cmdline, (struct lethe_span){text, n > 0 ? (size_t)n : 0});
    lethe_log_set_verbose(end->cmdline.verbose);
}

static void take_stdio(void)
{
    int fd = lethe_sys->open("/dev/null", O_RDWR);
    for (int i = 0; fd >= 0 && i < 3; i++)
        dup2(fd, i);
    if (fd > 2)
        close(fd);
}

static void set_up(struct end *end, int argc, char **argv)
{
    lethe_process_harden();
    lethe_mount_api();
    lethe_log_to_kernel();
    lethe_power_prepare();
    lethe_watchdog_open();
    read_cmdline(end);
    read_arguments(end, argc, argv);
}

static int enter_own_root(struct lethe_progress *progress, void *context)
{
    (void)context;
    if (!lethe_begin(progress, lethe_key('r', 0), lethe_policy_clean.step_ms,
                     "move to a root of Lethe's own"))
        return ETIMEDOUT;
    int r = lethe_own_root_enter();
    lethe_end(progress);
    return -r & 127;
}

static void exec_second_stage(const struct end *end)
{
    char started[64], argument[sizeof end->argument + 32];
    snprintf(started, sizeof started, "--lethe-started=%lld", (long long)end->started_ms);
    snprintf(argument, sizeof argument, "--lethe-argument=%s", end->argument);
    char *verb = (char *)lethe_verb_name(end->verb);
    char *hung = end->sync_hung ? "--lethe-sync-hung" : NULL;
    char *argv[] = {SECOND_STAGE, verb, started, argument, hung, NULL};
    execve(LETHE_OWN_ROOT_PROGRAM, argv, environ);
}

/* Some of the processes that systemd spares are file systems' daemons: what is dirty goes through
 * them before they end. */
static int sync_early(struct lethe_progress *progress, void *context)
{
    (void)context;
    lethe_execute_sync(&lethe_policy_clean, progress);
    return 0;
}

/* The first stage. It returns only when the second could not be started: then this process goes on
 * as the second. */
static void leave_old_root(struct end *end, struct lethe_progress *progress)
{
    const struct lethe_supervisor supervisor = {.total_ms = 4 * lethe_policy_clean.step_ms,
                                                .tick = lethe_watchdog_ping};
    if (end->verb == LETHE_VERB_NONE)
        lethe_log(LETHE_LOG_ERROR, "the verb is missing or unknown: everything is erased, then the "
                                   "machine is powered off");
    lethe_supervise(
        progress, sync_early, NULL,
        &(struct lethe_supervisor){2 * lethe_policy_clean.write_ms, lethe_watchdog_ping, NULL});
    end->sync_hung = lethe_is_stuck(progress, lethe_execute_sync_key());
    lethe_process_stop_all(STOP_MS);
    int r = lethe_supervise(progress, enter_own_root, NULL, &supervisor);
    if (!r)
        exec_second_stage(end);
    lethe_log(LETHE_LOG_ERROR, "no root of Lethe's own: %s; going on in the old one",
              strerror(r < 0 ? -r
                       : r   ? r
                             : errno));
    end->own_root = false;
}

static int take_and_plan(struct end *end, struct lethe_progress *progress,
                         struct lethe_snapshot *snapshot, struct lethe_plan *plan)
{
    const struct lethe_plan_options options = {.own_root = true};
    lethe_arena_reset(&end->arena);
    /* A dead device may not answer what a live snapshot asks it: then /proc and /sys have to do. */
    bool live =
        lethe_begin(progress, lethe_key('p', 0), lethe_policy_clean.step_ms, "look at the system");
    if (!live && !lethe_begin(progress, lethe_key('p', 1), lethe_policy_clean.step_ms,
                              "look at /proc and /sys"))
        return -ETIMEDOUT;
    int r = lethe_snapshot_take(snapshot, AT_FDCWD, live, &end->arena, &lethe_complain_to_log);
    if (!r)
        r = lethe_plan_make(plan, snapshot, &options, &end->arena);
    lethe_end(progress);
    return r;
}

/* Without a plan there is still one thing to do that takes all mounts away at once. */
static void detach_everything(const struct end *end, struct lethe_progress *progress, int why)
{
    lethe_log(LETHE_LOG_ERROR, "no plan could be made: %s; detaching everything", strerror(-why));
    if (end->own_root &&
        lethe_begin(progress, lethe_key('x', 0), lethe_policy_clean.step_ms, "detach /oldroot")) {
        lethe_sys->umount("/oldroot", MNT_DETACH);
        lethe_end(progress);
    }
}

/* KiB of tmpfs pages beyond Lethe's own root, which somebody must be holding. */
static uint64_t held_shmem_kib(void)
{
    enum { OWN_KIB_MAX = 2048 };
    char text[4096];
    ssize_t n = lethe_read_file(AT_FDCWD, "/proc/meminfo", text, sizeof text);
    uint64_t kib = lethe_meminfo((struct lethe_span){text, n > 0 ? (size_t)n : 0}, "Shmem");
    return kib > OWN_KIB_MAX ? kib : 0;
}

/* Says what is left, by a last look; how many things that is. */
static unsigned report(struct end *end, struct lethe_progress *progress)
{
    struct lethe_snapshot snapshot;
    struct lethe_plan plan;
    uint64_t held = held_shmem_kib();
    unsigned left = lethe_process_report(10);
    if (held)
        lethe_log(LETHE_LOG_ERROR,
                  "left: %llu KiB of shared memory are held by something that no mount shows",
                  (unsigned long long)held);
    if (take_and_plan(end, progress, &snapshot, &plan))
        return left + 1;
    left += lethe_execute_report(&plan, &snapshot) + (held != 0);
    lethe_execute_wipe_keys(&snapshot, &lethe_policy_clean, progress);
    return left;
}

/* What must not be missed when time was too short for the rest. */
static int report_only(struct lethe_progress *progress, void *context)
{
    return report(context, progress) != 0;
}

/* The worker of the second stage. What an earlier worker got stuck on is known to `progress`. */
static int take_apart(struct lethe_progress *progress, void *context)
{
    struct end *end = context;
    const struct lethe_policy *policy = &lethe_policy_clean;
    struct lethe_snapshot snapshot;
    struct lethe_plan plan;
    unsigned changed = 1;
    int r = 0;

    lethe_process_harden();
    lethe_execute_drop_page_cache(policy, progress);
    lethe_execute_erase_ipc(policy, progress);
    for (int pass = 0;
         changed && pass < PASSES_MAX && !(r = take_and_plan(end, progress, &snapshot, &plan));
         pass++)
        changed = lethe_execute(&plan, &snapshot, policy, progress, false);
    if (r)
        detach_everything(end, progress, r);
    lethe_execute_sync(policy, progress);
    return report(end, progress) || r;
}

static void refill_slabs(int64_t ms, struct lethe_progress *p)
{
    struct lethe_refill refill;
    if (!lethe_begin(p, lethe_key('f', 0), ms + lethe_policy_clean.step_ms,
                     "overwrite freed kernel objects"))
        return;
    lethe_slab_settle();
    int r = lethe_slab_refill(lethe_now_ms() + ms, &refill);
    lethe_slab_settle();
    lethe_end(p);
    p->refilled = !r && !refill.left;
    if (r)
        lethe_log(LETHE_LOG_ERROR, "freed kernel objects are not overwritten: %s", strerror(-r));
    else if (refill.left)
        lethe_log(LETHE_LOG_ERROR, "freed kernel objects: %llu are not overwritten, %llu are",
                  (unsigned long long)refill.left, (unsigned long long)refill.objects);
}

static void fill_free_memory(int64_t ms, struct lethe_progress *p)
{
    struct lethe_fill fill;
    if (!lethe_begin(p, lethe_key('z', 0), ms + lethe_policy_clean.step_ms, "fill free memory"))
        return;
    int r = lethe_free_ram_fill(ms, &fill);
    lethe_end(p);
    p->filled = !r;
    p->filled_kib = fill.filled_kib;
    p->not_filled_kib = fill.left_kib;
    if (r)
        lethe_log(LETHE_LOG_ERROR, "free memory: %llu KiB of it could not be filled: %s",
                  (unsigned long long)fill.left_kib, strerror(-r));
}

static bool sees_clearing(struct lethe_progress *p)
{
    if (!lethe_begin(p, lethe_key('l', 0), lethe_policy_clean.step_ms,
                     "look whether the kernel zeroes what is freed"))
        return false;
    enum lethe_clearing clearing = lethe_free_ram_clearing();
    lethe_end(p);
    return clearing == LETHE_CLEARING_ZERO;
}

static void clear_screens(struct lethe_progress *p)
{
    if (!lethe_begin(p, lethe_key('v', 0), lethe_policy_clean.step_ms, "clear the screens"))
        return;
    lethe_screen_clear();
    lethe_end(p);
}

/* The firmware is asked last but for the power: it may hang. That it does not have such a variable
 * is usual. */
static void ask_firmware(struct lethe_progress *p)
{
    if (!lethe_begin(p, lethe_key('m', 0), lethe_policy_clean.step_ms,
                     "ask the firmware to clear RAM"))
        return;
    int r = lethe_efi_request_clearing_mounted();
    lethe_end(p);
    if (!r)
        lethe_log(LETHE_LOG_VERBOSE, "the firmware will clear RAM at the next start");
    else if (r != -ENOENT)
        lethe_log(LETHE_LOG_VERBOSE, "the firmware was not asked to clear RAM: %s", strerror(-r));
}

/* A worker of its own: the memory of those that took the system apart, with paths and names in it,
 * is free by now. The pressure of the first round frees more objects: those are the second's. */
static int clear_memory(struct lethe_progress *p, void *context)
{
    enum { ROUNDS = 2 };
    const struct lethe_cmdline *asked = &((const struct end *)context)->cmdline;
    int64_t ms = asked->scrub_seconds ? 1000 * (int64_t)asked->scrub_seconds / ROUNDS
                                      : lethe_policy_clean.fill_ms;
    lethe_process_harden();
    clear_screens(p);
    lethe_execute_drop_caches(&lethe_policy_clean, p);
    p->clears = sees_clearing(p);
    bool wanted =
        asked->scrub == LETHE_SCRUB_ON || (asked->scrub == LETHE_SCRUB_AUTO && !p->clears);
    for (int round = 0; wanted && round < ROUNDS; round++) {
        refill_slabs(ms / 4, p);
        fill_free_memory(ms / 4 * 3, p);
    }
    ask_firmware(p);
    return 0;
}

/* What the summary says of free memory. */
static void print_free_memory(char *out, size_t size, const struct lethe_progress *p)
{
    if (p->filled)
        snprintf(out, size, "%llu MiB of free memory zeroed but for %llu KiB",
                 (unsigned long long)p->filled_kib >> 10, (unsigned long long)p->not_filled_kib);
    else
        snprintf(out, size, "free memory %s", p->clears ? "zeroed by the kernel" : "NOT zeroed");
}

static void summarize(const struct end *end, const struct lethe_progress *p, bool clean)
{
    int64_t ms = lethe_now_ms() - end->started_ms;
    enum lethe_verb verb = end->verb == LETHE_VERB_NONE ? LETHE_VERB_POWEROFF : end->verb;
    /* A filler can't reach objects in slabs that stay in use. */
    const char *verdict = !clean      ? "NOT all is gone, see above"
                          : p->filled ? "nothing else is known to be left"
                                      : "nothing is left";
    char memory[100];
    print_free_memory(memory, sizeof memory, p);
    lethe_log(clean ? LETHE_LOG_SUMMARY : LETHE_LOG_ERROR,
              "%s after %lld.%03lld s: %llu MiB in %llu files of %u RAM file systems zeroed, %u "
              "mounts and %u devices taken "
              "apart, %s, %s",
              lethe_verb_name(verb), (long long)(ms / 1000), (long long)(ms % 1000),
              (unsigned long long)(p->erased_bytes >> 20), (unsigned long long)p->erased_files,
              p->erased_file_systems, p->unmounted, p->stopped, memory, verdict);
}

static bool is_clean(const struct end *end, const struct lethe_progress *p)
{
    bool cleared = p->clears || (p->filled && p->refilled) || end->cmdline.scrub == LETHE_SCRUB_OFF;
    return cleared && !p->n_stuck && !p->not_erased;
}

static void finish(struct end *end, struct lethe_progress *progress)
{
    const struct lethe_supervisor supervisor = {.total_ms = lethe_policy_clean.total_ms,
                                                .tick = lethe_watchdog_ping};
    int r = progress ? lethe_supervise(progress, take_apart, end, &supervisor) : -ENOMEM;
    if (r < 0) {
        lethe_log(LETHE_LOG_ERROR, "the work ended early: %s", strerror(-r));
        if (progress)
            lethe_supervise(progress, report_only, end, &supervisor);
    }
    if (progress)
        lethe_supervise(progress, clear_memory, end, &supervisor);
    if (end->cmdline.bad[0])
        lethe_log(LETHE_LOG_ERROR, "kernel argument not understood: %s", end->cmdline.bad);
    bool clean = progress && !r && is_clean(end, progress);
    if (progress)
        summarize(end, progress, clean);
    if (!clean)
        lethe_power_keep_log();
    if (end->cmdline.pause_seconds) {
        const struct timespec second = {1, 0};
        for (unsigned s = 0; s < end->cmdline.pause_seconds; s++, nanosleep(&second, NULL))
            lethe_watchdog_ping(NULL);
    }
    lethe_power_end(end->verb, end->argument);
}

/* The first pid namespace has a fixed inode number (PROC_PID_INIT_INO, linux/proc_ns.h). */
static bool is_machine_init(void)
{
    struct stat st;
    return stat("/proc/self/ns/pid", &st) || st.st_ino == 0xEFFFFFFC;
}

int lethe_shutdown_main(int argc, char **argv)
{
    if (!is_machine_init()) {
        fputs("lethe: PID 1 of a pid namespace ends no machine; nothing was done\n", stderr);
        return 2;
    }
    static struct end end = {.own_root = true};
    bool second = !strcmp(argv[0], SECOND_STAGE);
    set_up(&end, argc, argv);
    struct lethe_progress *progress = lethe_progress_new();
    if (end.sync_hung && progress)
        lethe_stuck_add(progress, lethe_execute_sync_key());
    if (!second && progress)
        leave_old_root(&end, progress);
    take_stdio();
    end.arena = lethe_arena_map();
    finish(&end, progress);
    for (;;) /* PID 1 never exits */
        pause();
}
