/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/sort.h"

#include <string.h>

/* Merges the first half, of which `room` has a copy, with the second, which ends where the result
 * ends. */
static void merge(char *out, const char *first, const char *end, const char *second,
                  const char *limit, size_t size, int (*compare)(const void *, const void *))
{
    while (first < end && second < limit) {
        const char **next = compare(first, second) <= 0 ? &first : &second;
        memcpy(out, *next, size);
        *next += size;
        out += size;
    }
    memcpy(out, first, (size_t)(end - first));
}

void lethe_sort(void *objects, size_t n, size_t size, void *room,
                int (*compare)(const void *, const void *))
{
    if (n < 2)
        return;
    const size_t half = n / 2;
    char *first = objects, *second = first + half * size;
    lethe_sort(first, half, size, room, compare);
    lethe_sort(second, n - half, size, room, compare);
    if (compare(second - size, second) <= 0)
        return;
    memcpy(room, first, half * size);
    merge(first, room, (char *)room + half * size, second, second + (n - half) * size, size,
          compare);
}

size_t lethe_sort_find(const void *objects, size_t n, size_t size, const void *key,
                       int (*compare)(const void *, const void *))
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare((const char *)objects + middle * size, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
