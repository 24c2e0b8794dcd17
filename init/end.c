/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "end.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lethe/deadman.h"
#include "lethe/efi.h"
#include "lethe/execute.h"
#include "lethe/free_ram.h"
#include "lethe/huge_pages.h"
#include "lethe/keys.h"
#include "lethe/log.h"
#include "lethe/meminfo.h"
#include "lethe/network.h"
#include "lethe/own_root.h"
#include "lethe/plan.h"
#include "lethe/power.h"
#include "lethe/process.h"
#include "lethe/screen.h"
#include "lethe/slab.h"
#include "lethe/snapshot.h"
#include "lethe/sys.h"

#define SECOND_STAGE "lethe-end"

enum { PASSES_MAX = 12, CMDLINE_MAX = 8192 };

const struct lethe_policy lethe_policy_clean = {
    .name = "clean",
    .stop_ms = 8000, /* a module that is being loaded ends when it is ready */
    .step_ms = 5000,
    .write_ms = 40000, /* a stick that is reset takes 30 s (the SCSI command timeout) */
    .answer_ms = 10000,
    .erase_ms = 60000,
    .fill_ms = 60000,
    .total_ms = 180000,
    .power_ms = 30000,
    .sync = true,
};

const struct lethe_policy lethe_policy_emergency = {
    .name = "emergency",
    .stop_ms = 2000,
    .step_ms = 2000,
    .write_ms = 2000,
    .erase_ms = 20000,
    .fill_ms = 60000,
    .total_ms = 180000, /* the deadman's time is shorter */
    .power_ms = 8000,
};

/* The numbers that are handed on. */
static const struct field {
    const char *name;
    size_t offset;
} fields[] = {
    {"started", offsetof(struct lethe_end, started_ms)},
    {"dead", offsetof(struct lethe_end, dead_ms)},
    {"keys", offsetof(struct lethe_end, keys)},
    {"keys-ms", offsetof(struct lethe_end, keys_ms)},
    {"stopped", offsetof(struct lethe_end, stopped_ms)},
    {"unreaped", offsetof(struct lethe_end, unreaped)},
};
enum { N_FIELDS = sizeof fields / sizeof *fields };

void lethe_end_take_argument(struct lethe_end *end, const char *argument)
{
    const char *value = strchr(argument, '=');
    if (strncmp(argument, "--lethe-", 8))
        return;
    argument += 8;
    if (!strcmp(argument, "sync-hung"))
        end->sync_hung = true;
    if (!strcmp(argument, "keys-left"))
        end->keys_left = true;
    if (!strcmp(argument, "cut-off"))
        end->cut_off = true;
    if (!strcmp(argument, "emergency"))
        end->policy = &lethe_policy_emergency;
    if (!value)
        return;
    const struct lethe_span name = {argument, (size_t)(value++ - argument)};
    if (lethe_span_is(name, "argument"))
        snprintf(end->argument, sizeof end->argument, "%s", value);
    for (size_t i = 0; i < N_FIELDS; i++)
        if (lethe_span_is(name, fields[i].name))
            *(int64_t *)((char *)end + fields[i].offset) = strtoll(value, NULL, 10);
}

/* Adds one, if there is room for it and for the NUL at the end of all. */
static char *put_argument(char *out, const char *limit, const char *text, const char *value)
{
    int n = snprintf(out, (size_t)(limit - out), "--lethe-%s%s", text, value);
    if (n < 0 || n + 1 >= limit - out)
        return out;
    return out + n + 1;
}

void lethe_end_print_arguments(const struct lethe_end *end, char *out, size_t size)
{
    const char *limit = out + size;
    char number[32];
    for (size_t i = 0; i < N_FIELDS; i++) {
        snprintf(number, sizeof number, "=%lld",
                 (long long)*(const int64_t *)((const char *)end + fields[i].offset));
        out = put_argument(out, limit, fields[i].name, number);
    }
    if (end->policy == &lethe_policy_emergency)
        out = put_argument(out, limit, "emergency", "");
    if (end->sync_hung)
        out = put_argument(out, limit, "sync-hung", "");
    if (end->keys_left)
        out = put_argument(out, limit, "keys-left", "");
    if (end->cut_off)
        out = put_argument(out, limit, "cut-off", "");
    out = put_argument(out, limit, "argument=", end->argument);
    *out = '\0';
}

