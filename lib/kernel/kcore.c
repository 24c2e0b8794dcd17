/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/kcore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <string.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

static bool read_at(int fd, void *out, size_t n, uint64_t offset)
{
    return pread(fd, out, n, (off_t)offset) == (ssize_t)n;
}

/* True for a part that is physical memory; others, such as the
 * vmalloc area, have no such address. */
static bool is_memory(const struct lethe_kcore *kcore, const Elf64_Phdr *part)
{
    return part->p_type == PT_LOAD && part->p_paddr != (uint64_t)-1 && part->p_memsz >= kcore->page;
}

/* True for the kernel's own image (KCORE_TEXT, fs/proc/kcore.c), which lies in memory that another
 * part shows, too. Once its beginning is freed (free_initmem()), it reads as zeroes there: on arm64,
 * and on x86 with page table isolation. */
static bool is_shown_by_another(const struct lethe_kcore *kcore, const Elf64_Phdr *part)
{
    const uint64_t end = part->p_paddr + part->p_memsz;
    for (size_t i = 0; i < kcore->n; i++) {
        const Elf64_Phdr *other = &kcore->parts[i];
        if (other->p_memsz > part->p_memsz && other->p_paddr <= part->p_paddr &&
            end <= other->p_paddr + other->p_memsz)
            return true;
    }
    return false;
}

static int read_parts(struct lethe_kcore *kcore)
{
    Elf64_Ehdr elf;
    if (!read_at(kcore->fd, &elf, sizeof elf, 0))
        return errno ? -errno : -EIO;
    if (memcmp(elf.e_ident, ELFMAG, SELFMAG) || elf.e_ident[EI_CLASS] != ELFCLASS64 ||
        elf.e_phnum > LETHE_KCORE_PARTS_MAX || kcore->page > LETHE_KCORE_PAGE_MAX)
        return -EOPNOTSUPP;
    if (!read_at(kcore->fd, kcore->parts, elf.e_phnum * sizeof *kcore->parts, elf.e_phoff))
        return -EIO;
    for (size_t i = 0; i < elf.e_phnum; i++)
        if (is_memory(kcore, &kcore->parts[i]))
            kcore->parts[kcore->n++] = kcore->parts[i];
    for (size_t i = 0; i < kcore->n; i++)
        if (is_shown_by_another(kcore, &kcore->parts[i]))
            kcore->parts[i--] = kcore->parts[--kcore->n];
    return kcore->n ? 0 : -EOPNOTSUPP;
}

/* A page of this program's, zeroes but for a moment, and room for what is read of it. */
static alignas(LETHE_KCORE_PAGE_MAX) char own[2 * LETHE_KCORE_PAGE_MAX];

static bool read_own(const struct lethe_kcore *kcore)
{
    return lethe_kcore_read(kcore, lethe_kcore_page_of(kcore, own), own + LETHE_KCORE_PAGE_MAX,
                            kcore->page);
}

/* The kernel answers with zeroes where it can't read, which would be taken for memory that is
 * clear: only what shows a page that is known to hold something else is believed. */
static bool is_true(const struct lethe_kcore *kcore)
{
    const int64_t mark = lethe_sys_now_ms() | 1;
    memcpy(own, &mark, sizeof mark);
    bool seen = read_own(kcore) && !memcmp(own + LETHE_KCORE_PAGE_MAX, &mark, sizeof mark);
    memset(own, 0, sizeof mark);
    return seen;
}

int lethe_kcore_open(struct lethe_kcore *kcore)
{
    kcore->n = 0;
    kcore->page = lethe_sys->page_size();
    kcore->pagemap = lethe_sys->open("/proc/self/pagemap", O_RDONLY);
    kcore->fd = lethe_sys->open("/proc/kcore", O_RDONLY);
    int r = kcore->pagemap < 0 ? kcore->pagemap : kcore->fd < 0 ? kcore->fd : read_parts(kcore);
    if (!r && !is_true(kcore))
        r = -EOPNOTSUPP;
    if (r)
        lethe_kcore_close(kcore);
    return r;
}

void lethe_kcore_close(struct lethe_kcore *kcore)
{
    if (kcore->n)
        read_own(kcore);
    if (kcore->fd >= 0)
        lethe_sys->close(kcore->fd);
    if (kcore->pagemap >= 0)
        lethe_sys->close(kcore->pagemap);
    kcore->fd = kcore->pagemap = -1;
    kcore->n = 0;
}

uint64_t lethe_kcore_next(const struct lethe_kcore *kcore, uint64_t page, uint64_t *end)
{
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < kcore->n; i++) {
        uint64_t first = (kcore->parts[i].p_paddr + kcore->page - 1) / kcore->page;
        uint64_t after = (kcore->parts[i].p_paddr + kcore->parts[i].p_memsz) / kcore->page;
        uint64_t start = page > first ? page : first;
        if (start < after && start < next) {
            next = start;
            *end = after;
        }
    }
    return next;
}

bool lethe_kcore_read(const struct lethe_kcore *kcore, uint64_t page, void *out, size_t n)
{
    if (page > UINT64_MAX / kcore->page)
        return false;
    const uint64_t address = page * kcore->page;
    for (size_t i = 0; i < kcore->n; i++) {
        const Elf64_Phdr *part = &kcore->parts[i];
        if (address >= part->p_paddr && address - part->p_paddr + n <= part->p_memsz)
            return read_at(kcore->fd, out, n, part->p_offset + (address - part->p_paddr));
    }
    return false;
}

uint64_t lethe_kcore_page_of(const struct lethe_kcore *kcore, const void *address)
{
    uint64_t entry;
    if (!read_at(kcore->pagemap, &entry, sizeof entry,
                 (uintptr_t)address / kcore->page * sizeof entry) ||
        !(entry >> 63))
        return UINT64_MAX;
    entry &= (UINT64_C(1) << 55) - 1;
    return entry ? entry : UINT64_MAX;
}
