/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lethe/plan/sort.h"

struct item {
    unsigned key, place;
};

static unsigned compared;

static int compare(const void *left, const void *right)
{
    const struct item *a = left, *b = right;
    compared++;
    return (a->key > b->key) - (a->key < b->key);
}

/* On the heap and no larger than told, so that a sanitizer sees every write beyond. */
static struct item *make(size_t n)
{
    struct item *items = malloc((n ? n : 1) * sizeof *items);
    if (!items)
        abort();
    return items;
}

static void sort(struct item *items, size_t n)
{
    struct item *room = make((n + 1) / 2);
    compared = 0;
    lethe_sort(items, n, sizeof *items, room, compare);
    free(room);
}

static void sorts_and_keeps_the_order_of_equals(void **unused)
{
    (void)unused;
    for (unsigned n = 0; n < 70; n++) {
        struct item *items = make(n);
        for (unsigned i = 0; i < n; i++)
            items[i] = (struct item){i * 2654435761U >> 28, i};
        sort(items, n);
        for (unsigned i = 1; i < n; i++)
            assert_true(items[i - 1].key < items[i].key ||
                        (items[i - 1].key == items[i].key && items[i - 1].place < items[i].place));
        free(items);
    }
}

static void what_is_sorted_is_looked_over_once(void **unused)
{
    (void)unused;
    enum { N = 1000 };
    struct item *items = make(N);
    for (unsigned i = 0; i < N; i++)
        items[i] = (struct item){i, i};
    sort(items, N);
    assert_int_equal(compared, N - 1);
    free(items);
}

static void finds_the_first_that_is_not_below(void **unused)
{
    (void)unused;
    const struct item items[] = {{2, 0}, {4, 1}, {4, 2}, {6, 3}};
    const size_t places[] = {0, 0, 0, 1, 1, 3, 3, 4};
    for (unsigned key = 0; key < 8; key++)
        assert_int_equal(lethe_sort_find(items, 4, sizeof *items, &(struct item){key, 0}, compare),
                         places[key]);
    assert_int_equal(lethe_sort_find(items, 0, sizeof *items, &items[0], compare), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorts_and_keeps_the_order_of_equals),
        cmocka_unit_test(what_is_sorted_is_looked_over_once),
        cmocka_unit_test(finds_the_first_that_is_not_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
