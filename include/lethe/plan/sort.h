/* SPDX-License-Identifier: GPL-3.0-or-later */
/* sort: a merge sort. It keeps the order of equals, and asks for half as many comparisons as musl's
 * qsort(3), for as good as none where there is an order already: what the kernel lists mostly has
 * one. */
#ifndef LETHE_PLAN_SORT_H
#define LETHE_PLAN_SORT_H

#include <stddef.h>

/* Sorts n objects of `size` bytes; `room` is as large as half of them, rounded up. */
void lethe_sort(void *objects, size_t n, size_t size, void *room,
                int (*compare)(const void *, const void *));

/* The place of the first of n sorted objects that is not below `key`, n for none. */
size_t lethe_sort_find(const void *objects, size_t n, size_t size, const void *key,
                       int (*compare)(const void *, const void *));

#endif
