/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lethe/plan/page.h"
#include "lethe/plan/words.h"
#include "scene.h"

static unsigned lines_told;

static void tell(void *context, const char *file, size_t line, struct lethe_span text,
                 const char *why)
{
    (void)context, (void)file, (void)line, (void)text;
    assert_non_null(why);
    lines_told++;
}

static struct lethe_words parse(const char *file, unsigned told)
{
    struct lethe_words words;
    struct lethe_span text = exact_span(file);
    const struct lethe_complaint complaint = {tell, NULL};
    lines_told = 0;
    lethe_words_default(&words);
    assert_int_equal(lethe_words_parse(&words, text, &complaint), told);
    assert_int_equal(lines_told, told);
    free((char *)text.at);
    return words;
}

static void takes_a_file_of_words(void **unused)
{
    (void)unused;
    struct lethe_words w = parse("# Deutsch\n\ndone=Alles gel\xc3\xb6scht.\nfiles=a=b", 0);
    assert_string_equal(w.text[LETHE_WORD_DONE], "Alles gel\xc3\xb6scht.");
    assert_string_equal(w.text[LETHE_WORD_FILES], "a=b");
    assert_string_equal(w.text[LETHE_WORD_MEMORY], "Free memory");
}

static void what_could_harm_a_terminal_is_told_and_not_taken(void **unused)
{
    (void)unused;
    static const char *const bad[] = {"done=\033[2J",
                                      "done=a\tb",
                                      "done=\xc2\x9b[2J", /* CSI as one character */
                                      "done=\xff",
                                      "done=\xc3",
                                      "done=a\xe2\x82",
                                      "done=\xc0\xaf",
                                      "done=\x7f",
                                      "done=",
                                      "done",
                                      "nothing=known",
                                      "=x",
                                      "done=\xed\xa0\x80" /* half of a pair */};
    for (size_t i = 0; i < sizeof bad / sizeof *bad - 1; i++) {
        struct lethe_words w = parse(bad[i], 1);
        assert_string_equal(w.text[LETHE_WORD_DONE],
                            "All is erased. The boot medium can be taken out.");
    }
    char long_line[LETHE_WORD_BYTES + 10] = "done=";
    memset(long_line + 5, 'x', LETHE_WORD_BYTES);
    parse(long_line, 0);
    long_line[LETHE_WORD_BYTES + 5] = 'x';
    parse(long_line, 1);
}

