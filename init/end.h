/* SPDX-License-Identifier: GPL-3.0-or-later */
/* end: the end of the machine, in order: what PID 1 (shutdown.c) and the kill switch (now.c)
 * have in common. What differs between them stands in a policy. Two stages of one process do it.
 * The first stops all other processes and moves to a root of Lethe's own; it then execs the copy
 * in there, so that nothing of the old system holds it. The second takes everything apart and
 * ends the machine. A worker does what may hang (supervise.h); the process itself only waits
 * with a clock. */
#ifndef LETHE_INIT_END_H
#define LETHE_INIT_END_H

#include "lethe/kernel/policy.h"
#include "lethe/kernel/supervise.h"
#include "lethe/plan/arena.h"
#include "lethe/plan/cmdline.h"
#include "lethe/plan/verb.h"

/* True for the second stage. It has a name of its own and runs from a root of Lethe's own, where
 * only the first stage can have started it. */
bool lethe_end_is_second_stage(char **argv);

/* What became of the memory of PID 1, when an end runs beside it. */
enum lethe_init_memory {
    LETHE_INIT_ZEROED, /* or Lethe is PID 1 */
    LETHE_INIT_RUNS,   /* it could not be frozen */
    LETHE_INIT_CLOSED, /* not all of it could be written to */
};

struct lethe_end {
    enum lethe_verb verb;
    char argument[256]; /* reboot's */
    const struct lethe_policy *policy;
    int64_t started_ms; /* when it was asked for; this and the next are lethe_sys_now_ms() */
    int64_t dead_ms;    /* when a deadman ends the machine in any case; 0: there is none */
    int64_t keys;       /* how many keys were wiped before all else */
    int64_t keys_ms, stopped_ms; /* how long keys and processes have lasted; 0: not known */
    int64_t unreaped;            /* dead processes that nobody reaps */
    int64_t init_memory;         /* enum lethe_init_memory */
    int64_t pause_seconds; /* to wait at the end: what a file adds to the kernel's command line */
    bool sync_hung;        /* the sync of the first stage has hung */
    bool keys_left;        /* not all keys could be wiped at first */
    bool cut_off;          /* a server that does not answer was given up */
    int64_t memory_end_ms; /* by when free memory has to be cleared; lethe_sys_now_ms() */
    bool served;           /* daemons serve what is mounted */
    bool guarded;          /* a deadman looks whether the second stage hangs */
    bool own_root;         /* false once there could be no root of Lethe's own */
    bool uncovered;        /* the root is the initramfs's (uncover.h) */
    bool init_stays;       /* the second stage runs beside PID 1 */
    struct lethe_cmdline cmdline;
    struct lethe_arena arena;
};

/* Prepares what a worker needs: signals, limits, /proc, /sys, /dev and the kernel's settings. Log
 * output is discarded until the log is opened. */
void lethe_end_prepare_workers(void);

/* Keeps the script that a clean end beside PID 1 was begun by (lethe_process_keep()). */
void lethe_end_keep_script(const struct lethe_end *end);

/* Prepares all else: locks memory, opens the log and the watchdogs, reads the command line. */
void lethe_end_prepare(struct lethe_end *end);

/* Starts the deadman, unless Lethe is PID 1 in the first stage of an end that has no deadline. `progress` may be NULL. Returns its
 * pid, 0 or -errno. */
pid_t lethe_end_start_deadman(const struct lethe_end *end, struct lethe_progress *progress);

/* Kills all other processes, and starts a new deadman before it waits for their ends, up to `ms`
 * without any progress. `progress` may be NULL. Returns how many did not end. */
unsigned lethe_end_stop_all(const struct lethe_end *end, struct lethe_progress *progress,
                            int64_t ms);

/* Calls lethe_network_write_or_cut() and then lethe_network_keep_failing(), whose child it returns.
 * Runs inside a worker. */
pid_t lethe_end_write_or_cut(const struct lethe_end *end, struct lethe_progress *progress);

/* Runs the first stage from the stopping of processes on. It returns only when the second stage
 * could not be started: then this process goes on as the second. */
void lethe_end_leave_old_root(struct lethe_end *end, struct lethe_progress *progress);

/* Runs the second stage. With `progress` NULL nothing is done but to end the machine. */
_Noreturn void lethe_end_finish(struct lethe_end *end, struct lethe_progress *progress);

#endif
