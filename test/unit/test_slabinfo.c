/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lethe/plan/slabinfo.h"
#include "scene.h"

static const char text[] =
    "slabinfo - version: 2.1\n"
    "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables\n"
    "dentry             20141  22869    192   21    1 : tunables    0    0    0 : slabdata\n"
    "kmalloc-cg-64        384    384     96   64    1 : tunables    0    0    0 : slabdata\n"
    "more-than-all        6      5     64   64    1 : tunables\n"
    "kmalloc-1k          4992   5056     1024   64    1 : tunables\n"
    "cut                  6";

static void reads_each_line_that_can_be_read(void **unused)
{
    (void)unused;
    struct lethe_slabinfo_cache c;
    struct lethe_span span = exact_span(text), rest = span;
    assert_true(lethe_slabinfo_next(&rest, &c) && lethe_span_is(c.name, "dentry"));
    assert_int_equal(c.active, 20141);
    assert_int_equal(c.total, 22869);
    assert_int_equal(c.per_slab, 21);
    assert_int_equal(c.size, 192);
    assert_true(lethe_slabinfo_next(&rest, &c) && lethe_span_is(c.name, "kmalloc-cg-64"));
    assert_int_equal(c.size, 64);
    assert_true(lethe_slabinfo_next(&rest, &c) && lethe_span_is(c.name, "kmalloc-1k"));
    assert_int_equal(c.size, 1024);
    assert_false(lethe_slabinfo_next(&rest, &c));
    free((char *)span.at);
    rest = lethe_span("");
    assert_false(lethe_slabinfo_next(&rest, &c));
}

/* What the kernels list: 6.1, 6.12 with CONFIG_SLAB_BUCKETS, and with CONFIG_RANDOM_KMALLOC_CACHES.
 */
static void knows_the_caches_that_carry_content(void **unused)
{
    (void)unused;
    static const struct {
        const char *line;
        int first, second; /* -1: no content */
    } cases[] = {
        {"dentry 1 2 192 21 1", LETHE_SLABINFO_NAME, LETHE_SLABINFO_NO_MAKER},
        {"dentry2 1 2 192 21 1", -1, 0},
        {"task_struct 1 2 9000 3 8", LETHE_SLABINFO_PROCESS, LETHE_SLABINFO_NO_MAKER},
        {"kmalloc-128 1 2 128 32 1", LETHE_SLABINFO_LINK, LETHE_SLABINFO_NO_MAKER},
        {"kmalloc-8k 1 2 8192 4 8", LETHE_SLABINFO_KEY, LETHE_SLABINFO_NO_MAKER},
        {"kmalloc-rcl-96 1 2 96 42 1", LETHE_SLABINFO_LONG_NAME, LETHE_SLABINFO_NO_MAKER},
        {"kmalloc-rcl-8k 1 2 8192 4 8", -1, 0},
        {"kmalloc-cg-32 1 2 32 128 1", LETHE_SLABINFO_ATTRIBUTE_NAME, LETHE_SLABINFO_NO_MAKER},
        {"kmalloc-cg-2k 1 2 2048 16 8", LETHE_SLABINFO_MESSAGE, LETHE_SLABINFO_ATTRIBUTE},
        {"msg_msg-96 1 2 96 42 1", LETHE_SLABINFO_MESSAGE, LETHE_SLABINFO_NO_MAKER},
        {"memdup_user-512 1 2 512 16 2", LETHE_SLABINFO_NO_MAKER, LETHE_SLABINFO_NO_MAKER},
        {"kmalloc-rnd-07-64 1 2 64 64 1", LETHE_SLABINFO_NO_MAKER, LETHE_SLABINFO_NO_MAKER},
        {"skbuff_small_head 1 2 640 25 4", LETHE_SLABINFO_DATAGRAM, LETHE_SLABINFO_NO_MAKER},
        {"names_cache 1 2 4096 8 8", LETHE_SLABINFO_NO_MAKER, LETHE_SLABINFO_NO_MAKER},
        {"kmalloc-dma-64 1 2 64 64 1", -1, 0},
        {"inode_cache 1 2 600 26 4", -1, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lethe_slabinfo_cache c;
        struct lethe_span line = lethe_span(cases[i].line);
        assert_true(lethe_slabinfo_next(&line, &c));
        const struct lethe_slabinfo_family *f = lethe_slabinfo_family(&c);
        assert_int_equal(f ? (int)f->makers[0] : -1, cases[i].first);
        assert_int_equal(f ? f->makers[1] : 0, cases[i].second);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_each_line_that_can_be_read),
        cmocka_unit_test(knows_the_caches_that_carry_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
