/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/zswap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21 /* linux/mman.h, Linux 5.4 */
#endif

enum { SWAP_PAGES = 1024, PAGES = 64 };

static const char enabled[] = "/sys/module/zswap/parameters/enabled";

/* Returns how many pages zswap has taken since the start, or -1 where the kernel does not count
 * them. */
static long count_stored(void)
{
    static char text[16384];
    lethe_sys_read_text(AT_FDCWD, "/proc/vmstat", text, sizeof text);
    const char *line = strstr(text, "\nzswpout ");
    return line ? strtol(line + 9, NULL, 10) : -1;
}

/* Writes the header of a swap area of version 1 (union swap_header, linux/swap.h). */
static bool make_area(int fd)
{
    const uint32_t info[3] = {1, SWAP_PAGES - 1, 0};
    const off_t page = (off_t)lethe_sys->page_size();
    return !ftruncate(fd, SWAP_PAGES * page) && pwrite(fd, info, sizeof info, 1024) > 0 &&
           pwrite(fd, "SWAPSPACE2", 10, page - 10) == 10;
}

/* Opens a loop device on a file in RAM with a swap area in it. It goes with its last user
 * (LO_FLAGS_AUTOCLEAR). Returns its descriptor, or -errno. */
static int open_loop(char *path, size_t size)
{
    const struct loop_info64 autoclear = {.lo_flags = LO_FLAGS_AUTOCLEAR};
    int control = lethe_sys->open("/dev/loop-control", O_RDWR);
    int number = control < 0 ? control : ioctl(control, LOOP_CTL_GET_FREE);
    int file = memfd_create("swap", MFD_CLOEXEC);
    snprintf(path, size, "/dev/loop%d", number);
    int loop = number < 0 || file < 0 || !make_area(file) ? -EIO : lethe_sys->open(path, O_RDWR);
    if (loop >= 0 &&
        (ioctl(loop, LOOP_SET_FD, file) || ioctl(loop, LOOP_SET_STATUS64, &autoclear))) {
        lethe_sys->close(loop);
        loop = -errno;
    }
    if (control >= 0)
        lethe_sys->close(control);
    if (file >= 0)
        close(file);
    return loop;
}

/* Fills with unrelated bytes (xorshift64), so that nothing gets shorter. */
static void fill(uint64_t *at, size_t n)
{
    static uint64_t x = 0x9e3779b97f4a7c15;
    for (size_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        at[i] = x;
    }
}

/* Has pages swapped out whose first `random` bytes can't be compressed. */
static void page_out(size_t random)
{
    const size_t page = lethe_sys->page_size();
    char *pages =
        mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return;
    for (size_t at = 0; at < PAGES * page; at += page)
        fill((uint64_t *)(void *)(pages + at), random / sizeof(uint64_t));
    madvise(pages, PAGES * page, MADV_PAGEOUT);
    munmap(pages, PAGES * page);
}

/* Compresses on this processor. Pages that get no shorter overwrite the whole of each buffer, but
 * zswap does not keep them and counts nothing; pages that get a little shorter are counted, as
 * witnesses. */
static void compress_here(void *all_good)
{
    const long before = count_stored();
    page_out(lethe_sys->page_size() * 3 / 4);
    *(bool *)all_good &= count_stored() > before;
    page_out(lethe_sys->page_size());
}

static bool compress_everywhere(void)
{
    bool all_good = true;
    munlockall();
    lethe_sys_on_each_processor(compress_here, &all_good);
    return all_good;
}

bool lethe_zswap_was_used(void)
{
    return count_stored() > 0;
}

bool lethe_zswap_overwrite(void)
{
    char path[32];
    int loop = open_loop(path, sizeof path);
    bool good = loop >= 0 && !swapon(path, 0);
    if (good) {
        lethe_sys->write_file(enabled, "Y");
        good = compress_everywhere();
        lethe_sys->swapoff(path);
    }
    lethe_sys->write_file(enabled, "N");
    if (loop >= 0)
        lethe_sys->close(loop);
    return good;
}
