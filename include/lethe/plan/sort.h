/* SPDX-License-Identifier: GPL-3.0-or-later */
/* sort: a merge sort that keeps the order of equals. It makes half as many comparisons as musl's
 * qsort(3), and next to none where there is an order already, which what the kernel lists mostly
 * has. */
#ifndef LETHE_PLAN_SORT_H
#define LETHE_PLAN_SORT_H

#include <stddef.h>

/* Sorts n objects of `size` bytes; `room` is as large as half of them, rounded up. */
void lethe_sort(void *objects, size_t n, size_t size, void *room,
                int (*compare)(const void *, const void *));

/* Returns the place of the first of n sorted objects that is not below `key`, n for none. */
size_t lethe_sort_find(const void *objects, size_t n, size_t size, const void *key,
                       int (*compare)(const void *, const void *));

#endif
