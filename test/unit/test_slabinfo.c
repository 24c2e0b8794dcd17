/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lethe/slabinfo.h"
#include "scene.h"

static const char text[] =
    "slabinfo - version: 2.1\n"
    "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables\n"
    "dentry             20141  22869    192   21    1 : tunables    0    0    0 : slabdata\n"
    "kmalloc-cg-64        384    384     64   64    1 : tunables    0    0    0 : slabdata\n"
    "kmalloc-64          4992   5056     64   64    1 : tunables\n"
    "more-than-all        6      5     64   64    1 : tunables\n"
    "cut                  6";

static bool read_cache(const char *name, struct lethe_slab_cache *cache)
{
    struct lethe_span span = exact_span(text);
    bool found = lethe_slabinfo(span, name, cache);
    free((char *)span.at);
    return found;
}

static void finds_a_cache_by_its_whole_name(void **unused)
{
    (void)unused;
    struct lethe_slab_cache c;
    assert_true(read_cache("dentry", &c));
    assert_int_equal(c.active, 20141);
    assert_int_equal(c.total, 22869);
    assert_int_equal(c.per_slab, 21);
    assert_true(read_cache("kmalloc-64", &c));
    assert_int_equal(c.active, 4992);
    assert_true(read_cache("kmalloc-cg-64", &c));
    assert_int_equal(c.total, 384);
}

static void what_can_t_be_is_not_there(void **unused)
{
    (void)unused;
    struct lethe_slab_cache c;
    assert_false(read_cache("kmalloc-6", &c));
    assert_false(read_cache("more-than-all", &c));
    assert_false(read_cache("cut", &c));
    assert_false(read_cache("#", &c));
    assert_false(lethe_slabinfo(lethe_span(""), "dentry", &c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_a_cache_by_its_whole_name),
        cmocka_unit_test(what_can_t_be_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
