/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * arena: memory for one snapshot and its plan.
 *
 * Whoever calls owns the region and says how large it is; a snapshot, its texts and its plan are
 * cut from it and given back all at once by lethe_arena_reset(). Nothing is ever freed singly and
 * nothing grows, so a full arena is an ordinary answer (NULL) that its callers turn into -ENOMEM:
 * the last minute of a machine whose memory is full is foreseen, not fatal.
 */
#ifndef LETHE_PLAN_ARENA_H
#define LETHE_PLAN_ARENA_H

#include <stddef.h>

struct lethe_arena {
    char *base; /* owned by the caller, aligned for any object */
    size_t size;
    size_t used;
};

/* Zeroed memory for n objects of `size` bytes, aligned for any object; NULL when the arena is full
 * or n * size overflows. */
void *lethe_arena_alloc(struct lethe_arena *arena, size_t n, size_t size);

/* As lethe_arena_alloc() without the zeroes, for memory that is written before it is read: what
 * lies beyond the used part of a large table is never touched. */
void *lethe_arena_take(struct lethe_arena *arena, size_t n, size_t size);

/* Copies the n bytes at text, with a NUL behind them; NULL when the arena is full. */
char *lethe_arena_text(struct lethe_arena *arena, const char *text, size_t n);

/* Gives everything back. */
void lethe_arena_reset(struct lethe_arena *arena);

#endif
