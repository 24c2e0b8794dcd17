/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/slabinfo.h"

#include "lethe/mountinfo.h"

/* The next word of the line, which are set apart by blanks. */
static struct lethe_span next_word(struct lethe_span *line)
{
    struct lethe_span word = {NULL, 0};
    while (line->at && !word.n)
        word = lethe_cut(line, ' ');
    return word;
}

bool lethe_slabinfo(struct lethe_span text, const char *name, struct lethe_slab_cache *cache)
{
    struct lethe_span line;
    uint64_t size;
    while (lethe_next_line(&text, &line))
        if (lethe_span_is(next_word(&line), name))
            return !lethe_number(next_word(&line), UINT64_MAX, &cache->active) &&
                   !lethe_number(next_word(&line), UINT64_MAX, &cache->total) &&
                   !lethe_number(next_word(&line), UINT64_MAX, &size) &&
                   !lethe_number(next_word(&line), UINT64_MAX, &cache->per_slab) &&
                   cache->active <= cache->total;
    return false;
}
