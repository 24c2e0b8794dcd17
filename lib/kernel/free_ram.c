/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/free_ram.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lethe/meminfo.h"
#include "lethe/sys.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* linux/mman.h */
#endif

enum { PROBE_PAGES = 64, PAGE = 4096, HEADERS_MAX = 64, CHUNK = 64 << 20, POLL_MS = 2, DECOYS = 8 };

static const char mark[] = "lethe looks whether this is gone";

static bool read_at(int fd, void *out, size_t n, uint64_t offset)
{
    return pread(fd, out, n, (off_t)offset) == (ssize_t)n;
}

/* The physical address of a page that is present, 0 when it can't be told
 * (Documentation/admin-guide/mm/pagemap.rst). */
static uint64_t physical_address(int pagemap, const char *page)
{
    uint64_t entry;
    if (!read_at(pagemap, &entry, sizeof entry, (uintptr_t)page / PAGE * sizeof entry) ||
        !(entry >> 63))
        return 0;
    return (entry & ((UINT64_C(1) << 55) - 1)) * PAGE;
}

/* Where in /proc/kcore, an ELF core file, the physical address lies; 0 for nowhere. */
static uint64_t kcore_offset(const Elf64_Phdr *headers, size_t n, uint64_t address)
{
    for (size_t i = 0; i < n; i++) {
        const Elf64_Phdr *h = &headers[i];
        if (h->p_type == PT_LOAD && h->p_paddr != (uint64_t)-1 && address >= h->p_paddr &&
            address - h->p_paddr + PAGE <= h->p_memsz)
            return h->p_offset + (address - h->p_paddr);
    }
    return 0;
}

static size_t read_headers(int kcore, Elf64_Phdr *headers)
{
    Elf64_Ehdr elf;
    if (!read_at(kcore, &elf, sizeof elf, 0) || memcmp(elf.e_ident, ELFMAG, SELFMAG))
        return 0;
    size_t n = elf.e_phnum < HEADERS_MAX ? elf.e_phnum : HEADERS_MAX;
    return read_at(kcore, headers, n * sizeof *headers, elf.e_phoff) ? n : 0;
}

/* How many of the places hold the mark, and how many hold nothing but zeroes. */
static void look(int kcore, const uint64_t *places, unsigned *marked, unsigned *zero)
{
    char found[sizeof mark];
    static const char nothing[sizeof mark];
    *marked = *zero = 0;
    for (size_t i = 0; i < PROBE_PAGES; i++) {
        if (!places[i] || !read_at(kcore, found, sizeof found, places[i]))
            continue;
        *marked += !memcmp(found, mark, sizeof mark);
        *zero += !memcmp(found, nothing, sizeof nothing);
    }
}

static enum lethe_clearing probe(int pagemap, int kcore)
{
    static Elf64_Phdr headers[HEADERS_MAX];
    uint64_t places[PROBE_PAGES];
    unsigned marked, zero;
    size_t n = read_headers(kcore, headers);
    char *pages =
        mmap(NULL, PROBE_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!n || pages == MAP_FAILED)
        return LETHE_CLEARING_UNKNOWN;
    madvise(pages, PROBE_PAGES * PAGE, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < PROBE_PAGES; i++) {
        memcpy(pages + i * PAGE, mark, sizeof mark);
        uint64_t address = physical_address(pagemap, pages + i * PAGE);
        places[i] = address ? kcore_offset(headers, n, address) : 0;
    }
    look(kcore, places, &marked, &zero);
    if (marked < PROBE_PAGES)
        return LETHE_CLEARING_UNKNOWN;
    munmap(pages, PROBE_PAGES * PAGE);
    look(kcore, places, &marked, &zero);
    /* A few may be held yet by another processor's batch of pages on their way to the LRU lists, or
     * be in use again. */
    if (zero > PROBE_PAGES / 2)
        return LETHE_CLEARING_ZERO;
    return marked > PROBE_PAGES / 2 ? LETHE_CLEARING_NONE : LETHE_CLEARING_POISON;
}

enum lethe_clearing lethe_free_ram_clearing(void)
{
    int pagemap = lethe_sys->open("/proc/self/pagemap", O_RDONLY);
    int kcore = lethe_sys->open("/proc/kcore", O_RDONLY);
    enum lethe_clearing found =
        pagemap >= 0 && kcore >= 0 ? probe(pagemap, kcore) : LETHE_CLEARING_UNKNOWN;
    if (pagemap >= 0)
        lethe_sys->close(pagemap);
    if (kcore >= 0)
        lethe_sys->close(kcore);
    return found;
}

