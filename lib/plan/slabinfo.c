/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/slabinfo.h"

#include <string.h>

#include "lethe/plan/mountinfo.h"

/* Cuts the next word of the line; words are separated by blanks. */
static struct lethe_span next_word(struct lethe_span *line)
{
    struct lethe_span word = {NULL, 0};
    while (line->at && !word.n)
        word = lethe_text_cut(line, ' ');
    return word;
}

/* Reads the size from the end of the cache's name, since a debugged cache's objects are larger by
 * what the debugging adds. */
static void read_size(struct lethe_slabinfo_cache *cache)
{
    struct lethe_span rest = cache->name, word = rest;
    uint64_t size;
    while (rest.at)
        word = lethe_text_cut(&rest, '-');
    const bool kib = word.at && word.n && word.at[word.n - 1] == 'k';
    word.n -= kib;
    if (!lethe_text_number(word, UINT64_MAX >> 10, &size))
        cache->size = kib ? size << 10 : size;
}

static bool read_line(struct lethe_span line, struct lethe_slabinfo_cache *cache)
{
    cache->name = next_word(&line);
    bool good = !lethe_text_number(next_word(&line), UINT64_MAX, &cache->active) &&
                !lethe_text_number(next_word(&line), UINT64_MAX, &cache->total) &&
                !lethe_text_number(next_word(&line), UINT64_MAX, &cache->size) &&
                !lethe_text_number(next_word(&line), UINT64_MAX, &cache->per_slab) &&
                cache->active <= cache->total;
    read_size(cache);
    return good;
}

bool lethe_slabinfo_next(struct lethe_span *text, struct lethe_slabinfo_cache *cache)
{
    struct lethe_span line;
    while (lethe_text_next_line(text, &line))
        if (read_line(line, cache))
            return true;
    return false;
}

enum { KEY_MAX = 32768 }; /* of a key's payload */

/* kmalloc-cg- holds messages, and the attributes of files since 6.6; where messages have caches of
 * their own (6.11), attributes alone. Their names too lie in caches too small for a message.
 * Names that their dentry has no room for have 65 bytes or more in Linux 7.2.
 * kmalloc-rnd- is sixteen families, chosen by the calling place in the kernel. memdup_user- and
 * names_cache hold what system calls copy from their callers. */
static const struct lethe_slabinfo_family families[] = {
    {"task_struct", 0, UINT64_MAX, {LETHE_SLABINFO_PROCESS}, false},
    {"dentry", 0, UINT64_MAX, {LETHE_SLABINFO_NAME}, false},
    {"kmalloc-", 0, 128, {LETHE_SLABINFO_LINK}, false},
    {"kmalloc-", 129, KEY_MAX, {LETHE_SLABINFO_KEY}, false},
    {"kmalloc-", KEY_MAX + 1, UINT64_MAX, {LETHE_SLABINFO_NO_MAKER}, false},
    {"kmalloc-rcl-", 64, 64, {LETHE_SLABINFO_LONG_NAME}, true},
    {"kmalloc-rcl-", 65, 512, {LETHE_SLABINFO_LONG_NAME}, false},
    {"kmalloc-cg-", 16, 63, {LETHE_SLABINFO_ATTRIBUTE_NAME}, true},
    {"kmalloc-cg-", 64, 4096, {LETHE_SLABINFO_MESSAGE, LETHE_SLABINFO_ATTRIBUTE}, false},
    {"kmalloc-cg-", 4097, UINT64_MAX, {LETHE_SLABINFO_ATTRIBUTE}, true},
    {"msg_msg-", 64, 4096, {LETHE_SLABINFO_MESSAGE}, false},
    {"skbuff_small_head", 0, UINT64_MAX, {LETHE_SLABINFO_DATAGRAM}, false},
    {"kmalloc-rnd-", 0, UINT64_MAX, {LETHE_SLABINFO_NO_MAKER}, false},
    {"memdup_user-", 16, UINT64_MAX, {LETHE_SLABINFO_NO_MAKER}, false},
    {"names_cache", 0, UINT64_MAX, {LETHE_SLABINFO_NO_MAKER}, false},
};

/* The name of a family of sizes ends in '-'; a digit follows, or in kmalloc-rnd- two numbers. */
static bool is_of(const struct lethe_slabinfo_cache *cache, const struct lethe_slabinfo_family *f)
{
    const size_t n = strlen(f->name);
    if (f->name[n - 1] != '-')
        return lethe_span_is(cache->name, f->name);
    return cache->name.n > n && !memcmp(cache->name.at, f->name, n) && cache->name.at[n] >= '0' &&
           cache->name.at[n] <= '9' && cache->size >= f->from && cache->size <= f->to;
}

const struct lethe_slabinfo_family *lethe_slabinfo_family(const struct lethe_slabinfo_cache *cache)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (is_of(cache, &families[i]))
            return &families[i];
    return NULL;
}
