/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the kill switch does to disks whose keys do not go (keys.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "crypt_system.h"
#include "jail.h"
#include "lethe/kernel/keys.h"
#include "lethe/kernel/sys.h"

#define DIRECT "/dev/dm-1 partition 2048 8 -2\n"
#define IN_FILE "/data/swap file 2048 8 -2\n"

struct scene {
    enum lethe_keys which;
    struct crypt_system system;
};

/* What the jail shows the test. */
struct seen {
    struct crypt_seen of;
    char sda[16], sdb[16], deleted[4]; /* attributes of the disks */
    bool has_begun, has_ended;         /* the child that resets controllers */
};

static struct seen *seen;

/* Waits for the child to go on, then for its end after it was stopped. */
static void look_at(pid_t child)
{
    enum { POLLS = 3000 };
    const struct timespec pause = {0, 20 * 1000 * 1000};
    int status, left = POLLS;
    for (; seen->of.resets < 3 && left; left--)
        nanosleep(&pause, NULL);
    lethe_keys_stop_cutting(child);
    for (; !seen->has_ended && left; left--) {
        seen->has_ended = waitpid(child, &status, WNOHANG) == child;
        nanosleep(&pause, NULL);
    }
}

static void cut_off(const void *context)
{
    const struct scene *scene = context;
    struct lethe_progress *progress = crypt_system_put(&scene->system, &seen->of);
    pid_t child = lethe_keys_cut_off(scene->which, progress);
    lethe_sys_read_block("sda", "device/state", seen->sda, sizeof seen->sda);
    lethe_sys_read_block("sdb", "device/state", seen->sdb, sizeof seen->sdb);
    lethe_sys_read_block("sda", "device/delete", seen->deleted, sizeof seen->deleted);
    seen->has_begun = child > 0;
    if (child > 0)
        look_at(child);
}

static void expect_cut_off(enum lethe_keys which, struct crypt_system system, bool sda, bool sdb)
{
    memset(seen, 0, sizeof *seen);
    jail_run(cut_off, &(struct scene){which, system});
    assert_string_equal(seen->sda, sda ? "offline" : "running");
    assert_string_equal(seen->sdb, sdb ? "offline" : "running");
    assert_string_equal(seen->deleted, "");
    assert_false(seen->has_begun);
}

static void cuts_off_disks_but_the_one_of_the_swap(void **unused)
{
    (void)unused;
    const struct crypt_system idle = {0}, swap = {.swap = IN_FILE},
                              blind = {.swap = DIRECT, .no_mounts = true},
                              shared = {.swap = DIRECT, .slave = "dm-0/slaves/sdb"},
                              wiped = {.finished = 1 << HOME}, lost = {.slave = "dm-1/slaves/sdc"};
    expect_cut_off(LETHE_KEYS_IDLE, idle, true, true);
    expect_cut_off(LETHE_KEYS_IDLE, swap, true, false);
    expect_cut_off(LETHE_KEYS_IDLE, shared, true, false);
    expect_cut_off(LETHE_KEYS_ALL, swap, true, true);
    expect_cut_off(LETHE_KEYS_IDLE, blind, false, false);
    expect_cut_off(LETHE_KEYS_ALL, blind, true, true);
    expect_cut_off(LETHE_KEYS_GONE, idle, false, false);
    expect_cut_off(LETHE_KEYS_GONE, lost, false, true);
    expect_cut_off(LETHE_KEYS_ALL, wiped, false, true);
}

static void removes_one_whose_transport_is_blocked(void **unused)
{
    (void)unused;
    const struct scene blocked = {LETHE_KEYS_ALL, {.blocked = true}};
    memset(seen, 0, sizeof *seen);
    jail_run(cut_off, &blocked);
    assert_string_equal(seen->sda, "blocked");
    assert_string_equal(seen->deleted, "1");
    assert_string_equal(seen->sdb, "offline");
}

static void resets_controllers_until_it_is_stopped(void **unused)
{
    (void)unused;
    const struct scene on_nvme = {LETHE_KEYS_ALL, {.slave = "dm-0/slaves/nvme0n1"}};
    memset(seen, 0, sizeof *seen);
    jail_run(cut_off, &on_nvme);
    assert_true(seen->has_begun);
    assert_true(seen->of.resets >= 3);
    assert_true(seen->has_ended);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_off_disks_but_the_one_of_the_swap),
        cmocka_unit_test(removes_one_whose_transport_is_blocked),
        cmocka_unit_test(resets_controllers_until_it_is_stopped),
    };
    seen = jail_share(sizeof *seen);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
