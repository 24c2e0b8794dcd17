/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "lethe/kernel/ask.h"

enum { N = 6, HANGS = 2, CRASHES = 4 };

static void ask(void *context, size_t i)
{
    int *answers = context;
    if (i == HANGS)
        pause();
    if (i == CRASHES)
        abort();
    answers[i] = (int)i + 1;
}

/* One hangs and one crashes: the others are answered. */
static void what_is_not_answered_is_passed_over(void **unused)
{
    (void)unused;
    int *answers = lethe_ask_memory(N * sizeof *answers);
    assert_non_null(answers);
    assert_int_equal(lethe_ask(ask, answers, N, 300, 3), 2);
    for (int i = 0; i < N; i++)
        assert_int_equal(answers[i], i == HANGS || i == CRASHES ? 0 : i + 1);
}

static void after_so_many_hangs_nothing_more_is_asked(void **unused)
{
    (void)unused;
    int *answers = lethe_ask_memory(N * sizeof *answers);
    assert_non_null(answers);
    assert_int_equal(lethe_ask(ask, answers, N, 300, 1), N - HANGS);
    assert_int_equal(answers[HANGS - 1], HANGS);
    assert_int_equal(answers[HANGS + 1], 0);
}

static void nothing_to_ask_is_answered(void **unused)
{
    (void)unused;
    assert_int_equal(lethe_ask(ask, NULL, 0, 300, 1), 0);
}

/* Within the limit two hang for their whole time, the others for a tenth of a second; what is
 * answered is answered all the same. */
static void all_together_are_waited_for_only_so_long(void **unused)
{
    (void)unused;
    enum { LONG_MS = 60000 };
    int *answers = lethe_ask_memory(N * sizeof *answers);
    assert_non_null(answers);
    lethe_ask_limit(300);
    for (int i = 0; i < 3; i++)
        assert_int_equal(lethe_ask(ask, answers, N, LONG_MS, 3), 2);
    lethe_ask_limit(INT64_MAX);
    assert_int_equal(answers[N - 1], N);
}

static int answer(const void *context)
{
    int number = *(const int *)context;
    if (number == HANGS)
        pause();
    if (number == CRASHES)
        abort();
    return number;
}

static void one_question_is_answered_by_a_number(void **unused)
{
    (void)unused;
    static const int numbers[] = {0, 1, 127, -1};
    static const int silent[] = {HANGS, CRASHES};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        assert_int_equal(lethe_ask_once(answer, &numbers[i], 60000), numbers[i]);
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++)
        assert_int_equal(lethe_ask_once(answer, &silent[i], 300), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_answered_is_passed_over),
        cmocka_unit_test(after_so_many_hangs_nothing_more_is_asked),
        cmocka_unit_test(all_together_are_waited_for_only_so_long),
        cmocka_unit_test(nothing_to_ask_is_answered),
        cmocka_unit_test(one_question_is_answered_by_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
