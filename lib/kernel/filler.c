/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/filler.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* linux/mman.h */
#endif

enum { MIB = 1 << 20, DECOYS = 8, TAKERS_MAX = 4 * CPU_SETSIZE, POLL_MS = 2 };
enum { CHUNK_MAX = 64 * MIB, CHUNK_MIN = 256 << 10, FLOOR = 16 * MIB, POOL_PAGES_MIN = 1024 };

struct taker {
    pid_t pid;
    _Atomic bool holds; /* it has what it could get, and takes no more */
    _Atomic uint64_t pages;
};

static struct {
    size_t page;
    cpu_set_t processors;
    int n_processors;
    struct taker *takers; /* shared with them; the first is that of the rest */
    int n_takers;
    pid_t decoys[DECOYS];
    char printk[64]; /* what was set before */
} filler;

static uint64_t free_bytes(void)
{
    struct sysinfo info;
    return sysinfo(&info) ? 0 : (uint64_t)info.freeram * info.mem_unit;
}

uint64_t lethe_filler_free_kib(void)
{
    return free_bytes() >> 10;
}

static void lower_reserves(void)
{
    static const struct lethe_sys_setting settings[] = {
        {"/proc/sys/vm/panic_on_oom", "0"},
        {"/proc/sys/vm/oom_kill_allocating_task", "0"},
        {"/proc/sys/vm/overcommit_memory", "1"},
        {"/proc/sys/vm/min_free_kbytes", "0"},
        {"/proc/sys/vm/oom_dump_tasks", "0"},
        {"/proc/sys/vm/watermark_scale_factor", "1"},
        {"/proc/sys/vm/watermark_boost_factor", "0"},
        {"/proc/sys/vm/admin_reserve_kbytes", "0"},
        {"/proc/sys/vm/user_reserve_kbytes", "0"},
        {"/proc/sys/vm/lowmem_reserve_ratio", "0 0 0 0 0"},
    };
    lethe_sys_write_settings(settings, sizeof settings / sizeof *settings);
}

static void wait_to_be_killed(void)
{
    for (;;)
        pause();
}

static pid_t start(const char *oom_score)
{
    pid_t child = fork();
    if (child)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    lethe_sys->write_file("/proc/self/oom_score_adj", oom_score);
    munlockall();
    return 0;
}

/* Leaves one decoy until everything else has ended: without a process that may be killed the kernel
 * panics. */
static void start_decoys(void)
{
    for (int i = 0; i < DECOYS; i++) {
        filler.decoys[i] = start(i ? "1000" : "-999");
        if (!filler.decoys[i])
            wait_to_be_killed();
    }
}

static void end_child(pid_t *pid)
{
    if (*pid > 0) {
        lethe_sys->kill(*pid, SIGKILL);
        waitpid(*pid, NULL, 0);
    }
    *pid = 0;
}

/* Takes all processors: whoever started this process may have left it one. */
static void find_processors(void)
{
    memset(&filler.processors, 0xff, sizeof filler.processors);
    sched_setaffinity(0, sizeof filler.processors, &filler.processors);
    CPU_ZERO(&filler.processors);
    sched_getaffinity(0, sizeof filler.processors, &filler.processors);
    filler.n_processors = CPU_COUNT(&filler.processors);
}

int lethe_filler_open(void)
{
    if (!filler.takers) {
        void *shared = mmap(NULL, TAKERS_MAX * sizeof *filler.takers, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (shared == MAP_FAILED)
            return -errno;
        filler.takers = shared;
    }
    filler.n_takers = 1;
    filler.page = lethe_sys->page_size();
    lower_reserves();
    find_processors();
    lethe_sys_read_line(AT_FDCWD, "/proc/sys/kernel/printk", filler.printk, sizeof filler.printk);
    /* The OOM killer's reports, a page or two each, stay off the console. */
    lethe_sys->write_file("/proc/sys/kernel/printk", "1");
    start_decoys();
    return 0;
}

void lethe_filler_close(void)
{
    for (int i = 0; i < filler.n_takers; i++)
        if (filler.takers[i].pid > 0)
            lethe_sys->kill(filler.takers[i].pid, SIGKILL);
    for (int i = 0; i < filler.n_takers; i++)
        end_child(&filler.takers[i].pid);
    for (int i = 0; i < DECOYS; i++)
        end_child(&filler.decoys[i]);
    filler.n_takers = 1;
    lethe_sys->write_file("/proc/sys/kernel/printk", filler.printk);
}

static void pin(int processor)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    sched_setaffinity(0, sizeof one, &one);
}

