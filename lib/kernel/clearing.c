/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/clearing.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "lethe/kernel/kcore.h"

enum { PAGES = 64 };

static const char mark[] = "lethe looks whether this is gone";

/* Counts the pages that hold the mark, and those that hold nothing but zeroes. */
static void look(const struct lethe_kcore *kcore, const uint64_t *pages, unsigned *marked,
                 unsigned *zero)
{
    char found[sizeof mark];
    static const char nothing[sizeof mark];
    *marked = *zero = 0;
    for (size_t i = 0; i < PAGES; i++) {
        if (!lethe_kcore_read(kcore, pages[i], found, sizeof found))
            continue;
        *marked += !memcmp(found, mark, sizeof mark);
        *zero += !memcmp(found, nothing, sizeof nothing);
    }
}

static enum lethe_clearing try(const struct lethe_kcore *kcore)
{
    uint64_t numbers[PAGES];
    unsigned marked, zero;
    char *pages =
        mmap(NULL, PAGES * kcore->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return LETHE_CLEARING_UNKNOWN;
    madvise(pages, PAGES * kcore->page, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < PAGES; i++) {
        memcpy(pages + i * kcore->page, mark, sizeof mark);
        numbers[i] = lethe_kcore_page_of(kcore, pages + i * kcore->page);
    }
    look(kcore, numbers, &marked, &zero);
    munmap(pages, PAGES * kcore->page);
    if (marked < PAGES)
        return LETHE_CLEARING_UNKNOWN;
    look(kcore, numbers, &marked, &zero);
    /* A few pages may still be in another processor's batch on the way to the LRU lists, or in use
     * again. */
    if (zero > PAGES / 2)
        return LETHE_CLEARING_ZERO;
    return marked > PAGES / 2 ? LETHE_CLEARING_NONE : LETHE_CLEARING_POISON;
}

enum lethe_clearing lethe_clearing_look(void)
{
    static struct lethe_kcore kcore;
    if (lethe_kcore_open(&kcore))
        return LETHE_CLEARING_UNKNOWN;
    enum lethe_clearing found = try(&kcore);
    lethe_kcore_close(&kcore);
    return found;
}