static void reads_a_language(void **unused)
{
    (void)unused;
    static const struct {
        const char *locale, *name;
    } cases[] = {{"de_DE.UTF-8", "de"}, {"pt", "pt"}, {"ca@valencia", "ca"},
                 {"fil_PH", "fil"},     {"C", ""},    {"C.UTF-8", ""},
                 {"POSIX", ""},         {"", ""},     {"../../x", ""},
                 {"deutsch", ""},       {"de/..", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[4];
        struct lethe_span locale = exact_span(cases[i].locale);
        assert_int_equal(lethe_words_language(locale, name), cases[i].name[0] != 0);
        assert_string_equal(name, cases[i].name);
        free((char *)locale.at);
    }
}

static void reads_a_setting(void **unused)
{
    (void)unused;
    struct lethe_span file = lethe_span("#LANG=no\nLANG=\"fr_FR\"\nLC_ALL='x'\nLANG=\"de_DE\"\n");
    assert_true(lethe_span_is(lethe_words_setting(file, "LANG"), "de_DE"));
    assert_true(lethe_span_is(lethe_words_setting(file, "LC_ALL"), "x"));
    assert_true(lethe_span_is(lethe_words_setting(file, "LC_MESSAGES"), ""));
}

/* What the terminal shows of it, as rows of text; every place that is written must lie on it. */
static char screen[80][200];

static void play(const char *out, unsigned rows, unsigned columns)
{
    unsigned row = 1, column = 1;
    memset(screen, 0, sizeof screen);
    for (const char *at = out; *at;) {
        if (at[0] == '\033') {
            size_t n = strcspn(at + 1, "HmJKGlh]") + 2;
            if (at[n - 1] == 'H')
                assert_int_equal(sscanf(at, "\033[%u;%uH", &row, &column), 2);
            at += n;
            continue;
        }
        assert_in_range(row, 1, rows);
        assert_in_range(column, 1, columns);
        screen[row - 1][column - 1] = *at;
        if ((at[1] & 0xc0) != 0x80)
            column++;
        at++;
    }
}

static bool shows(const char *text)
{
    for (size_t row = 0; row < 80; row++) {
        for (size_t i = 0; i < sizeof screen[0] - 1; i++)
            if (!screen[row][i])
                screen[row][i] = ' ';
        if (strstr(screen[row], text))
            return true;
    }
    return false;
}

static void fits_on_screens_of_any_size(void **unused)
{
    (void)unused;
    static char out[LETHE_PAGE_BYTES], lines[LETHE_PAGE_LINES][LETHE_PAGE_LINE];
    static const unsigned sizes[][2] = {{25, 80}, {67, 199}, {5, 20}, {12, 40}, {30, 100}};
    struct lethe_words words;
    lethe_words_default(&words);
    for (size_t i = 0; i < LETHE_PAGE_LINES; i++) {
        memset(lines[i], 'a' + (int)i, LETHE_PAGE_LINE - 1);
        memcpy(lines[i] + 100, " b ", 3);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int state = LETHE_PAGE_WORKING; state <= LETHE_PAGE_LEFT; state++) {
            struct lethe_page page = {.words = &words, .rows = sizes[i][0], .columns = sizes[i][1]};
            page.state = (enum lethe_page_state)state;
            page.left = 7;
            page.label = LETHE_WORD_FILES;
            page.done_kib = UINT64_MAX, page.all_kib = 2048;
            page.lines = (const char(*)[LETHE_PAGE_LINE])lines;
            page.n_lines = LETHE_PAGE_LINES;
            unsigned bar = lethe_page_print(out, &page);
            assert_int_equal(bar != 0, state == LETHE_PAGE_WORKING);
            if (sizes[i][0] > 5)
                play(out, sizes[i][0], sizes[i][1]);
        }
}

static void says_what_is_left(void **unused)
{
    (void)unused;
    static char out[LETHE_PAGE_BYTES];
    static char lines[1][LETHE_PAGE_LINE] = {"poweroff after 1 s: NOT all is gone"};
    struct lethe_words words;
    lethe_words_default(&words);
    struct lethe_page page = {.words = &words, .rows = 25, .columns = 80, .n_lines = 1};
    page.lines = (const char(*)[LETHE_PAGE_LINE])lines;
    page.state = LETHE_PAGE_LEFT;
    page.left = LETHE_PAGE_LEFT_MEMORY;
    lethe_page_print(out, &page);
    play(out, 25, 80);
    assert_true(shows("NOT everything could be erased."));
    assert_true(shows("Free memory was not overwritten"));
    assert_false(shows("Some files"));
    assert_true(shows("without power for ten minutes"));
    assert_true(shows("poweroff after 1 s: NOT all is gone"));
}

static void the_bar_counts(void **unused)
{
    (void)unused;
    static char out[LETHE_PAGE_BYTES];
    struct lethe_words words;
    lethe_words_default(&words);
    struct lethe_page page = {
        .words = &words, .rows = 25, .columns = 80, .label = LETHE_WORD_FILES};
    page.done_kib = 10 << 10;
    page.all_kib = 40 << 10;
    lethe_page_print_bar(out, &page, 9);
    play(out, 25, 80);
    assert_true(shows("Files: 10 / 40 MiB"));
    assert_int_equal(screen[8][4], '[');
    assert_int_equal(screen[8][75], ']');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_a_file_of_words),
        cmocka_unit_test(what_could_harm_a_terminal_is_told_and_not_taken),
        cmocka_unit_test(reads_a_language),
        cmocka_unit_test(reads_a_setting),
        cmocka_unit_test(fits_on_screens_of_any_size),
        cmocka_unit_test(says_what_is_left),
        cmocka_unit_test(the_bar_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
