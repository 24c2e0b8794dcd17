/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * supervise: work that may hang is done by a worker process; the supervisor holds the clock.
 *
 * The worker says what it begins, until when, and by which id the task is known. When the time is
 * over, or the worker dies, the supervisor puts the task on the list of stuck things, kills the
 * worker, leaves it behind if it can't die (a process in D state takes no signal) and starts a new
 * one, which begins again from what the system is then and goes around what is stuck. So no path
 * waits without a deadline, and a step costs no fork. A step at which the worker was ended by a
 * signal is tried once more.
 */
#ifndef LETHE_KERNEL_SUPERVISE_H
#define LETHE_KERNEL_SUPERVISE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lethe/kernel/task.h"
#include "lethe/plan/fill.h"

enum {
    LETHE_SUPERVISE_STUCK_MAX = 64,
    LETHE_SUPERVISE_ASIDE_MAX = 32,
    LETHE_SUPERVISE_DAEMONS_MAX = 64
};

/* An unmount that goes on in a child of a worker's, and the device that it writes to. */
struct lethe_aside {
    pid_t child;
    struct lethe_devno devno;
    char name[64];
};

/* What was done and what is left, for the summary. Times are lethe_sys_now_ms(), 0: never. */
struct lethe_account {
    uint64_t erased_bytes, erased_files;
    unsigned erased_file_systems, unmounted, stopped, failed;
    unsigned not_erased; /* RAM file systems, files and segments that could not be zeroed */
    unsigned unclean;  /* file systems that were not closed clean, each reported when it was seen */
    unsigned left;     /* things that the last look has shown */
    unsigned kept;     /* objects and buffers of the kernel's that the last look has shown */
    unsigned keys;     /* keys wiped before all else */
    int64_t keys_ms;   /* when the last of them was wiped */
    int64_t erased_ms; /* when the last file system was zeroed */
    uint64_t bad_kib;  /* memory that was out of use for errors before the end */
    bool slabs_refilled; /* the free slots of slabs were used again */
    bool stacks_overwritten, samples_left;
    bool log_overwritten;
    bool zswap_overwritten;
    struct lethe_fill fill; /* free memory */
};

/*
 * Shared by the supervisor and its workers, so that it outlives a worker: first the protocol
 * between them, then what one worker leaves to the next, then the account.
 *
 * A task runs from lethe_task_begin() to lethe_task_done(); deadline_ms (lethe_sys_now_ms()) is 0
 * when none runs. It is written last when a task begins, so that the supervisor never sees the
 * deadline of one task with the id of another. A list that is full takes nothing more.
 */
struct lethe_progress {
    _Atomic int64_t deadline_ms;
    uint64_t task;
    int64_t allowed_ms;
    char what[160];
    uint64_t stuck[LETHE_SUPERVISE_STUCK_MAX];
    unsigned n_stuck;
    uint64_t crashed; /* the task at which a worker was last ended by a signal */
    uint64_t finished[LETHE_SUPERVISE_STUCK_MAX]; /* tasks that need no second try */
    unsigned n_finished;

    _Atomic unsigned beats; /* pings of a supervisor that a deadman looks after */

    bool cut_off; /* a server that does not answer was given up */
    uint64_t stores
        [LETHE_SUPERVISE_STUCK_MAX]; /* devices that were mounted for writing, by their numbers */
    unsigned n_stores;
    struct lethe_aside aside[LETHE_SUPERVISE_ASIDE_MAX]; /* see unmount.h */
    unsigned n_aside;
    pid_t daemons[LETHE_SUPERVISE_DAEMONS_MAX]; /* see daemons.h: those that still serve */
    unsigned n_daemons;

    struct lethe_account account;
};

/* Returns a progress in locked memory that children share, which is never freed; NULL when there is
 * none. */
struct lethe_progress *lethe_progress_new(void);

/* Tries fork(2) thrice, for what refuses it may be gone a moment later. Returns as fork(2) does,
 * but -errno for -1. */
pid_t lethe_supervise_fork(void);

/* The worker calls these. lethe_task_begin() is false, and nothing is begun, when `task` is stuck
 * or a test skips it (lethe_task_is_skipped()). */
bool lethe_task_begin(struct lethe_progress *progress, uint64_t task, int64_t ms, const char *what);
bool lethe_task_beginf(struct lethe_progress *progress, uint64_t task, int64_t ms,
                       const char *format, ...) __attribute__((format(printf, 4, 5)));
void lethe_task_done(struct lethe_progress *progress);
bool lethe_task_is_stuck(const struct lethe_progress *progress, uint64_t task);
void lethe_task_set_stuck(struct lethe_progress *progress, uint64_t task);

/* Notes a device that carries a file system which may be written to, so that it is asked about at
 * the end. */
void lethe_progress_add_store(struct lethe_progress *progress, uint64_t device);
bool lethe_progress_has_store(const struct lethe_progress *progress, uint64_t device);

/* Returns how many pages were written to disks and swapped in again (nr_written and pswpin in
 * /proc/vmstat): a count that only grows. */
uint64_t lethe_supervise_data_moved(void);

/* Marks a task as done once and for all, so that no later worker does it again, and asks. */
void lethe_task_set_finished(struct lethe_progress *progress, uint64_t task);
bool lethe_task_is_finished(const struct lethe_progress *progress, uint64_t task);

/* With `writes` data that are being written count as headway, and the time that they take does not
 * count towards total_ms. An end that waits for no disk leaves it false. */
struct lethe_supervisor {
    int64_t total_ms;     /* all workers together */
    void (*tick)(void *); /* called at least each 200 ms, for the watchdog */
    void *tick_context;
    bool writes;
};

/* Runs work(progress, context) in workers until one returns. What it returned (0 to 127),
 * -ETIMEDOUT when total_ms were over, or -errno when no worker could be started. SIGCHLD must be
 * blocked; every child that ends is reaped. */
int lethe_supervise(struct lethe_progress *progress, int (*work)(struct lethe_progress *, void *),
                    void *context, const struct lethe_supervisor *supervisor);

#endif
