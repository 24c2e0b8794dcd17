/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * kcore: physical memory, read through /proc/kcore, an ELF core file of the kernel's (proc(5),
 * fs/proc/kcore.c).
 *
 * Only root can, and nobody under lockdown=confidentiality (-EPERM). What the kernel hands out
 * passes through a page of its own, which is freed as it is: so the last page that is read here is
 * one of zeroes.
 */
#ifndef LETHE_KERNEL_KCORE_H
#define LETHE_KERNEL_KCORE_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LETHE_KCORE_PAGE_MAX = 65536, LETHE_KCORE_PARTS_MAX = 256 };

struct lethe_kcore {
    int fd, pagemap; /* /proc/self/pagemap */
    size_t page;     /* bytes; no kernel's are larger than LETHE_KCORE_PAGE_MAX */
    size_t n;
    Elf64_Phdr parts[LETHE_KCORE_PARTS_MAX];
};

/* Opens the file. 0, or -errno when there is no such file, it may not be read, or the kernel is not
 * one of 64 bits or does not show what is there (a page of the caller's own is looked at). The size
 * of a page is known in any case. */
int lethe_kcore_open(struct lethe_kcore *kcore);
void lethe_kcore_close(struct lethe_kcore *kcore);

/* Returns the first page number, from `page` on, whose content can be read; UINT64_MAX when there
 * is none. *end is the number after the last page of that part of memory. */
uint64_t lethe_kcore_next(const struct lethe_kcore *kcore, uint64_t page, uint64_t *end);

/* Reads n bytes from the beginning of a page on; they may not reach beyond its part. */
bool lethe_kcore_read(const struct lethe_kcore *kcore, uint64_t page, void *out, size_t n);

/* Returns the number of the page in which this process's `address` lies; UINT64_MAX when it can't
 * be told (Documentation/admin-guide/mm/pagemap.rst). */
uint64_t lethe_kcore_page_of(const struct lethe_kcore *kcore, const void *address);

#endif
