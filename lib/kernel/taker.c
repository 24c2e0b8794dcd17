/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/taker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* linux/mman.h */
#endif

enum { MIB = 1 << 20, CHUNK_MAX = 64 * MIB, CHUNK_MIN = 256 << 10, FLOOR = 16 * MIB };
enum { POOLS = 4, POOL_PAGES_MIN = 1024, ROOM_MIN = 1024 * MIB };

static size_t page;

uint64_t lethe_taker_free_bytes(void)
{
    struct sysinfo info;
    return sysinfo(&info) ? 0 : (uint64_t)info.freeram * info.mem_unit;
}

static uint64_t all_bytes(void)
{
    struct sysinfo info;
    return sysinfo(&info) ? 0 : (uint64_t)info.totalram * info.mem_unit;
}

/* A pool is larger than what the kernel's own reclaim (kswapd) may take of it at a time, which
 * grows with the memory: two high watermarks, each a ten-thousandth of it. */
static size_t pool_size(void)
{
    const size_t least = POOL_PAGES_MIN * lethe_sys->page_size();
    size_t size = (size_t)(all_bytes() / 512) & ~((size_t)MIB - 1);
    return size < least ? least : size;
}

uint64_t lethe_taker_floor(int n_processors)
{
    uint64_t all = all_bytes(), sum = (uint64_t)FLOOR * n_processors + POOLS * pool_size();
    return sum < all / 8 ? sum : all / 8;
}

static char *map(size_t size)
{
    char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* Returns how many pages there are, of all that were asked for. */
static uint64_t resident_pages(char *from, size_t size)
{
    static unsigned char resident[4096];
    const size_t window = sizeof resident * page;
    uint64_t sum = 0;
    for (size_t at = 0; at < size; at += window) {
        size_t n = size - at < window ? size - at : window;
        if (mincore(from + at, n, resident))
            return 0;
        for (size_t i = 0; i < n / page; i++)
            sum += resident[i] & 1;
    }
    return sum;
}

static void touch(struct lethe_taker *t, char *at, size_t n)
{
    for (size_t i = 0; i < n; i += page)
        *(volatile char *)(at + i) = 0;
    t->pages += n / page;
}

/* Takes `size` more bytes for as long as the process lives. False when they could not all be had;
 * what a failed call got stays taken. MADV_POPULATE_WRITE exists since Linux 5.14; before, one
 * write to each page does the same. */
static bool take(struct lethe_taker *t, size_t size)
{
    char *chunk = map(size);
    if (!chunk)
        return false;
    int r = madvise(chunk, size, MADV_POPULATE_WRITE) ? errno : 0;
    if (r == EINVAL)
        touch(t, chunk, size);
    else
        t->pages += r ? resident_pages(chunk, size) : size / page;
    return !r || r == EINVAL;
}

void lethe_taker_take_share(struct lethe_taker *t, int n_processors)
{
    const uint64_t floor = lethe_taker_floor(n_processors);
    page = lethe_sys->page_size();
    for (;;) {
        uint64_t left = lethe_taker_free_bytes(), chunk = left > floor ? (left - floor) / 2 : 0;
        chunk /= (uint64_t)n_processors;
        if (chunk > CHUNK_MAX)
            chunk = CHUNK_MAX;
        if (chunk < CHUNK_MIN || !take(t, chunk & ~((size_t)CHUNK_MIN - 1)))
            return;
    }
}

/* Fills a pipe, whose pages are unmovable. False when there can be no more. */
static bool fill_pipe(struct lethe_taker *t)
{
    static char zeroes[64 << 10]; /* not const: it would lie in the program */
    int ends[2];
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC))
        return false;
    ssize_t n = write(ends[1], zeroes, sizeof zeroes);
    t->pages += n > 0 ? (uint64_t)n / page : 0;
    return n > 0;
}

/* The memory of the filler of the rest: pools, one for each turn, each before a gap that nobody
 * touches; what it takes page by page; and room for what mincore(2) says of a pool and its gap. */
