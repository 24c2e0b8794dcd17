/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/bounce.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lethe/kernel/kcore.h"
#include "lethe/kernel/log.h"
#include "lethe/kernel/sys.h"

enum {
    SLOT = 2048, /* IO_TLB_SIZE, linux/swiotlb.h */
    LARGE = 65536,
    SMALL = 4096,
    DISKS_MAX = 8,
    LAPS_MAX = 6
};

/* The beginning of struct io_tlb_mem, and of struct io_tlb_pool, with which it begins since 6.6. */
struct pool {
    uint64_t start, end, address, slots;
};

/* Disks, and copies of their beginnings: a slot that holds such a copy was overwritten. */
struct disks {
    int fds[DISKS_MAX];
    size_t n;
    char *known; /* LARGE bytes of each */
};

static bool is_clean(const char *slot, const struct disks *disks)
{
    static char zeroes[SLOT];
    if (!memcmp(slot, zeroes, SLOT))
        return true;
    for (size_t at = 0; disks && at < disks->n * LARGE; at += SLOT)
        if (!memcmp(slot, disks->known + at, SLOT))
            return true;
    return false;
}

/* Counts the slots that hold neither zeroes nor the beginning of a disk. */
static uint64_t count_slots(const struct lethe_kcore *kcore, const struct pool *pool,
                            const struct disks *disks)
{
    static alignas(4096) char block[LARGE];
    uint64_t n = 0;
    for (uint64_t at = pool->start; at + LARGE <= pool->end; at += LARGE) {
        bool seen = lethe_kcore_read(kcore, at / kcore->page, block, LARGE);
        for (size_t slot = 0; slot < LARGE; slot += SLOT)
            n += !seen || !is_clean(block + slot, disks);
    }
    return n;
}

static bool is_in(const char *path, const char *word)
{
    char line[4096];
    bool found = false;
    FILE *file = fopen(path, "re");
    while (file && !found && fgets(line, sizeof line, file))
        found = strstr(line, word);
    if (file)
        fclose(file);
    return found;
}

/* True where the kernel may have a pool. On x86 it takes one where memory lies beyond 32-bit
 * addresses, for an encrypted guest, and when it is told to (pci_swiotlb_detect(),
 * arch/x86/kernel/pci-dma.c): the search for it takes long. On other processors the kernel may also
 * have one for devices that see no caches. */
static bool may_have_pool(void)
{
#if !defined __x86_64__ && !defined __i386__
    return true;
#endif
    char line[256];
    unsigned long long start = 0, end = 0;
    FILE *map = fopen("/proc/iomem", "re");
    while (map && end >> 32 == 0 && fgets(line, sizeof line, map))
        if (!strstr(line, ": System RAM") || sscanf(line, "%llx-%llx", &start, &end) != 2)
            end = 0;
    if (map)
        fclose(map);
    return end >> 32 || is_in("/proc/cmdline", "swiotlb=") ||
           is_in("/proc/cpuinfo", " tdx_guest") || is_in("/proc/cpuinfo", " sev");
}

/* A line of /proc/kallsyms is "address type name". */
static uint64_t find_symbol(const char *name)
{
    char line[512], wanted[64];
    uint64_t address = 0;
    FILE *symbols = fopen("/proc/kallsyms", "re");
    snprintf(wanted, sizeof wanted, " %s\n", name);
    if (symbols)
        setvbuf(symbols, NULL, _IOFBF, 65536);
    while (symbols && !address && fgets(line, sizeof line, symbols)) {
        const char *at = strchr(line, ' ');
        if (at && !strcmp(at + 2, wanted))
            address = strtoull(line, NULL, 16);
    }
    if (symbols)
        fclose(symbols);
    return address;
}

/* Reads at an address of the kernel's own image or memory. */
static bool read_virtual(const struct lethe_kcore *kcore, uint64_t address, void *out, size_t n)
{
    for (size_t i = 0; i < kcore->n; i++) {
        const Elf64_Phdr *part = &kcore->parts[i];
        if (address >= part->p_vaddr && address - part->p_vaddr + n <= part->p_memsz)
            return pread(kcore->fd, out, n, (off_t)(part->p_offset + address - part->p_vaddr)) ==
                   (ssize_t)n;
    }
    return false;
}

/* Finds the pool in the kernel's memory, and believes it only where its numbers agree. -ENOENT when
 * there is none. */
static int find_pool(const struct lethe_kcore *kcore, struct pool *pool)
{
    uint64_t address = may_have_pool() ? find_symbol("io_tlb_default_mem") : 0;
    if (!address || !read_virtual(kcore, address, pool, sizeof *pool))
        return -ENOENT;
    if (!pool->start && !pool->slots)
        return -ENOENT;
    bool good = pool->end > pool->start && pool->end - pool->start == pool->slots * SLOT &&
                pool->start % kcore->page == 0;
    return good ? 0 : -ENOENT;
}

int lethe_bounce_look(struct lethe_bounce *bounce)
{
    struct lethe_kcore kcore;
    struct pool pool;
    *bounce = (struct lethe_bounce){0};
    int r = lethe_kcore_open(&kcore);
    if (r)
        return r;
    r = find_pool(&kcore, &pool);
    if (!r) {
        bounce->size_kib = (pool.end - pool.start) >> 10;
        bounce->used_kib = count_slots(&kcore, &pool, NULL) * SLOT >> 10;
    }
    lethe_kcore_close(&kcore);
    return r == -ENOENT ? 0 : r;
}

