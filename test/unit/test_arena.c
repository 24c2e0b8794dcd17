/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lethe/plan/arena.h"
#include "scene.h"

static void gives_zeroed_and_aligned_memory(void **unused)
{
    (void)unused;
    struct lethe_arena arena = heap_arena(256);
    memset(arena.base, 0xaa, arena.size);
    char *one = lethe_arena_alloc(&arena, 3, 1), *two = lethe_arena_alloc(&arena, 2, 8);
    const char zeroes[16] = {0};
    assert_non_null(one);
    assert_non_null(two);
    assert_int_equal((uintptr_t)two % alignof(max_align_t), 0);
    assert_true(two >= one + 3);
    assert_memory_equal(two, zeroes, 16);
    free(arena.base);
}

static void a_full_arena_answers_null(void **unused)
{
    (void)unused;
    struct lethe_arena arena = heap_arena(64);
    assert_non_null(lethe_arena_alloc(&arena, 4, 16));
    assert_null(lethe_arena_alloc(&arena, 1, 1));
    assert_non_null(lethe_arena_alloc(&arena, 0, 16));
    assert_null(lethe_arena_text(&arena, "", 0));
    lethe_arena_reset(&arena);
    assert_non_null(lethe_arena_text(&arena, "text", 4));
    free(arena.base);
}

static void sizes_that_overflow_are_refused(void **unused)
{
    (void)unused;
    struct lethe_arena arena = heap_arena(64);
    assert_null(lethe_arena_alloc(&arena, SIZE_MAX, 1));
    assert_null(lethe_arena_alloc(&arena, SIZE_MAX / 16 + 2, 16));
    assert_null(lethe_arena_alloc(&arena, SIZE_MAX / 2, SIZE_MAX / 2));
    assert_null(lethe_arena_text(&arena, "", SIZE_MAX));
    assert_int_equal(arena.used, 0);
    free(arena.base);
}

static void a_text_is_copied_and_terminated(void **unused)
{
    (void)unused;
    struct lethe_arena arena = heap_arena(64);
    struct lethe_span span = exact_span("abc");
    assert_string_equal(lethe_arena_text(&arena, span.at, span.n), "abc");
    free((char *)span.at);
    free(arena.base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_zeroed_and_aligned_memory),
        cmocka_unit_test(a_full_arena_answers_null),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(a_text_is_copied_and_terminated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