struct rest {
    size_t pool_size, gap, room, taken;
    unsigned n_pools;
    char *pools, *pages;
    unsigned char *resident;
};

static char *pool_at(const struct rest *rest, unsigned nth)
{
    return rest->pools + nth * (rest->pool_size + rest->gap);
}

/* Returns how many of the pool's bytes the kernel has not taken yet. The kernel gathers what it
 * says in a page of its own, which it frees as it is (mm/mincore.c): a whole page of it tells of
 * the gap last, so that page is zero then. */
static size_t pool_left(const struct rest *rest, const char *pool)
{
    size_t left = 0;
    if (mincore((void *)pool, rest->pool_size + rest->gap, rest->resident))
        return 0;
    for (size_t i = 0; i < rest->pool_size / page; i++)
        left += rest->resident[i] & 1 ? page : 0;
    return left;
}

/* Takes the pools, at most half of what there is, and nearly all else. */
static bool open_rest(struct lethe_taker *t, struct rest *rest)
{
    enum { NEAR = 1 * MIB };
    const struct rlimit files = {1 << 16, 1 << 16}; /* two for each pipe */
    setrlimit(RLIMIT_NOFILE, &files);
    rest->pool_size = pool_size();
    while (rest->n_pools > 1 && lethe_taker_free_bytes() / 2 < rest->n_pools * rest->pool_size)
        rest->n_pools--;
    rest->gap = page * page;
    const size_t size = rest->n_pools * (rest->pool_size + rest->gap);
    rest->room = rest->n_pools * rest->pool_size;
    rest->room = rest->room > ROOM_MIN ? rest->room : ROOM_MIN;
    rest->pages = map(rest->room);
    rest->pools = map(size);
    rest->resident = (unsigned char *)map((rest->pool_size + rest->gap) / page);
    if (!rest->pools || !rest->pages || !rest->resident)
        return false;
    madvise(rest->pools, size, MADV_NOHUGEPAGE);
    for (unsigned i = 0; i < rest->n_pools; i++)
        touch(t, pool_at(rest, i), rest->pool_size);
    pool_left(rest, rest->pools); /* its answers' room is taken now */
    for (uint64_t left; (left = lethe_taker_free_bytes()) > 2 * NEAR;) {
        uint64_t chunk = (left - NEAR) / 2 < CHUNK_MAX ? (left - NEAR) / 2 : CHUNK_MAX;
        if (!take(t, (size_t)chunk & ~(page - 1)))
            break;
    }
    return true;
}

/* Lets the kernel have a pool, and takes pages until it has taken nearly all of that. */
static void trade(struct lethe_taker *t, struct rest *rest, char *pool)
{
    enum { SLICE = 64 << 10 };
    const size_t size = rest->pool_size;
    madvise(pool, size, MADV_FREE);
    t->pages -= size / page; /* what takes its place is counted */
    while (pool_left(rest, pool) > size / 2 && fill_pipe(t))
        ;
    for (; rest->taken < rest->room && pool_left(rest, pool) > size / 8; rest->taken += SLICE)
        touch(t, rest->pages + rest->taken, SLICE);
}

void lethe_taker_take_rest(struct lethe_taker *t)
{
    page = lethe_sys->page_size();
    struct rest rest = {.n_pools = POOLS};
    if (!open_rest(t, &rest))
        return;
    t->n_turns = rest.n_pools;
    for (unsigned turn = 0;; turn++) {
        trade(t, &rest, pool_at(&rest, turn));
        t->holds = true;
        while (t->turn == turn)
            syscall(SYS_futex, &t->turn, FUTEX_WAIT, turn, NULL);
    }
}

bool lethe_taker_go_on(struct lethe_taker *t)
{
    if (t->turn + 1 >= t->n_turns)
        return false;
    t->holds = false;
    t->turn++;
    syscall(SYS_futex, &t->turn, FUTEX_WAKE, 1);
    return true;
}
