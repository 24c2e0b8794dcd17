/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

void *lethe_arena_take(struct lethe_arena *arena, size_t n, size_t size)
{
    const size_t mask = alignof(max_align_t) - 1;
    if (size && n > (SIZE_MAX - mask) / size)
        return NULL;
    size_t bytes = (n * size + mask) & ~mask;
    if (bytes > arena->size - arena->used)
        return NULL;
    void *object = arena->base + arena->used;
    arena->used += bytes;
    return object;
}

void *lethe_arena_alloc(struct lethe_arena *arena, size_t n, size_t size)
{
    void *object = lethe_arena_take(arena, n, size);
    return object ? memset(object, 0, n * size) : NULL;
}

char *lethe_arena_text(struct lethe_arena *arena, const char *text, size_t n)
{
    char *copy = n < SIZE_MAX ? lethe_arena_take(arena, n + 1, 1) : NULL;
    if (!copy)
        return NULL;
    copy[n] = '\0';
    return memcpy(copy, text, n);
}

void lethe_arena_reset(struct lethe_arena *arena)
{
    arena->used = 0;
}
