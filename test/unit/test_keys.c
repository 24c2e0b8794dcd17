/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crypt_system.h"
#include "jail.h"
#include "lethe/kernel/keys.h"

/* Lines of /proc/swaps. */
#define DIRECT "/dev/dm-1 partition 2048 8 -2\n"
#define UNUSED "/dev/dm-1 partition 2048 0 -2\n"
#define ON_VOLUME "/dev/mapper/volume partition 2048 8 -2\n"
#define ON_LOOP "/dev/loop0 partition 2048 8 -2\n"
#define IN_FILE "/data/swap file 2048 8 -2\n"
#define ON_DISK "/dev/sda partition 2048 8 -2\n"

struct scene {
    enum lethe_keys which;
    struct crypt_system system;
};

/* What the jail shows the test. */
struct seen {
    struct crypt_seen of;
    unsigned left[2]; /* after each try */
    struct lethe_account account;
};

static struct seen *seen;

static void wipe_twice(const void *context)
{
    const struct scene *scene = context;
    struct lethe_progress *progress = crypt_system_put(&scene->system, &seen->of);
    for (int i = 0; i < 2; i++)
        seen->left[i] = lethe_keys_wipe(scene->which, &lethe_policy_emergency, progress);
    seen->account = progress->account;
}

/* Checks that the devices of the mask were told once to wipe their key, and that no other was asked
 * for anything. */
static void expect_wiped(enum lethe_keys which, struct crypt_system system, unsigned wanted)
{
    memset(seen, 0, sizeof *seen);
    jail_run(wipe_twice, &(struct scene){which, system});
    for (unsigned i = 0; i < DEVICES; i++) {
        assert_int_equal(seen->of.wiped[i], wanted >> i & 1);
        assert_int_equal(seen->of.asked[i] != 0, wanted >> i & 1);
    }
    assert_int_equal(seen->left[0], 0);
    assert_int_equal(seen->left[1], 0);
    assert_int_equal(seen->account.keys, __builtin_popcount(wanted));
    assert_int_equal(seen->account.keys_ms != 0, wanted != 0);
}

enum { HOMES = 1 << HOME, OTHERS = 1 << OTHER, BY_HANDS = 1 << BY_HAND };
enum { EVERY = HOMES | OTHERS | BY_HANDS, BUT_OTHER = HOMES | BY_HANDS };

static const struct crypt_system none;

static void wipes_every_key_once_and_nothing_else(void **unused)
{
    (void)unused;
    expect_wiped(LETHE_KEYS_ALL, none, EVERY);
    assert_int_equal(seen->of.told_in_time, 1);
    expect_wiped(LETHE_KEYS_ALL, (struct crypt_system){.swap = DIRECT}, EVERY);
    expect_wiped(LETHE_KEYS_ALL, (struct crypt_system){.swap = DIRECT, .no_mounts = true}, EVERY);
}

static void an_idle_one_carries_no_used_swap(void **unused)
{
    (void)unused;
    static const char *const through[] = {DIRECT, ON_VOLUME, ON_LOOP, IN_FILE};
    expect_wiped(LETHE_KEYS_IDLE, none, EVERY);
    expect_wiped(LETHE_KEYS_IDLE, (struct crypt_system){.swap = UNUSED}, EVERY);
    expect_wiped(LETHE_KEYS_IDLE, (struct crypt_system){.swap = ON_DISK UNUSED}, EVERY);
    for (size_t i = 0; i < sizeof through / sizeof *through; i++)
        expect_wiped(LETHE_KEYS_IDLE, (struct crypt_system){.swap = through[i]}, BUT_OTHER);
}

static void in_doubt_all_carry_swap_that_is_used(void **unused)
{
    (void)unused;
    expect_wiped(LETHE_KEYS_IDLE, (struct crypt_system){.swap = DIRECT, .no_mounts = true}, 0);
    expect_wiped(LETHE_KEYS_IDLE, (struct crypt_system){.swap = UNUSED, .no_mounts = true}, EVERY);
}

static void one_is_gone_with_what_it_lies_on(void **unused)
{
    (void)unused;
    struct crypt_system lost = {.slave = "dm-1/slaves/sdc"};
    expect_wiped(LETHE_KEYS_GONE, none, 0);
    expect_wiped(LETHE_KEYS_GONE, lost, OTHERS);
    lost.no_mounts = true;
    expect_wiped(LETHE_KEYS_GONE, lost, OTHERS);
    lost.swap = DIRECT;
    expect_wiped(LETHE_KEYS_IDLE, lost, OTHERS);
    lost = (struct crypt_system){.slave = "dm-2/slaves/sdc"}; /* OTHER does not lie on it */
    expect_wiped(LETHE_KEYS_GONE, lost, 0);
    lost = (struct crypt_system){.slave = "dm-0/slaves/loop0", .data = "8:32"};
    expect_wiped(LETHE_KEYS_GONE, lost, HOMES);
    lost.data = "8:16";
    expect_wiped(LETHE_KEYS_GONE, lost, 0);
}

static void look_nowhere(const void *unused)
{
    (void)unused;
    seen->left[0] = lethe_keys_wipe(LETHE_KEYS_ALL, &lethe_policy_emergency, lethe_progress_new());
}

static void where_nobody_can_look_one_is_left(void **unused)
{
    (void)unused;
    memset(seen, 0, sizeof *seen);
    jail_run(look_nowhere, NULL);
    assert_int_equal(seen->left[0], 1);
}

static void what_is_refused_is_left_and_asked_again(void **unused)
{
    (void)unused;
    const struct scene refused = {LETHE_KEYS_ALL, {.refused = HOMES}},
                       half = {LETHE_KEYS_ALL, {.finished = OTHERS, .stuck = HOMES}};
    memset(seen, 0, sizeof *seen);
    jail_run(wipe_twice, &refused);
    assert_int_equal(seen->left[0], 1);
    assert_int_equal(seen->left[1], 1);
    assert_int_equal(seen->of.wiped[HOME], 2);
    assert_int_equal(seen->of.wiped[OTHER], 1);
    assert_int_equal(seen->account.keys, 2);
    memset(seen, 0, sizeof *seen);
    jail_run(wipe_twice, &half);
    assert_int_equal(seen->left[0], 1);
    assert_int_equal(seen->of.asked[HOME] + seen->of.asked[OTHER], 0);
    assert_int_equal(seen->account.keys, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wipes_every_key_once_and_nothing_else),
        cmocka_unit_test(an_idle_one_carries_no_used_swap),
        cmocka_unit_test(in_doubt_all_carry_swap_that_is_used),
        cmocka_unit_test(one_is_gone_with_what_it_lies_on),
        cmocka_unit_test(where_nobody_can_look_one_is_left),
        cmocka_unit_test(what_is_refused_is_left_and_asked_again),
    };
    seen = jail_share(sizeof *seen);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
