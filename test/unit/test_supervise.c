/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "lethe/kernel/supervise.h"
#include "lethe/kernel/sys.h"

enum { MANY_MS = 60000 };

/* Counts the workers of a test, across their ends. */
static _Atomic int *workers;

static struct lethe_progress *fresh(void)
{
    struct lethe_progress *p = lethe_progress_new();
    assert_non_null(p);
    *workers = 0;
    return p;
}

static int supervise(struct lethe_progress *p, int (*work)(struct lethe_progress *, void *),
                     int64_t total_ms)
{
    const struct lethe_supervisor s = {.total_ms = total_ms};
    return lethe_supervise(p, work, NULL, &s);
}

/* One thing is tried; the worker ends well when it is known to be stuck. */
static bool begin(struct lethe_progress *p, uint64_t number, int64_t ms)
{
    ++*workers;
    char what[32];
    snprintf(what, sizeof what, "thing %d", (int)number);
    return lethe_task_begin(p, lethe_task_id(LETHE_TASK_UNMOUNT, number), ms, what);
}

static int succeeds(struct lethe_progress *p, void *context)
{
    (void)context;
    if (!begin(p, 1, MANY_MS))
        return 99;
    lethe_task_done(p);
    p->account.unmounted++;
    return 7;
}

static void hands_on_what_the_worker_returned(void **unused)
{
    (void)unused;
    struct lethe_progress *p = fresh();
    assert_int_equal(supervise(p, succeeds, MANY_MS), 7);
    assert_int_equal(*workers, 1);
    assert_int_equal(p->account.unmounted, 1);
    assert_int_equal(p->n_stuck, 0);
}

static int hangs(struct lethe_progress *p, void *context)
{
    (void)context;
    if (!begin(p, 1, 50))
        return 0;
    for (;;)
        pause();
}

static void goes_around_what_hangs(void **unused)
{
    (void)unused;
    struct lethe_progress *p = fresh();
    int64_t start = lethe_sys_now_ms();
    assert_int_equal(supervise(p, hangs, MANY_MS), 0);
    assert_in_range(lethe_sys_now_ms() - start, 50,
                    MANY_MS); /* memory freed elsewhere is headway */
    assert_int_equal(*workers, 2);
    assert_int_equal(p->n_stuck, 1);
    assert_true(lethe_task_is_stuck(p, lethe_task_id(LETHE_TASK_UNMOUNT, 1)));
    assert_false(lethe_task_is_stuck(p, lethe_task_id(LETHE_TASK_UNMOUNT, 2)));
}

static int crashes(struct lethe_progress *p, void *context)
{
    (void)context;
    for (uint64_t thing = 1; thing < 4; thing++)
        if (begin(p, thing, MANY_MS))
            raise(SIGKILL);
    return 3;
}

static void a_crash_costs_one_step(void **unused)
{
    (void)unused;
    struct lethe_progress *p = fresh();
    assert_int_equal(supervise(p, crashes, MANY_MS), 3);
    assert_int_equal(p->n_stuck, 3);
}

static int is_killed_once(struct lethe_progress *p, void *context)
{
    (void)context;
    if (!begin(p, 1, MANY_MS))
        return 99;
    if (*workers == 1)
        raise(SIGKILL);
    lethe_task_done(p);
    return 5;
}

static void what_was_killed_is_tried_once_more(void **unused)
{
    (void)unused;
    struct lethe_progress *p = fresh();
    assert_int_equal(supervise(p, is_killed_once, MANY_MS), 5);
    assert_int_equal(*workers, 2);
    assert_int_equal(p->n_stuck, 0);
}

static int crashes_behind_its_work(struct lethe_progress *p, void *context)
{
    (void)context;
    if (begin(p, 1, MANY_MS))
        lethe_task_done(p);
    if (*workers == 1)
        raise(SIGKILL);
    return 0;
}

static void a_crash_between_steps_blames_none(void **unused)
{
    (void)unused;
    struct lethe_progress *p = fresh();
    assert_int_equal(supervise(p, crashes_behind_its_work, MANY_MS), 0);
    assert_int_equal(*workers, 2);
    assert_int_equal(p->n_stuck, 0);
}

