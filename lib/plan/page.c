/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/page.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PLAIN "\033[0m"
#define BOLD "\033[1m"
#define REVERSE "\033[7m"
#define DIM "\033[0;36m"
/* UTF-8, no cursor, never blank (setterm(1)), everything cleared. */
#define CLEAR "\033%G\033[?25l\033[9;0]\033[14;0]\033[13]" PLAIN "\033[2J\033[3J"

enum { WIDEST = 100 };

struct printer {
    char *out;
    size_t used;
    unsigned row, column, width, rows;
};

static __attribute__((format(printf, 2, 3))) void put(struct printer *p, const char *format, ...)
{
    va_list list;
    size_t room = LETHE_PAGE_BYTES - p->used;
    va_start(list, format);
    int n = vsnprintf(p->out + p->used, room, format, list);
    va_end(list);
    if (n > 0 && (size_t)n < room)
        p->used += (size_t)n;
    p->out[p->used] = '\0';
}

static struct printer begin(char *out, const struct lethe_page *page)
{
    unsigned columns = page->columns < 20 ? 20 : page->columns;
    unsigned margin = columns > WIDEST + 8 ? (columns - WIDEST) / 2 : columns / 20;
    struct printer p = {.out = out, .column = margin + 1, .width = columns - 2 * margin};
    p.rows = page->rows < 5 ? 5 : page->rows;
    p.row = p.rows / 8 + 1;
    out[0] = '\0';
    return p;
}

/* Returns how many bytes of `text` go into one line: whole words, where one fits. */
static size_t fitting(const char *text, unsigned width)
{
    size_t at = 0, good = 0, left = strlen(text);
    for (unsigned columns = 0; at < left; columns++) {
        if (text[at] == ' ')
            good = at;
        if (columns == width)
            return good ? good : at;
        size_t n = lethe_words_character(text + at, left - at);
        at += n ? n : 1;
    }
    return at;
}

/* Returns how many rows the text takes, and prints it unless `look` is set. */
static unsigned wrap(struct printer *p, const char *attribute, const char *text, bool look)
{
    unsigned rows = 0;
    for (size_t n; *text; text += n + strspn(text + n, " "), rows++) {
        n = fitting(text, p->width);
        if (!look && p->row <= p->rows)
            put(p, "\033[%u;%uH%s%.*s" PLAIN, p->row++, p->column, attribute, (int)n, text);
    }
    return rows;
}

static void paragraph(struct printer *p, const char *attribute, const char *text)
{
    wrap(p, attribute, text, false);
    p->row++;
}

static void put_lines(struct printer *p, const struct lethe_page *page)
{
    size_t first = page->n_lines;
    unsigned room = p->rows >= p->row ? p->rows - p->row + 1 : 0;
    for (unsigned rows; first; first--, room -= rows) {
        rows = wrap(p, DIM, page->lines[first - 1], true);
        if (rows > room)
            break;
    }
    for (; first < page->n_lines; first++)
        wrap(p, DIM, page->lines[first], false);
}

static void put_left(struct printer *p, const struct lethe_page *page)
{
    static const struct {
        unsigned bit;
        enum lethe_word word;
    } kinds[] = {{LETHE_PAGE_LEFT_FILES, LETHE_WORD_LEFT_FILES},
                 {LETHE_PAGE_LEFT_MEMORY, LETHE_WORD_LEFT_MEMORY},
                 {LETHE_PAGE_LEFT_PARTS, LETHE_WORD_LEFT_PARTS}};
    paragraph(p, BOLD REVERSE, page->words->text[LETHE_WORD_LEFT]);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (page->left & kinds[i].bit)
            wrap(p, "", page->words->text[kinds[i].word], false);
    wrap(p, "", page->words->text[LETHE_WORD_MEANS], false);
    p->row++;
    paragraph(p, BOLD, page->words->text[LETHE_WORD_ADVICE]);
}

static void put_bar(struct printer *p, const struct lethe_page *page)
{
    unsigned width = p->width > 30 ? p->width - 2 : 28;
    uint64_t all = page->all_kib ? page->all_kib : 1;
    uint64_t done = page->done_kib < all ? page->done_kib : all;
    unsigned filled = (unsigned)(done * width / all);
    put(p, "\033[%u;%uH[" REVERSE "%*s" PLAIN "%*s]", p->row, p->column, (int)filled, "",
        (int)(width - filled), "");
    put(p, "\033[%u;%uH\033[K%.*s: %llu / %llu MiB", p->row + 1, p->column, LETHE_WORD_BYTES,
        page->words->text[page->label], (unsigned long long)done >> 10,
        (unsigned long long)all >> 10);
}

unsigned lethe_page_print(char *out, const struct lethe_page *page)
{
    unsigned bar = 0;
    struct printer p = begin(out, page);
    put(&p, "%s", CLEAR);
    if (page->state == LETHE_PAGE_WORKING) {
        paragraph(&p, BOLD, page->words->text[LETHE_WORD_WORKING]);
        paragraph(&p, "", page->words->text[LETHE_WORD_HANDS]);
        bar = p.row;
        put_bar(&p, page);
        p.row += 3;
    } else if (page->state == LETHE_PAGE_DONE) {
        paragraph(&p, BOLD, page->words->text[LETHE_WORD_DONE]);
        p.row++;
    } else {
        put_left(&p, page);
    }
    put_lines(&p, page);
    return bar;
}

void lethe_page_print_bar(char *out, const struct lethe_page *page, unsigned row)
{
    struct printer p = begin(out, page);
    p.row = row;
    put_bar(&p, page);
}
