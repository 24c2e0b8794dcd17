/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/ram_device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

/* The device is zeroed in pieces; no page is smaller than one. */
enum { PIECE = 4096, CHUNK = 1 << 18 };

static _Alignas(PIECE) char held[CHUNK];
static _Alignas(PIECE) char zeroes[PIECE]; /* not const: it would lie in the program */

static int zero_piece(int fd, const char *piece, size_t n, off_t at, uint64_t *bytes)
{
    if (!memcmp(piece, zeroes, n))
        return 0;
    ssize_t w = pwrite(fd, zeroes, n, at);
    if (w != (ssize_t)n)
        return w < 0 ? -errno : -EIO;
    *bytes += n;
    return 0;
}

static int zero_blocks(int fd, uint64_t *bytes)
{
    off_t at = 0;
    ssize_t n;
    int first = 0;
    while ((n = pread(fd, held, sizeof held, at)) > 0) {
        for (ssize_t i = 0; i < n; i += PIECE) {
            size_t rest = (size_t)(n - i);
            int r = zero_piece(fd, held + i, rest < PIECE ? rest : PIECE, at + i, bytes);
            first = first ? first : r;
        }
        at += n;
    }
    return n < 0 ? -errno : first;
}

static int open_block(const struct lethe_block *block, int flags)
{
    char path[300];
    snprintf(path, sizeof path, "/dev/%.255s", block->name);
    return lethe_sys_open_device(path, flags | O_DIRECT, S_IFBLK,
                                 makedev(block->devno.major, block->devno.minor));
}

bool lethe_ram_device_is_zero(const struct lethe_block *block)
{
    ssize_t n = -1;
    int fd = open_block(block, O_RDONLY);
    bool zero = fd >= 0;
    while (zero && (n = read(fd, held, sizeof held)) > 0)
        zero = !held[0] && !memcmp(held, held + 1, (size_t)n - 1);
    explicit_bzero(held, sizeof held);
    if (fd >= 0)
        lethe_sys->close(fd);
    return zero && !n;
}

int lethe_ram_device_erase(const struct lethe_block *block, uint64_t *bytes)
{
    int fd = open_block(block, O_RDWR | O_EXCL);
    bool in_use = fd == -EBUSY;
    if (in_use)
        fd = open_block(block, O_RDWR);
    if (fd < 0)
        return fd;
    int r = zero_blocks(fd, bytes);
    explicit_bzero(held, sizeof held);
    lethe_sys->close(fd);
    return in_use && !r ? -EBUSY : r;
}
