/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lethe/plan/meminfo.h"
#include "scene.h"

static uint64_t read_number(const char *text, const char *name)
{
    struct lethe_span span = exact_span(text);
    uint64_t kib = lethe_meminfo(span, name);
    free((char *)span.at);
    return kib;
}

static void finds_a_number_by_its_name(void **unused)
{
    (void)unused;
    static const char text[] = "MemTotal:         981468 kB\n"
                               "MemFree:          821384 kB\n"
                               "Active(anon):        180 kB\n"
                               "Dirty:                 0 kB\n"
                               "HugePages_Total:       3";
    assert_int_equal(read_number(text, "MemTotal"), 981468);
    assert_int_equal(read_number(text, "MemFree"), 821384);
    assert_int_equal(read_number(text, "Active(anon)"), 180);
    assert_int_equal(read_number(text, "Dirty"), 0);
    assert_int_equal(read_number(text, "HugePages_Total"), 3);
}

static void what_is_not_there_is_zero(void **unused)
{
    (void)unused;
    assert_int_equal(read_number("", "Dirty"), 0);
    assert_int_equal(read_number("Dirty", "Dirty"), 0);
    assert_int_equal(read_number("Dirty:", "Dirty"), 0);
    assert_int_equal(read_number("Dirty:   ", "Dirty"), 0);
    assert_int_equal(read_number("Dirty: x kB\n", "Dirty"), 0);
    assert_int_equal(read_number("Dirty: 99999999999999999999 kB\n", "Dirty"), 0);
    assert_int_equal(read_number("WriteDirty: 5 kB\nDirtyx: 6 kB\n", "Dirty"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_a_number_by_its_name),
        cmocka_unit_test(what_is_not_there_is_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
