/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lethe/kernel/policy.h"
#include "lethe/plan/fill.h"
#include "lethe/plan/zoneinfo.h"
#include "scene.h"

static void want(struct lethe_fill fill, bool clean, const char *words)
{
    char text[160];
    lethe_fill_print(text, sizeof text, &fill);
    assert_string_equal(text, words);
    assert_true(lethe_fill_is_clean(&fill) == clean);
}

static const struct lethe_fill full = {
    .is_filled = true, .held_kib = 450 << 10, .free_kib = 300, .kept_kib = 80};

static void says_what_a_look_has_seen(void **unused)
{
    (void)unused;
    struct lethe_fill f = full;
    f.look = LETHE_FILL_LOOK_WHOLE;
    f.read_kib = 300;
    want(f, true,
         "450 MiB of free memory filled and read back, all zero but for at most 80 KiB of "
         "processors' lists");
    f.kept_kib = 0;
    want(f, true, "450 MiB of free memory filled and read back, all zero");
    f.not_zero = 7;
    want(f, false, "450 MiB of free memory filled and read back: 7 pages are not zero");
    f.look = LETHE_FILL_LOOK_PART;
    want(f, false, "450 MiB of free memory filled and read back: 7 pages are not zero");
}

/* MemFree alone says little: what processors keep counts too. */
static void says_what_nobody_has_seen(void **unused)
{
    (void)unused;
    struct lethe_fill f = full;
    want(f, true, "450 MiB of free memory filled but for 380 KiB, which was not read back");
    f.look = LETHE_FILL_LOOK_REFUSED;
    want(f, true, "450 MiB of free memory filled but for 380 KiB, which could not be read back");
    f.look = LETHE_FILL_LOOK_PART;
    f.read_kib = 200;
    want(f, true, "450 MiB of free memory filled but for 180 KiB, which was not read back");
}

static void a_filler_that_ended_early_has_left_something(void **unused)
{
    (void)unused;
    struct lethe_fill f = full;
    f.held_kib = 58 << 10;
    f.free_kib = 392 << 10;
    f.look = LETHE_FILL_LOOK_REFUSED;
    want(f, false, "58 MiB of free memory filled but for 401488 KiB, which could not be read back");
    f.look = LETHE_FILL_LOOK_WHOLE; /* all zero, whoever has cleared it */
    want(f, true,
         "58 MiB of free memory filled and read back, all zero but for at most 80 KiB of "
         "processors' lists");
}

static void a_kernel_that_clears_is_read_too(void **unused)
{
    (void)unused;
    struct lethe_fill f = {.kernel_clears = true};
    want(f, true, "free memory zeroed by the kernel");
    f.look = LETHE_FILL_LOOK_WHOLE;
    f.read_kib = 256 << 10;
    want(f, true, "free memory zeroed by the kernel, 256 MiB of it read back");
    f.not_zero = 1;
    want(f, false, "free memory zeroed by the kernel, but for 1 pages");
    want((struct lethe_fill){0}, false, "free memory NOT zeroed");
}

static void counts_what_processors_keep(void **unused)
{
    (void)unused;
    static const char text[] = "Node 0, zone      DMA\n"
                               "  pages free     3840\n"
                               "  pagesets\n"
                               "    cpu: 0\n"
                               "              count: 155\n"
                               "              high:  378\n"
                               "    cpu: 1\n"
                               "              count:    12\n"
                               "              count: x\n"
                               "              batch: 63\n"
                               "    discount: 5\n"
                               "Node 0, zone    DMA32\n"
                               "              count: 1";
    struct lethe_span span = exact_span(text);
    assert_int_equal(lethe_zoneinfo_kept(span), 168);
    free((char *)span.at);
    assert_int_equal(lethe_zoneinfo_kept(lethe_span("")), 0);
}

/* As Linux 6.1 prints it, shortened; a zone without memory has no first page. */
static void tells_zones_apart(void **unused)
{
    (void)unused;
    static const char text[] = "Node 0, zone      DMA\n"
                               "  pages free     2816\n"
                               "        spanned  4095\n"
                               "        protection: (0, 1922, 1922, 1922)\n"
                               "              count: 3\n"
                               "  start_pfn:           1\n"
                               "Node 0, zone    DMA32\n"
                               "        spanned  1044480\n"
                               "              count: 155\n"
                               "              count: 12\n"
                               "  start_pfn:           4096\n"
                               "Node 0, zone   Normal\n"
                               "        spanned  0\n";
    struct lethe_span span = exact_span(text), all = span;
    struct lethe_zone zone;
    assert_true(lethe_zoneinfo_next(&all, &zone));
    assert_int_equal(zone.first, 1);
    assert_int_equal(zone.spanned, 4095);
    assert_int_equal(zone.kept, 3);
    assert_true(lethe_zoneinfo_next(&all, &zone));
    assert_int_equal(zone.first, 4096);
    assert_int_equal(zone.spanned, 1044480);
    assert_int_equal(zone.kept, 167);
    assert_false(lethe_zoneinfo_next(&all, &zone));
    free((char *)span.at);
}

static void time_grows_with_memory_and_ends_before_the_deadman(void **unused)
{
    (void)unused;
    const struct lethe_policy policy = {.memory_ms = 60000};
    const uint64_t gib = 1 << 20;
    assert_int_equal(lethe_policy_memory_ms(&policy, 0, INT64_MAX, gib), 62000);
    assert_int_equal(lethe_policy_memory_ms(&policy, 0, INT64_MAX, 64 * gib), 188000);
    assert_int_equal(lethe_policy_memory_ms(&policy, 9000, INT64_MAX, 64 * gib), 9000);
    assert_int_equal(lethe_policy_memory_ms(&policy, 0, 40000, gib), 35000);
    assert_int_equal(lethe_policy_memory_ms(&policy, 0, 8000, gib), 5000);
    assert_int_equal(lethe_policy_memory_ms(&policy, 0, 1000, gib), 0);
    assert_int_equal(lethe_policy_memory_ms(&policy, 0, -1000, gib), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_a_look_has_seen),
        cmocka_unit_test(says_what_nobody_has_seen),
        cmocka_unit_test(a_filler_that_ended_early_has_left_something),
        cmocka_unit_test(a_kernel_that_clears_is_read_too),
        cmocka_unit_test(counts_what_processors_keep),
        cmocka_unit_test(tells_zones_apart),
        cmocka_unit_test(time_grows_with_memory_and_ends_before_the_deadman),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