/* Opens the disks. A block device without a device/ folder is no hardware: a loop, a device-mapper
 * device. */
static void open_disks(struct disks *disks)
{
    char path[300];
    DIR *dir = opendir("/sys/block");
    for (struct dirent *entry; dir && disks->n < DISKS_MAX && (entry = readdir(dir));) {
        snprintf(path, sizeof path, "/sys/block/%.64s/device", entry->d_name);
        if (entry->d_name[0] == '.' || access(path, F_OK))
            continue;
        snprintf(path, sizeof path, "/dev/%.64s", entry->d_name);
        int fd = lethe_sys->open(path, O_RDONLY | O_DIRECT | O_NONBLOCK);
        if (fd >= 0)
            disks->fds[disks->n++] = fd;
    }
    if (dir)
        closedir(dir);
}

/* A USB stick's requests are mapped by a thread of the kernel, which runs where its caller runs. */
static void gather(const cpu_set_t *processor)
{
    char path[64], name[32];
    DIR *dir = opendir("/proc");
    sched_setaffinity(0, sizeof *processor, processor);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        snprintf(path, sizeof path, "/proc/%.20s/comm", entry->d_name);
        if (entry->d_name[0] > '0' && entry->d_name[0] <= '9' &&
            lethe_sys_read_line(AT_FDCWD, path, name, sizeof name) && !strcmp(name, "usb-storage"))
            sched_setaffinity(atoi(entry->d_name), sizeof *processor, processor);
    }
    if (dir)
        closedir(dir);
}

/* Reads each disk's beginning until as much has passed as the processor's own slots hold, together
 * with the slots that another processor took of them. */
static void read_disks(const struct disks *disks, size_t piece, uint64_t bytes, int64_t end_ms)
{
    for (uint64_t done = 0; done < bytes && lethe_sys_now_ms() < end_ms; done += piece)
        for (size_t i = 0; i < disks->n; i++)
            if (pread(disks->fds[i], disks->known + i * LARGE, piece, 0) != (ssize_t)piece)
                return;
}

/* Reads in several sizes: pieces of one size leave gaps where another size was before, small ones
 * leave none. */
static void lap(const struct disks *disks, const struct pool *pool, bool first, int64_t end_ms)
{
    cpu_set_t ours, one;
    sched_getaffinity(0, sizeof ours, &ours);
    const uint64_t share = (pool->end - pool->start) / (uint64_t)CPU_COUNT(&ours);
    for (int i = 0; i < CPU_SETSIZE; i++) {
        CPU_ZERO(&one);
        CPU_SET(i, &one);
        if (!CPU_ISSET(i, &ours))
            continue;
        gather(&one);
        read_disks(disks, first ? LARGE : SMALL, share + share / 8, end_ms);
    }
    gather(&ours);
}

static uint64_t overwrite(const struct lethe_kcore *kcore, const struct pool *pool,
                          struct disks *disks, int64_t end_ms)
{
    uint64_t left = count_slots(kcore, pool, NULL), before = left + 1;
    if (!left)
        return 0;
    if (!lethe_task_is_skipped(lethe_task_id(LETHE_TASK_READ_DISKS, 0)))
        open_disks(disks);
    if (disks->n && !posix_memalign((void **)&disks->known, 4096, disks->n * LARGE)) {
        memset(disks->known, 0, disks->n * LARGE);
        for (int i = 0; left && left < before && i < LAPS_MAX && lethe_sys_now_ms() < end_ms; i++) {
            lap(disks, pool, i == 0, end_ms);
            before = left;
            left = count_slots(kcore, pool, disks);
        }
    }
    for (size_t i = 0; i < disks->n; i++)
        lethe_sys->close(disks->fds[i]);
    return left;
}

void lethe_bounce_overwrite(const struct lethe_policy *policy, struct lethe_progress *progress)
{
    struct lethe_kcore kcore;
    struct pool pool;
    struct disks disks = {.n = 0};
    uint64_t left = 0;
    lethe_sys->write_file("/proc/sys/kernel/kptr_restrict", "0"); /* else it shows no address */
    if (!lethe_task_begin(progress, lethe_task_id(LETHE_TASK_OVERWRITE_BOUNCE, 0),
                          policy->erase_ms / 3 + policy->step_ms, "overwrite bounce buffers"))
        return;
    int r = lethe_kcore_open(&kcore);
    if (!r) {
        if (!find_pool(&kcore, &pool))
            left = overwrite(&kcore, &pool, &disks, lethe_sys_now_ms() + policy->erase_ms / 3);
        lethe_kcore_close(&kcore);
    }
    lethe_task_done(progress);
    progress->account.kept += left != 0;
    if (r)
        lethe_log(LETHE_LOG_SUMMARY, "bounce buffers (swiotlb) could not be looked at: %s",
                  strerror(-r));
    if (left)
        lethe_log(LETHE_LOG_ERROR,
                  "left: %llu KiB of what went to and from devices, in bounce buffers (swiotlb)",
                  (unsigned long long)(left * SLOT >> 10));
}