static char *map(size_t size)
{
    char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* Returns how many of the bytes, which are mapped, have memory. */
static size_t resident_bytes(char *from, size_t size)
{
    static unsigned char resident[4096];
    const size_t window = sizeof resident * filler.page;
    size_t sum = 0;
    for (size_t at = 0; at < size; at += window) {
        size_t n = size - at < window ? size - at : window;
        if (mincore(from + at, n, resident))
            return 0;
        for (size_t i = 0; i < n / filler.page; i++)
            sum += resident[i] & 1 ? filler.page : 0;
    }
    return sum;
}

static void touch(struct taker *t, char *at, size_t n)
{
    for (size_t i = 0; i < n; i += filler.page)
        *(volatile char *)(at + i) = 0;
    t->pages += n / filler.page;
}

/* Takes `size` more bytes for as long as the process lives. False when they could not all be had;
 * what a failed call got stays taken. MADV_POPULATE_WRITE exists since Linux 5.14; before, one write
 * to each page does the same. */
static bool take(struct taker *t, size_t size)
{
    char *chunk = map(size);
    if (!chunk)
        return false;
    int r = madvise(chunk, size, MADV_POPULATE_WRITE) ? errno : 0;
    if (r == EINVAL)
        touch(t, chunk, size);
    else
        t->pages += (r ? resident_bytes(chunk, size) : size) / filler.page;
    return !r || r == EINVAL;
}

/* Returns how much the processors' fillers leave to the one that takes the rest. */
static uint64_t floor_bytes(void)
{
    struct sysinfo info;
    uint64_t all = sysinfo(&info) ? 0 : (uint64_t)info.totalram * info.mem_unit;
    uint64_t sum = (uint64_t)FLOOR * filler.n_processors;
    return sum < all / 8 ? sum : all / 8;
}

/* Takes one processor's share. All fillers together ask for half of what there is at a time, so
 * that none asks for the last of it. */
static void take_share(struct taker *t)
{
    const uint64_t floor = floor_bytes();
    for (;;) {
        uint64_t left = free_bytes(), chunk = left > floor ? (left - floor) / 2 : 0;
        chunk /= (uint64_t)filler.n_processors;
        if (chunk > CHUNK_MAX)
            chunk = CHUNK_MAX;
        if (chunk < CHUNK_MIN || !take(t, chunk & ~((size_t)CHUNK_MIN - 1)))
            return;
    }
}

static void start_taker(struct taker *t, const char *oom_score, int processor,
                        void (*work)(struct taker *))
{
    t->holds = false;
    t->pages = 0;
    pid_t child = start(oom_score);
    if (child) {
        t->pid = child;
        return;
    }
    pin(processor);
    work(t);
    t->holds = true;
    wait_to_be_killed();
}

/* A filler that was killed holds nothing, and is not busy. */
static bool is_busy(struct taker *t)
{
    if (t->pid > 0 && waitpid(t->pid, NULL, WNOHANG) == t->pid)
        t->pid = 0;
    return t->pid > 0 && !t->holds;
}

static void wait_for_all(struct taker *takers, int n, int64_t end_ms)
{
    const struct timespec pause = {0, POLL_MS * 1000000};
    for (int i = 0; i < n && lethe_sys_now_ms() < end_ms;)
        if (is_busy(&takers[i]))
            nanosleep(&pause, NULL);
        else
            i++;
}

/* Stops the fillers that still take when the time is over. They hold what they have. */
static void stop_busy(struct taker *takers, int n)
{
    for (int i = 0; i < n; i++)
        if (is_busy(&takers[i]))
            lethe_sys->kill(takers[i].pid, SIGSTOP);
}

/* Starts a filler on each processor, and again as long as that gets more: an address space may be
 * smaller than the memory. */
void lethe_filler_take(int64_t end_ms)
{
    uint64_t before, after = free_bytes();
    do {
        struct taker *first = &filler.takers[filler.n_takers];
        before = after;
        for (int i = 0; i < CPU_SETSIZE && filler.n_takers < TAKERS_MAX; i++)
            if (CPU_ISSET(i, &filler.processors))
                start_taker(&filler.takers[filler.n_takers++], "0", i, take_share);
        int n = (int)(&filler.takers[filler.n_takers] - first);
        wait_for_all(first, n, end_ms);
        stop_busy(first, n);
        after = free_bytes();
    } while (after > 2 * floor_bytes() && after + FLOOR < before && lethe_sys_now_ms() < end_ms);
}

static char *make_pool(size_t size)
{
    char *pool = map(size);
    if (!pool)
        return NULL;
    madvise(pool, size, MADV_NOHUGEPAGE);
    for (size_t at = 0; at < size; at += filler.page)
        *(volatile char *)(pool + at) = 0;
    madvise(pool, size, MADV_FREE);
    return pool;
}

/* Fills a pipe, whose pages are unmovable. False when there can be no more. */
static bool fill_pipe(struct taker *t)
{
    static char zeroes[64 << 10]; /* not const: it would lie in the program */
    int ends[2];
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC))
        return false;
    ssize_t n = write(ends[1], zeroes, sizeof zeroes);
    t->pages += n > 0 ? (uint64_t)n / filler.page : 0;
    return n > 0;
}