static uint64_t free_kib(void)
{
    char text[4096];
    ssize_t n = lethe_read_file(AT_FDCWD, "/proc/meminfo", text, sizeof text);
    return lethe_meminfo((struct lethe_span){text, n > 0 ? (size_t)n : 0}, "MemFree");
}

static void lower_reserves(void)
{
    static const char *const settings[][2] = {
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
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        lethe_sys->write_file(settings[i][0], settings[i][1]);
}

static void wait_to_be_killed(void)
{
    for (;;)
        pause();
}

/* Without a second process that may be killed the OOM killer could find none, and panic. */
static pid_t start(const char *oom_score, void (*work)(void))
{
    pid_t child = fork();
    if (child)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    lethe_sys->write_file("/proc/self/oom_score_adj", oom_score);
    work();
    _exit(0);
}

/* MADV_POPULATE_WRITE: Linux 5.14; before it, a touch a page does the same. */
static bool take(size_t size)
{
    volatile char *chunk =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (chunk == MAP_FAILED)
        return false;
    if (!madvise((void *)chunk, size, MADV_POPULATE_WRITE))
        return true;
    for (size_t at = 0; errno == EINVAL && at < size; at += PAGE)
        chunk[at] = 0;
    return false;
}

/* What a failed chunk has got stays taken. */
static void *take_from(void *processor)
{
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(*(const int *)processor, &only);
    sched_setaffinity(0, sizeof only, &only);
    for (size_t size = CHUNK; size >= PAGE;)
        if (!take(size))
            size /= 2;
    return NULL;
}

/* A thread on each processor: that is faster, and each processor keeps some free pages for itself.
 * As a rule they are killed on the way, all together. */
static void take_all(void)
{
    static struct taker {
        pthread_t thread;
        int processor;
    } takers[CPU_SETSIZE];
    cpu_set_t ours;
    int n = 0;
    munlockall();
    sched_getaffinity(0, sizeof ours, &ours);
    for (int processor = 0; processor < CPU_SETSIZE; processor++) {
        takers[n].processor = processor;
        n += CPU_ISSET(processor, &ours) &&
             !pthread_create(&takers[n].thread, NULL, take_from, &takers[n].processor);
    }
    while (n)
        pthread_join(takers[--n].thread, NULL);
}

static int watch_filler(pid_t filler, int64_t ms, struct lethe_fill *fill)
{
    const struct timespec pause = {0, POLL_MS * 1000000};
    uint64_t before = free_kib();
    *fill = (struct lethe_fill){0, before};
    for (int64_t end = lethe_now_ms() + ms; lethe_now_ms() < end; nanosleep(&pause, NULL)) {
        uint64_t now = free_kib();
        if (now < fill->left_kib)
            *fill = (struct lethe_fill){before - now, now};
        if (waitpid(filler, NULL, WNOHANG) == filler)
            return 0;
    }
    lethe_sys->kill(filler, SIGKILL);
    return waitpid(filler, NULL, WNOHANG) == filler ? 0 : -ETIMEDOUT;
}

/* The OOM killer's report of a page or two is no news here: only emergencies reach the console
 * meanwhile. `kept` gets what was set before. */
static void hush(char *kept, size_t size)
{
    lethe_read_line(AT_FDCWD, "/proc/sys/kernel/printk", kept, size);
    lethe_sys->write_file("/proc/sys/kernel/printk", "1");
}

/* The OOM killer takes the decoys before the filler, which goes on meanwhile: only so are the last
 * pages asked for, for before each kill the kernel collects what single processors keep. One is
 * left for after the filler's death: without a process that may be killed the kernel panics. */
static void start_decoys(pid_t *decoys)
{
    for (int i = 0; i < DECOYS; i++)
        decoys[i] = start(i ? "1000" : "-999", wait_to_be_killed);
}

static void end_decoys(const pid_t *decoys)
{
    for (int i = 0; i < DECOYS; i++)
        if (decoys[i] > 0) {
            lethe_sys->kill(decoys[i], SIGKILL);
            waitpid(decoys[i], NULL, 0);
        }
}

int lethe_free_ram_fill(int64_t ms, struct lethe_fill *fill)
{
    char printk[64];
    pid_t decoys[DECOYS];
    lower_reserves();
    hush(printk, sizeof printk);
    start_decoys(decoys);
    pid_t filler = start("0", take_all);
    int r = filler < 0 ? -errno : watch_filler(filler, ms, fill);
    end_decoys(decoys);
    lethe_sys->write_file("/proc/sys/kernel/printk", printk);
    return r;
}
