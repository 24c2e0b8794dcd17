/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/read_back.h"

#include <fcntl.h>
#include <linux/kernel-page-flags.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lethe/kernel/filler.h"
#include "lethe/kernel/kcore.h"
#include "lethe/kernel/log.h"
#include "lethe/kernel/sys.h"
#include "lethe/plan/zoneinfo.h"

enum {
    BLOCK = 8192,
    BLOCK_OF_SAMPLE = 512,
    RUN = 16, /* where pages have 4 KiB; as many bytes in any case */
    CONTENT = LETHE_KCORE_PAGE_MAX,
    ZONEINFO_MAX = 256 << 10,
    KPF_RESERVED = 32, /* linux/kernel-page-flags.h has it for the kernel alone */
};

/* What the kernel has in use, which no look can judge. */
enum in_use { SLABS, PAGE_TABLES, RESERVED, OTHERS, N_IN_USE };

static struct {
    struct lethe_kcore kcore;
    int error;   /* why nothing can be seen, or 0 */
    bool missed; /* not all that was to be read could be */
    int page_flags, zoneinfo, offliner;
    uint64_t flags[BLOCK];
    uint64_t in_use[N_IN_USE]; /* pages */
    uint64_t content[CONTENT / sizeof(uint64_t)];
    char text[ZONEINFO_MAX];
} reader;

/* Reads through a file that stays open: it keeps its buffer, so no memory is taken while there is
 * none. */
static struct lethe_span read_zones(void)
{
    size_t used = 0;
    for (ssize_t n = 1; reader.zoneinfo >= 0 && n > 0 && used < sizeof reader.text; used += n) {
        n = pread(reader.zoneinfo, reader.text + used, sizeof reader.text - used, (off_t)used);
        if (n < 0)
            break;
    }
    return (struct lethe_span){reader.text, used};
}

int lethe_read_back_open(void)
{
    reader.zoneinfo = lethe_sys->open("/proc/zoneinfo", O_RDONLY);
    read_zones();
    reader.offliner = lethe_sys->open("/sys/devices/system/memory/soft_offline_page", O_WRONLY);
    reader.error = lethe_kcore_open(&reader.kcore);
    reader.page_flags = lethe_sys->open("/proc/kpageflags", O_RDONLY);
    if (!reader.error && reader.page_flags < 0)
        reader.error = reader.page_flags;
    memset(reader.content, 0, sizeof reader.content);
    memset(reader.flags, 0, sizeof reader.flags);
    return reader.error;
}

void lethe_read_back_close(void)
{
    memset(reader.content, 0, sizeof reader.content);
    lethe_kcore_close(&reader.kcore);
    if (reader.page_flags >= 0)
        lethe_sys->close(reader.page_flags);
    if (reader.zoneinfo >= 0)
        lethe_sys->close(reader.zoneinfo);
    if (reader.offliner >= 0)
        lethe_sys->close(reader.offliner);
}

/* Reads the flags of n pages from `page` on. Returns how many could be read. */
static size_t read_flags(uint64_t page, size_t n, uint64_t *flags)
{
    ssize_t r = pread(reader.page_flags, flags, n * sizeof *flags, (off_t)(page * sizeof *flags));
    reader.missed |= r < 0; /* 0: there are no such pages */
    return r > 0 ? (size_t)r / sizeof *flags : 0;
}

static bool is_free(uint64_t flags)
{
    return flags >> KPF_BUDDY & 1;
}

/* With page_poison=1 the kernel overwrites each page that it frees with PAGE_POISON, which says as
 * little as zeroes do (include/linux/poison.h). */
static bool is_blank(size_t nth)
{
    const size_t words = reader.kcore.page / sizeof *reader.content;
    const uint64_t poison = 0xaaaaaaaaaaaaaaaa, *content = reader.content + nth * words,
                   first = content[0];
    uint64_t other = 0;
    for (size_t i = 1; i < words; i++)
        other |= content[i] ^ first;
    return !other && (!first || first == poison);
}

/* True when the page is still free and not zero. One that was taken meanwhile holds what it
 * should. */
static bool is_left(uint64_t page)
{
    uint64_t flags;
    return lethe_kcore_read(&reader.kcore, page, reader.content, reader.kcore.page) &&
           !is_blank(0) && read_flags(page, 1, &flags) && is_free(flags);
}

static void look_at_run(uint64_t page, size_t n, struct lethe_fill *fill)
{
    if (!lethe_kcore_read(&reader.kcore, page, reader.content, n * reader.kcore.page)) {
        reader.missed = true;
        return;
    }
    bool blank[RUN];
    for (size_t i = 0; i < n; i++)
        blank[i] = is_blank(i);
    for (size_t i = 0; i < n; i++)
        fill->not_zero += !blank[i] && is_left(page + i);
    fill->read_kib += n * (reader.kcore.page / 1024);
}