/* The pool is larger than what the kernel's own reclaim (kswapd) may take of it at a time, which
 * grows with the memory: two high watermarks, each a ten-thousandth of it. */
static void take_rest(struct taker *t)
{
    enum { SLICE = 64 << 10, NEAR = 1 * MIB };
    struct sysinfo info;
    const struct rlimit files = {1 << 16, 1 << 16}; /* two for each pipe */
    setrlimit(RLIMIT_NOFILE, &files);
    sysinfo(&info);
    size_t size = (size_t)((uint64_t)info.totalram * info.mem_unit / 512) & ~((size_t)MIB - 1);
    size = size < POOL_PAGES_MIN * filler.page ? POOL_PAGES_MIN * filler.page : size;
    char *pool = make_pool(size), *rest = map((size_t)FLOOR * 64);
    if (!pool || !rest)
        return;
    for (uint64_t left; (left = free_bytes()) > 2 * NEAR;) {
        uint64_t chunk = (left - NEAR) / 2 < CHUNK_MAX ? (left - NEAR) / 2 : CHUNK_MAX;
        if (!take(t, (size_t)chunk & ~(filler.page - 1)))
            break;
    }
    while (resident_bytes(pool, size) > size / 2 && fill_pipe(t))
        ;
    for (size_t at = 0; at < (size_t)FLOOR * 64 && resident_bytes(pool, size) > size / 8;
         at += SLICE)
        touch(t, rest + at, SLICE);
}

/* Gives this filler a score at which the OOM killer takes it before those of the processors. */
void lethe_filler_take_rest(int64_t end_ms)
{
    struct taker *t = &filler.takers[0];
    int processor = 0;
    while (processor < CPU_SETSIZE - 1 && !CPU_ISSET(processor, &filler.processors))
        processor++;
    end_child(&t->pid);
    start_taker(t, "500", processor, take_rest);
    wait_for_all(t, 1, end_ms);
    stop_busy(t, 1);
}

uint64_t lethe_filler_held_kib(void)
{
    uint64_t pages = 0;
    for (int i = 0; i < filler.n_takers; i++) {
        is_busy(&filler.takers[i]);
        pages += filler.takers[i].pid > 0 ? filler.takers[i].pages : 0;
    }
    return pages * (filler.page / 1024);
}
