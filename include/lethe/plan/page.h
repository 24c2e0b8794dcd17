/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * page: what the person in front of the screen reads at the end, laid out for a terminal of any
 * size in the control sequences of console_codes(4).
 */
#ifndef LETHE_PLAN_PAGE_H
#define LETHE_PLAN_PAGE_H

#include "lethe/plan/words.h"

enum lethe_page_state {
    LETHE_PAGE_WORKING, /* a headline, and a bar that moves */
    LETHE_PAGE_DONE,    /* one sentence */
    LETHE_PAGE_LEFT,    /* what is left, what that means and what to do */
};

/* What is left, as far as a person can make use of it; these are bits. */
enum {
    LETHE_PAGE_LEFT_FILES = 1,
    LETHE_PAGE_LEFT_MEMORY = 2,
    LETHE_PAGE_LEFT_PARTS = 4,
};

enum { LETHE_PAGE_LINES = 8, LETHE_PAGE_LINE = 320, LETHE_PAGE_BYTES = 8192 };

/* The bar has `label` beside it and shows how much of all_kib is done. The technical lines are
 * printable ASCII; the last that have room are shown. */
struct lethe_page {
    const struct lethe_words *words;
    unsigned columns, rows;
    enum lethe_page_state state;
    unsigned left; /* LETHE_PAGE_LEFT_*, or'ed */
    enum lethe_word label;
    uint64_t done_kib, all_kib;
    const char (*lines)[LETHE_PAGE_LINE];
    size_t n_lines;
};

/* Writes the whole page, which begins with clearing the screen, into out[LETHE_PAGE_BYTES]. Returns
 * the row of the bar, 0 where the state has none. */
unsigned lethe_page_print(char *out, const struct lethe_page *page);

/* Writes the bar alone, in its row. */
void lethe_page_print_bar(char *out, const struct lethe_page *page, unsigned row);

#endif
