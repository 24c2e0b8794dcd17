/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lethe/plan/text.h"
#include "scene.h"

static void cuts_at_the_separator(void **unused)
{
    (void)unused;
    struct lethe_span rest = lethe_span("a::b:");
    assert_true(lethe_span_is(lethe_text_cut(&rest, ':'), "a"));
    assert_true(lethe_span_is(lethe_text_cut(&rest, ':'), ""));
    assert_true(lethe_span_is(lethe_text_cut(&rest, ':'), "b"));
    assert_non_null(rest.at);
    assert_true(lethe_span_is(lethe_text_cut(&rest, ':'), "")); /* a last empty piece … */
    assert_null(rest.at);                                       /* … then the end */
    assert_true(lethe_span_is(lethe_text_cut(&rest, ':'), ""));
}

static void compares_the_whole_span(void **unused)
{
    (void)unused;
    assert_true(lethe_span_is(lethe_span("rw"), "rw"));
    assert_false(lethe_span_is(lethe_span("rw"), "rwx"));
    assert_false(lethe_span_is(lethe_span("rwx"), "rw"));
    assert_true(lethe_span_is((struct lethe_span){NULL, 0}, ""));
}

static int number(const char *text, uint64_t max, uint64_t *value)
{
    struct lethe_span span = exact_span(text);
    int r = lethe_text_number(span, max, value);
    free((char *)span.at);
    return r;
}

static void reads_numbers(void **unused)
{
    (void)unused;
    uint64_t value = 77;
    assert_int_equal(number("0", 0, &value), 0);
    assert_int_equal(value, 0);
    assert_int_equal(number("007", 7, &value), 0);
    assert_int_equal(value, 7);
    assert_int_equal(number("4294967295", UINT32_MAX, &value), 0);
    assert_int_equal(value, UINT32_MAX);
    assert_int_equal(number("18446744073709551615", UINT64_MAX, &value), 0);
    assert_true(value == UINT64_MAX);
}

static void refuses_what_is_no_number(void **unused)
{
    (void)unused;
    static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "0x10", "1.0", "12a", "\n"};
    uint64_t value = 77;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(number(bad[i], UINT64_MAX, &value), -EINVAL);
    assert_int_equal(number("4294967296", UINT32_MAX, &value), -EINVAL);
    assert_int_equal(number("18446744073709551616", UINT64_MAX, &value), -EINVAL);
    assert_int_equal(number("99999999999999999999999", UINT64_MAX, &value), -EINVAL);
    assert_int_equal(number("5", 4, &value), -EINVAL);
    assert_int_equal(number("1", 0, &value), -EINVAL);
    assert_int_equal(value, 77);
}

static void reads_device_numbers(void **unused)
{
    (void)unused;
    static const char *const bad[] = {"", "8", "8:", ":1", "8:1:2", "8:-1", "8 :1", "4294967296:0"};
    struct lethe_devno devno = {7, 7};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(lethe_devno(lethe_span(bad[i]), &devno), -EINVAL);
    assert_true(lethe_devno_is(devno, (struct lethe_devno){7, 7}));
    assert_int_equal(lethe_devno(lethe_span("259:1048575"), &devno), 0);
    assert_true(lethe_devno_is(devno, (struct lethe_devno){259, 1048575}));
    assert_false(lethe_devno_is(devno, (struct lethe_devno){259, 0}));
    assert_false(lethe_devno_is(devno, (struct lethe_devno){0, 1048575}));
}

static void assert_unescapes(const char *text, const char *expected)
{
    struct lethe_arena arena = heap_arena(128);
    struct lethe_span span = exact_span(text);
    assert_string_equal(lethe_text_unescape(&arena, span), expected);
    free((char *)span.at);
    free(arena.base);
}

static void resolves_octal_escapes(void **unused)
{
    (void)unused;
    assert_unescapes("", "");
    assert_unescapes("/a\\040b\\011c\\012d\\134e\\043f", "/a b\tc\nd\\e#f");
    assert_unescapes("\\377", "\xff");
    assert_unescapes("\\040", " ");
    assert_unescapes("\\134040", "\\040"); /* once, not twice */
}

static void leaves_what_is_no_escape(void **unused)
{
    (void)unused;
    assert_unescapes("\\", "\\");
    assert_unescapes("\\04", "\\04");
    assert_unescapes("\\048", "\\048");
    assert_unescapes("\\400", "\\400");
    assert_unescapes("\\000", "\\000");
    assert_unescapes("a\\:b", "a\\:b");
    assert_unescapes("\\\\040", "\\ ");
}

static void unescape_says_when_the_arena_is_full(void **unused)
{
    (void)unused;
    struct lethe_arena arena = heap_arena(16);
    assert_null(lethe_text_unescape(&arena, lethe_span("0123456789abcdef")));
    free(arena.base);
}

static void knows_what_lies_below(void **unused)
{
    (void)unused;
    assert_true(lethe_text_path_below("/run", "/run"));
    assert_true(lethe_text_path_below("/run/user", "/run"));
    assert_false(lethe_text_path_below("/runner", "/run"));
    assert_false(lethe_text_path_below("/", "/run"));
    assert_true(lethe_text_path_below("/run", "/"));
    assert_true(lethe_text_path_below("/", "/"));
}

static void makes_texts_printable(void **unused)
{
    (void)unused;
    char out[64];
    assert_string_equal(lethe_text_printable(out, sizeof out, "/a b~"), "/a b~");
    assert_string_equal(lethe_text_printable(out, sizeof out, "\033[2J\n\\\x7f\xc3\xa4"),
                        "\\033[2J\\012\\134\\177\\303\\244");
}

static void cuts_what_is_too_long_to_print(void **unused)
{
    (void)unused;
    for (size_t size = 1; size < 24; size++) {
        char *out = malloc(size);
        assert_ptr_equal(lethe_text_printable(out, size, "\001\002\003abc"), out);
        assert_true(strlen(out) < size);
        free(out);
    }
    char none = 'x';
    lethe_text_printable(&none, 0, "abc");
    assert_int_equal(none, 'x');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_at_the_separator),
        cmocka_unit_test(compares_the_whole_span),
        cmocka_unit_test(reads_numbers),
        cmocka_unit_test(refuses_what_is_no_number),
        cmocka_unit_test(reads_device_numbers),
        cmocka_unit_test(resolves_octal_escapes),
        cmocka_unit_test(leaves_what_is_no_escape),
        cmocka_unit_test(unescape_says_when_the_arena_is_full),
        cmocka_unit_test(knows_what_lies_below),
        cmocka_unit_test(makes_texts_printable),
        cmocka_unit_test(cuts_what_is_too_long_to_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
