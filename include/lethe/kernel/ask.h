/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ask: questions that may never be answered, such as one to a file system whose server has stopped.
 * They are asked by a child, which is left behind when it hangs.
 */
#ifndef LETHE_KERNEL_ASK_H
#define LETHE_KERNEL_ASK_H

#include <stddef.h>
#include <stdint.h>

/* Returns zeroed memory that a child and its parent both see, never freed; NULL where there is
 * none. */
void *lethe_ask_memory(size_t size);

/* From here on, all questions together are waited for in vain no longer than `ms`; once that is over
 * each still has a tenth of a second, which is plenty where somebody answers. */
void lethe_ask_limit(int64_t ms);

/* Calls ask(context, i) in a child for each i below n, in order. One that takes longer than `ms` is
 * passed over, and after `hangs` of them the rest is. Answers have to be put into shared memory.
 * Returns how many were passed over; n where there can be no child. */
size_t lethe_ask(void (*ask)(void *context, size_t i), void *context, size_t n, int64_t ms,
                 unsigned hangs);

/* Calls ask(context) in a child, whose exit status is the answer: it needs no memory. Returns what
 * ask() returned (-1 to 127), -1 after `ms` without an answer or where there can be no child. */
int lethe_ask_once(int (*ask)(const void *context), const void *context, int64_t ms);

#endif