static void read_cmdline(struct lethe_end *end)
{
    char text[CMDLINE_MAX];
    ssize_t n = lethe_read_file(AT_FDCWD, "/proc/cmdline", text, sizeof text);
    lethe_cmdline_parse(&end->cmdline, (struct lethe_span){text, n > 0 ? (size_t)n : 0});
    lethe_log_set_verbose(end->cmdline.verbose);
}

void lethe_end_prepare_workers(void)
{
    lethe_process_shield();
    lethe_mount_api();
    lethe_process_take_stdio();
    lethe_power_prepare();
}

void lethe_end_prepare(struct lethe_end *end)
{
    lethe_process_lock();
    lethe_log_to_kernel();
    lethe_watchdog_open();
    read_cmdline(end);
}

static int enter_own_root(struct lethe_progress *progress, void *context)
{
    const struct lethe_end *end = context;
    if (!lethe_begin(progress, lethe_key('r', 0), end->policy->step_ms,
                     "move to a root of Lethe's own"))
        return ETIMEDOUT;
    int r = lethe_own_root_enter();
    lethe_end(progress);
    return -r & 127;
}

bool lethe_end_is_second_stage(char **argv)
{
    return !strcmp(argv[0], SECOND_STAGE) && lethe_process_runs(LETHE_OWN_ROOT_PROGRAM);
}

static void exec_second_stage(const struct lethe_end *end)
{
    enum { ARGUMENTS_MAX = 16 };
    char text[1024], *argv[ARGUMENTS_MAX] = {SECOND_STAGE, (char *)lethe_verb_name(end->verb)};
    lethe_end_print_arguments(end, text, sizeof text);
    int n = 2;
    for (char *at = text; *at && n < ARGUMENTS_MAX - 1; at += strlen(at) + 1)
        argv[n++] = at;
    execve(LETHE_OWN_ROOT_PROGRAM, argv, environ);
}

static void supervise_early(struct lethe_end *end, struct lethe_progress *progress,
                            int (*work)(struct lethe_progress *, void *))
{
    const struct lethe_supervisor supervisor = {.total_ms = 2 * end->policy->write_ms,
                                                .tick = lethe_watchdog_ping,
                                                .writes = end->policy->sync};
    lethe_supervise(progress, work, end, &supervisor);
}

pid_t lethe_end_settle_network(const struct lethe_end *end, struct lethe_progress *progress)
{
    struct lethe_arena arena = lethe_arena_map();
    struct lethe_snapshot snapshot;
    if (!lethe_begin(progress, lethe_key('p', 2), end->policy->step_ms, "look for servers"))
        return -1;
    int r = lethe_snapshot_take(&snapshot, AT_FDCWD, false, &arena, &lethe_complain_to_log);
    lethe_end(progress);
    if (r)
        return -1;
    lethe_network_settle(&snapshot, end->policy, progress);
    return lethe_network_keep_failing(&snapshot, end->policy, progress);
}

static int settle_network(struct lethe_progress *progress, void *context)
{
    const struct timespec while_it_fails = {0, 300 * 1000 * 1000};
    pid_t failing = lethe_end_settle_network(context, progress);
    if (failing > 0)
        nanosleep(&while_it_fails, NULL);
    lethe_network_stop_failing(failing);
    return 0;
}

/* Some of the processes that systemd spares are file systems' daemons: what is dirty goes through
 * them before they end. */
static int sync_early(struct lethe_progress *progress, void *context)
{
    const struct lethe_end *end = context;
    pid_t failing = progress->cut_off ? lethe_end_settle_network(end, progress) : -1;
    lethe_execute_sync(end->policy, progress);
    lethe_network_stop_failing(failing);
    return 0;
}

/* What waits for a server that was given up is let go as often as it waits: a process writes its
 * files back as it ends. */