static int always_crashes(struct lethe_progress *p, void *context)
{
    (void)context;
    begin(p, 1, MANY_MS);
    raise(SIGKILL);
    return 0;
}

static void gives_up_when_no_worker_lives(void **unused)
{
    (void)unused;
    struct lethe_progress *p = fresh();
    assert_int_equal(supervise(p, always_crashes, MANY_MS), -ETIMEDOUT);
    assert_in_range(*workers, 2, 1000);
}

static int idles(struct lethe_progress *p, void *context)
{
    (void)p;
    (void)context;
    while (pause())
        ;
    return 0;
}

static void the_whole_has_an_end(void **unused)
{
    (void)unused;
    struct lethe_progress *p = fresh();
    int64_t start = lethe_sys_now_ms();
    assert_int_equal(supervise(p, idles, 300), -ETIMEDOUT);
    assert_in_range(lethe_sys_now_ms() - start, 300, MANY_MS);
}

static void count_tick(void *context)
{
    ++*(int *)context;
}

static int sleeps(struct lethe_progress *p, void *context)
{
    (void)p;
    (void)context;
    usleep(700 * 1000);
    return 0;
}

static void ticks_for_the_watchdog(void **unused)
{
    (void)unused;
    int ticks = 0;
    const struct lethe_supervisor s = {MANY_MS, count_tick, &ticks, false};
    assert_int_equal(lethe_supervise(fresh(), sleeps, NULL, &s), 0);
    assert_in_range(ticks, 3, 100);
}

static void keys_differ_by_kind_and_number(void **unused)
{
    (void)unused;
    assert_true(lethe_task_id(LETHE_TASK_SYNC, 1) != lethe_task_id(LETHE_TASK_ERASE_DEVICE, 1));
    assert_true(lethe_task_id(LETHE_TASK_SYNC, 1) != lethe_task_id(LETHE_TASK_SYNC, 2));
    assert_true(lethe_task_id(LETHE_TASK_SYNC, UINT64_C(0xffffffffff)) !=
                lethe_task_id(LETHE_TASK_SYNC, UINT64_C(0xffffffff)));
    assert_int_equal(lethe_task_id(LETHE_TASK_SYNC, 5), lethe_task_id(LETHE_TASK_SYNC, 5));
}

static void sets_hold_what_was_added(void **unused)
{
    (void)unused;
    struct lethe_progress *p = fresh();
    assert_false(lethe_task_is_finished(p, 0));
    for (uint64_t key = 0; key < 2 * LETHE_SUPERVISE_STUCK_MAX; key++) {
        lethe_task_set_finished(p, key);
        lethe_task_set_finished(p, key);
    }
    assert_int_equal(p->n_finished, LETHE_SUPERVISE_STUCK_MAX);
    assert_true(lethe_task_is_finished(p, LETHE_SUPERVISE_STUCK_MAX - 1));
    assert_false(lethe_task_is_finished(p, LETHE_SUPERVISE_STUCK_MAX));
}

static void what_is_begun_has_a_deadline(void **unused)
{
    (void)unused;
    struct lethe_progress *p = fresh();
    int64_t now = lethe_sys_now_ms();
    assert_true(lethe_task_begin(p, 5, 1000, "unmount /home"));
    assert_in_range(p->deadline_ms, now + 1000, lethe_sys_now_ms() + 1000);
    assert_string_equal(p->what, "unmount /home");
    lethe_task_done(p);
    assert_int_equal(p->deadline_ms, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hands_on_what_the_worker_returned),
        cmocka_unit_test(goes_around_what_hangs),
        cmocka_unit_test(a_crash_costs_one_step),
        cmocka_unit_test(what_was_killed_is_tried_once_more),
        cmocka_unit_test(a_crash_between_steps_blames_none),
        cmocka_unit_test(gives_up_when_no_worker_lives),
        cmocka_unit_test(the_whole_has_an_end),
        cmocka_unit_test(ticks_for_the_watchdog),
        cmocka_unit_test(keys_differ_by_kind_and_number),
        cmocka_unit_test(sets_hold_what_was_added),
        cmocka_unit_test(what_is_begun_has_a_deadline),
    };
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    workers =
        mmap(NULL, sizeof *workers, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return workers == MAP_FAILED ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
