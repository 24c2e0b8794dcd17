/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lethe/plan/cmdline.h"
#include "scene.h"

static struct lethe_cmdline parse(const char *text)
{
    struct lethe_cmdline cmdline;
    struct lethe_span span = exact_span(text);
    lethe_cmdline_parse(&cmdline, span);
    free((char *)span.at);
    return cmdline;
}

static void reads_its_arguments(void **unused)
{
    (void)unused;
    struct lethe_cmdline c = parse("BOOT_IMAGE=/vmlinuz boot=live lethe.verbose lethe.pause=30\n");
    assert_true(c.verbose);
    assert_int_equal(c.pause_seconds, 30);
    assert_string_equal(c.bad, "");
    c = parse("quiet splash\n");
    assert_false(c.verbose);
    assert_int_equal(c.pause_seconds, 0);
    assert_string_equal(c.bad, "");
    assert_int_equal(c.show_seconds, -1);
    assert_int_equal(parse("lethe.show=0").show_seconds, 0);
    assert_string_equal(parse("lethe.show=never").bad, "lethe.show=never");
    c = parse("lethe.pause=3600 lethe.pause=0");
    assert_int_equal(c.pause_seconds, 0);
    assert_string_equal(c.bad, "");
}

static void switches_are_words_or_seconds(void **unused)
{
    (void)unused;
    struct lethe_cmdline c = parse("lethe.verify=off lethe.scrub=90");
    assert_int_equal(c.verify, LETHE_CMDLINE_VERIFY_OFF);
    assert_int_equal(c.verify_seconds, 0);
    assert_int_equal(c.scrub, LETHE_CMDLINE_SCRUB_ON);
    assert_int_equal(c.scrub_seconds, 90);
    c = parse("lethe.verify=7 lethe.scrub=auto");
    assert_int_equal(c.verify, LETHE_CMDLINE_VERIFY_ON);
    assert_int_equal(c.verify_seconds, 7);
    assert_int_equal(c.scrub, LETHE_CMDLINE_SCRUB_AUTO);
    assert_int_equal(parse("lethe.verify=7 lethe.verify=auto").verify_seconds, 0);
    for (const char *const *bad = (const char *const[]){"lethe.verify=0", "lethe.verify=3601",
                                                        "lethe.verify", "lethe.verify=yes", NULL};
         *bad; bad++) {
        c = parse(*bad);
        assert_string_equal(c.bad, *bad);
        assert_int_equal(c.verify, LETHE_CMDLINE_VERIFY_AUTO);
    }
}

static void tells_the_first_that_it_cannot_use(void **unused)
{
    (void)unused;
    assert_string_equal(parse("lethe.pause=3601 lethe.x").bad, "lethe.pause=3601");
    assert_string_equal(parse("lethe.pause").bad, "lethe.pause");
    assert_string_equal(parse("lethe.pause=").bad, "lethe.pause=");
    assert_string_equal(parse("lethe.pause=-1").bad, "lethe.pause=-1");
    assert_string_equal(parse("lethe.verbose=maybe\n").bad, "lethe.verbose=maybe");
    assert_string_equal(parse("lethe.").bad, "lethe.");
    assert_string_equal(parse("xlethe.foo lethe").bad, "");
    struct lethe_cmdline c = parse("lethe.pause=99999999999999999999999 lethe.verbose");
    assert_string_equal(c.bad, "lethe.pause=99999999999999999999999");
    assert_int_equal(c.pause_seconds, 0);
    assert_true(c.verbose);
}

static void a_long_bad_argument_is_cut(void **unused)
{
    (void)unused;
    char text[300] = "lethe.";
    memset(text + 6, 'x', 200);
    struct lethe_cmdline c = parse(text);
    assert_int_equal(strlen(c.bad), sizeof c.bad - 1);
    assert_memory_equal(c.bad, text, sizeof c.bad - 1);
}

static void what_is_inits_is_not_ours(void **unused)
{
    (void)unused;
    struct lethe_cmdline c = parse("quiet -- lethe.verbose lethe.pause=5");
    assert_false(c.verbose);
    assert_int_equal(c.pause_seconds, 0);
}

static void the_last_of_an_argument_counts(void **unused)
{
    (void)unused;
    struct lethe_span value;
    const struct lethe_span text = lethe_span("a=1 b a=2 init_on_free=1 c= -- d\n");
    assert_true(lethe_cmdline_find(text, "a", &value));
    assert_true(lethe_span_is(value, "2"));
    assert_true(lethe_cmdline_find(text, "b", &value));
    assert_true(lethe_span_is(value, ""));
    assert_true(lethe_cmdline_find(text, "c", &value));
    assert_true(lethe_span_is(value, ""));
    assert_true(lethe_cmdline_find(text, "init_on_free", &value));
    assert_true(lethe_span_is(value, "1"));
    assert_true(lethe_cmdline_find(lethe_span("init-on_free=0"), "init_on_free", &value));
    assert_false(lethe_cmdline_find((struct lethe_span){"a\0b", 3}, "a", &value));
    assert_true(lethe_span_is(value, "0"));
    assert_false(lethe_cmdline_find(lethe_span("init-on-freed"), "init_on_free", &value));
    assert_false(lethe_cmdline_find(text, "d", &value));
    assert_false(lethe_cmdline_find(text, "init_on", &value));
    assert_false(lethe_cmdline_find(lethe_span(""), "a", &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_its_arguments),
        cmocka_unit_test(switches_are_words_or_seconds),
        cmocka_unit_test(tells_the_first_that_it_cannot_use),
        cmocka_unit_test(a_long_bad_argument_is_cut),
        cmocka_unit_test(what_is_inits_is_not_ours),
        cmocka_unit_test(the_last_of_an_argument_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