static void stop_processes(struct lethe_end *end, struct lethe_progress *progress)
{
    enum { ROUNDS = 10, ROUND_MS = 300 };
    const struct lethe_policy *policy = end->policy;
    unsigned left = 1;
    for (int i = 0; progress->cut_off && left && i < ROUNDS; i++) {
        left = lethe_process_stop_all(ROUND_MS);
        if (left)
            supervise_early(end, progress, settle_network);
    }
    if (left)
        lethe_process_stop_all(policy->stop_ms);
}

void lethe_end_leave_old_root(struct lethe_end *end, struct lethe_progress *progress)
{
    const struct lethe_policy *policy = end->policy;
    lethe_network_close_at_once();
    supervise_early(end, progress, settle_network);
    if (policy->sync)
        supervise_early(end, progress, sync_early);
    end->sync_hung |= lethe_is_stuck(progress, lethe_execute_sync_key());
    lethe_process_hurry(0, true);
    stop_processes(end, progress);
    end->cut_off = progress->cut_off;
    lethe_process_hurry(0, false);
    end->stopped_ms = lethe_now_ms() - end->started_ms;
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

static int take_and_plan(struct lethe_end *end, struct lethe_progress *progress,
                         struct lethe_snapshot *snapshot, struct lethe_plan *plan)
{
    const struct lethe_plan_options options = {.own_root = true};
    lethe_arena_reset(&end->arena);
    /* A dead device may not answer what a live snapshot asks it: then /proc and /sys have to do. */
    bool live =
        lethe_begin(progress, lethe_key('p', 0), end->policy->step_ms, "look at the system");
    if (!live &&
        !lethe_begin(progress, lethe_key('p', 1), end->policy->step_ms, "look at /proc and /sys"))
        return -ETIMEDOUT;
    int r = lethe_snapshot_take(snapshot, AT_FDCWD, live, &end->arena, &lethe_complain_to_log);
    if (!r)
        r = lethe_plan_make(plan, snapshot, &options, &end->arena);
    lethe_end(progress);
    return r;
}

/* Without a plan there is still one thing to do that takes all mounts away at once. */
static void detach_everything(const struct lethe_end *end, struct lethe_progress *progress, int why)
{
    lethe_log(LETHE_LOG_ERROR, "no plan could be made: %s; detaching everything", strerror(-why));
    if (end->own_root &&
        lethe_begin(progress, lethe_key('x', 0), end->policy->step_ms, "detach /oldroot")) {
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
static unsigned report(struct lethe_end *end, struct lethe_progress *progress)
{
    struct lethe_snapshot snapshot;
    struct lethe_plan plan;
    uint64_t held = held_shmem_kib();
    unsigned left = lethe_process_report();
    if (held)
        lethe_log(LETHE_LOG_ERROR,
                  "left: %llu KiB of shared memory are held by something that no mount shows",
                  (unsigned long long)held);
    if (end->unreaped)
        lethe_log(LETHE_LOG_ERROR,
                  "left: the last registers of %lld dead processes, which nobody reaps",
                  (long long)end->unreaped);
    if (take_and_plan(end, progress, &snapshot, &plan))
        return left + 1;
    left += (end->unreaped != 0) + lethe_execute_report(&plan, &snapshot, end->init_stays) +
            (held != 0);
    lethe_execute_wipe_keys(&snapshot, end->policy, progress);
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
    struct lethe_end *end = context;
    const struct lethe_policy *policy = end->policy;
    struct lethe_snapshot snapshot;
    struct lethe_plan plan;
    unsigned changed = 1;
    int r = 0;

    lethe_process_harden();
    progress->cut_off = end->cut_off;
    if (end->keys_left)
        lethe_keys_wipe(LETHE_KEYS_IDLE, policy, progress);
    lethe_execute_drop_page_cache(policy, progress);
    lethe_execute_erase_ipc(policy, progress);
    for (int pass = 0;
         changed && pass < PASSES_MAX && !(r = take_and_plan(end, progress, &snapshot, &plan));
         pass++) {
        pid_t failing =
            progress->cut_off
                ? lethe_network_keep_failing(&snapshot, &lethe_policy_emergency, progress)
                : -1;
        changed = lethe_execute(&plan, &snapshot, policy, progress, false);
        lethe_network_stop_failing(failing);
    }
    if (r)
        detach_everything(end, progress, r);
    lethe_execute_sync(policy, progress);
    return report(end, progress) || r;
}

static void refill_slabs(int64_t ms, const struct lethe_policy *policy, struct lethe_progress *p)
{
    struct lethe_refill refill;
    if (!lethe_begin(p, lethe_key('f', 0), ms + policy->step_ms, "overwrite freed kernel objects"))
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

static void fill_free_memory(int64_t ms, const struct lethe_policy *policy,
                             struct lethe_progress *p)
{
    struct lethe_fill fill;
    if (!lethe_begin(p, lethe_key('z', 0), ms + policy->step_ms, "fill free memory"))
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

static bool sees_clearing(const struct lethe_policy *policy, struct lethe_progress *p)
{
    if (!lethe_begin(p, lethe_key('l', 0), policy->step_ms,
                     "look whether the kernel zeroes what is freed"))
        return false;
    enum lethe_clearing clearing = lethe_free_ram_clearing();
    lethe_end(p);
    return clearing == LETHE_CLEARING_ZERO;
}

static void take_step(struct lethe_progress *p, const struct lethe_policy *policy, char kind,
                      const char *what, void (*act)(void))
{
    if (!lethe_begin(p, lethe_key(kind, 0), policy->step_ms, what))
        return;
    act();
    lethe_end(p);
}

/* The firmware is asked last but for the power: it may hang. That it does not have such a variable
 * is usual. */
static void ask_firmware(const struct lethe_policy *policy, struct lethe_progress *p)
{
    if (!lethe_begin(p, lethe_key('m', 0), policy->step_ms, "ask the firmware to clear RAM"))
        return;
    int r = lethe_efi_request_clearing_mounted();
    lethe_end(p);
    if (!r)
        lethe_log(LETHE_LOG_VERBOSE, "the firmware will clear RAM at the next start");
    else if (r != -ENOENT)
        lethe_log(LETHE_LOG_VERBOSE, "the firmware was not asked to clear RAM: %s", strerror(-r));
}

static void scrub(struct lethe_progress *p, const struct lethe_end *end)
{
    enum { ROUNDS = 2 };
    const struct lethe_cmdline *asked = &end->cmdline;
    int64_t ms =
        asked->scrub_seconds ? 1000 * (int64_t)asked->scrub_seconds / ROUNDS : end->policy->fill_ms;
    if (asked->scrub == LETHE_SCRUB_OFF || (asked->scrub == LETHE_SCRUB_AUTO && p->clears))
        return;
    refill_slabs(ms / 4, end->policy, p);
    fill_free_memory(ms / 4 * 3, end->policy, p);
}

/* A worker of its own: the memory of those that took the system apart, with paths and names in it,
 * is free by now. */
static int clear_memory(struct lethe_progress *p, void *context)
{
    const struct lethe_end *end = context;
    lethe_process_harden();
    take_step(p, end->policy, 'v', "clear the screens", lethe_screen_clear);
    take_step(p, end->policy, 'w', "take the network down", lethe_network_down);
    take_step(p, end->policy, 'g', "free huge pages", lethe_huge_pages_free);
    lethe_execute_drop_caches(end->policy, p);
    p->clears = sees_clearing(end->policy, p);
    scrub(p, end);
    return 0;
}

/* The pressure of the first round frees more objects. */
static int clear_memory_again(struct lethe_progress *p, void *context)
{
    const struct lethe_end *end = context;
    lethe_process_harden();
    scrub(p, end);
    ask_firmware(end->policy, p);
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

/* What an emergency adds: how long each kind of secret has lasted. */
static void print_emergency(char *out, size_t size, const struct lethe_end *end,
                            const struct lethe_progress *p)
{
    out[0] = '\0';
    if (end->policy == &lethe_policy_emergency)
        snprintf(out, size,
                 " (emergency %s PID 1: %lld keys %lld ms, processes %lld ms, files %lld ms)",
                 end->init_stays ? "beside" : "as", (long long)end->keys, (long long)end->keys_ms,
                 (long long)end->stopped_ms,
                 (long long)(p->erased_ms ? p->erased_ms - end->started_ms : 0));
}

static void summarize(const struct lethe_end *end, const struct lethe_progress *p, bool clean)
{
    int64_t ms = lethe_now_ms() - end->started_ms;
    enum lethe_verb verb = end->verb == LETHE_VERB_NONE ? LETHE_VERB_POWEROFF : end->verb;
    /* A filler can't reach objects in slabs that stay in use. */
    const char *verdict = !clean      ? "NOT all is gone, see above"
                          : p->filled ? "nothing else is known to be left"
                                      : "nothing is left";
    char memory[100], emergency[120];
    print_free_memory(memory, sizeof memory, p);
    print_emergency(emergency, sizeof emergency, end, p);
    lethe_log(clean ? LETHE_LOG_SUMMARY : LETHE_LOG_ERROR,
              "%s after %lld.%03lld s%s: %llu MiB in %llu files of %u RAM file systems zeroed, %u "
              "mounts and %u devices taken "
              "apart, %s, %s",
              lethe_verb_name(verb), (long long)(ms / 1000), (long long)(ms % 1000), emergency,
              (unsigned long long)(p->erased_bytes >> 20), (unsigned long long)p->erased_files,
              p->erased_file_systems, p->unmounted, p->stopped, memory, verdict);
}

static bool is_clean(const struct lethe_end *end, const struct lethe_progress *p)
{
    bool cleared = p->clears || (p->filled && p->refilled) || end->cmdline.scrub == LETHE_SCRUB_OFF;
    return cleared && !p->n_stuck && !p->not_erased;
}

static void pause_if_asked(const struct lethe_end *end)
{
    const struct timespec second = {1, 0};
    for (unsigned s = 0; s < end->cmdline.pause_seconds; s++, nanosleep(&second, NULL))
        lethe_watchdog_ping(NULL);
}

/* What the first stage could not know of, or what PID 1 has started since. */
static void stop_again(const struct lethe_end *end)
{
    if (end->init_stays)
        lethe_process_stop_all(end->policy->stop_ms);
}

static bool work(struct lethe_end *end, struct lethe_progress *progress)
{
    const struct lethe_supervisor supervisor = {.total_ms = end->policy->total_ms,
                                                .tick = lethe_watchdog_ping,
                                                .writes = end->policy->sync};
    if (end->sync_hung)
        lethe_stuck_add(progress, lethe_execute_sync_key());
    int r = lethe_supervise(progress, take_apart, end, &supervisor);
    if (r < 0) {
        lethe_log(LETHE_LOG_ERROR, "the work ended early: %s", strerror(-r));
        lethe_supervise(progress, report_only, end, &supervisor);
    }
    lethe_supervise(progress, clear_memory, end, &supervisor);
    lethe_log_to_kernel(); /* see lethe/log.h */
    lethe_supervise(progress, clear_memory_again, end, &supervisor);
    bool clean = !r && is_clean(end, progress);
    if (end->cmdline.bad[0])
        lethe_log(LETHE_LOG_ERROR, "kernel argument not understood: %s", end->cmdline.bad);
    summarize(end, progress, clean);
    return clean;
}

void lethe_end_finish(struct lethe_end *end, struct lethe_progress *progress)
{
    end->init_stays = getpid() != 1;
    stop_again(end);
    if (end->dead_ms) {
        lethe_deadman_start(end->dead_ms, end->verb);
        lethe_watchdog_arm(end->dead_ms); /* systemd has just stopped one that it had used */
    }
    end->arena = lethe_arena_map();
    bool clean = progress && work(end, progress);
    if (!clean && end->policy == &lethe_policy_clean)
        lethe_power_keep_log();
    pause_if_asked(end);
    lethe_power_end(end->verb, end->argument, end->policy->power_ms);
    for (;;) /* PID 1 never exits */
        pause();
}

static bool is_first(const char *namespace, ino_t number)
{
    struct stat st;
    return stat(namespace, &st) || st.st_ino == number;
}

/* The first namespaces have fixed numbers (PROC_PID_INIT_INO and its like, linux/proc_ns.h). */
bool lethe_end_is_machine(void)
{
    return is_first("/proc/self/ns/pid", 0xEFFFFFFC) && is_first("/proc/self/ns/user", 0xEFFFFFFD);
}