static void look_at_block(uint64_t page, size_t n, struct lethe_fill *fill)
{
    for (size_t i = 0; i < n;) {
        size_t run = 0;
        while (i + run < n && run < CONTENT / reader.kcore.page && run < RUN &&
               is_free(reader.flags[i + run]))
            run++;
        if (run)
            look_at_run(page + i, run, fill);
        i += run ? run : 1;
    }
}

static void count_in_use(size_t n)
{
    const uint64_t elsewhere = UINT64_C(1) << KPF_BUDDY | UINT64_C(1) << KPF_LRU |
                               UINT64_C(1) << KPF_ANON | UINT64_C(1) << KPF_MMAP |
                               UINT64_C(1) << KPF_NOPAGE;
    for (size_t i = 0; i < n; i++) {
        const uint64_t flags = reader.flags[i];
        if (!(flags & elsewhere))
            reader.in_use[flags >> KPF_SLAB & 1       ? SLABS
                          : flags >> KPF_PGTABLE & 1  ? PAGE_TABLES
                          : flags >> KPF_RESERVED & 1 ? RESERVED
                                                      : OTHERS]++;
    }
}

/* Tells it where the whole was looked at and no filler was at work, whose pipes would count. */
static void tell_in_use(const struct lethe_fill *fill, bool whole)
{
    const uint64_t *n = reader.in_use;
    const unsigned long long kib = reader.kcore.page / 1024;
    if (!fill->is_filled && whole)
        lethe_log(LETHE_LOG_VERBOSE,
                  "not judged, since the kernel has it in use: %llu KiB of slabs, %llu of page "
                  "tables, %llu reserved, %llu others",
                  n[SLABS] * kib, n[PAGE_TABLES] * kib, n[RESERVED] * kib, n[OTHERS] * kib);
}

/* Looks at one block of every `stride`. */
static void look_everywhere(uint64_t stride, int64_t end_ms, struct lethe_fill *fill)
{
    uint64_t after = 0;
    for (uint64_t page = 0;; page++) {
        page = lethe_kcore_next(&reader.kcore, page, &after);
        if (page == UINT64_MAX)
            return;
        if (lethe_sys_now_ms() > end_ms) {
            reader.missed = true;
            return;
        }
        const size_t size = stride > 1 ? BLOCK_OF_SAMPLE : BLOCK;
        size_t n = after - page < size ? (size_t)(after - page) : size;
        n = read_flags(page, n, reader.flags);
        count_in_use(n);
        look_at_block(page, n, fill);
        page = n ? page + n * stride - 1 : after - 1;
    }
}

/* Returns a page of the zone that is free and zero, or UINT64_MAX. */
static uint64_t find_blank(const struct lethe_zone *zone, int64_t end_ms)
{
    const uint64_t after = zone->first + zone->spanned;
    for (uint64_t page = zone->first; page < after && lethe_sys_now_ms() < end_ms; page += BLOCK) {
        size_t n = after - page < BLOCK ? (size_t)(after - page) : BLOCK;
        n = read_flags(page, n, reader.flags);
        for (size_t i = 0; i < n; i++)
            if (is_free(reader.flags[i]) &&
                lethe_kcore_read(&reader.kcore, page + i, reader.content, reader.kcore.page) &&
                is_blank(0))
                return page + i;
    }
    return UINT64_MAX;
}

void lethe_read_back_drain(int64_t end_ms)
{
    struct lethe_zone zone;
    struct lethe_span zones = read_zones();
    while (!reader.error && reader.offliner >= 0 && lethe_zoneinfo_next(&zones, &zone)) {
        char text[24];
        const uint64_t page = zone.kept ? find_blank(&zone, end_ms) : UINT64_MAX;
        if (page == UINT64_MAX)
            continue;
        int n = snprintf(text, sizeof text, "%llu", (unsigned long long)page * reader.kcore.page);
        (void)!pwrite(reader.offliner, text, (size_t)n, 0);
    }
}

uint64_t lethe_read_back_kept_kib(void)
{
    return lethe_zoneinfo_kept(read_zones()) * (lethe_sys->page_size() / 1024);
}

void lethe_read_back(uint64_t pages_max, int64_t end_ms, struct lethe_fill *fill)
{
    const size_t page_kib = reader.kcore.page / 1024;
    uint64_t free_pages = lethe_filler_free_kib() / page_kib;
    uint64_t stride = pages_max && pages_max < free_pages ? free_pages / pages_max : 1;
    fill->look = LETHE_FILL_LOOK_NONE;
    fill->read_kib = fill->not_zero = 0;
    reader.missed = false;
    memset(reader.in_use, 0, sizeof reader.in_use);
    if (!pages_max)
        lethe_read_back_drain(end_ms);
    if (!reader.error)
        look_everywhere(stride, end_ms, fill);
    tell_in_use(fill, !reader.error && stride == 1);
    fill->kept_kib = lethe_read_back_kept_kib();
    fill->look = reader.error    ? LETHE_FILL_LOOK_REFUSED
                 : reader.missed ? LETHE_FILL_LOOK_PART
                                 : LETHE_FILL_LOOK_WHOLE;
}
