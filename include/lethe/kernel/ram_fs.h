/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ram_fs: zeroes the files of a RAM-backed file system in place, before anything frees their pages.
 *
 * Writing over a tmpfs file reaches the same physical pages each time, even below a mounted union
 * (docs/facts.md, What survives in RAM), so nothing depends on what the kernel does with freed
 * pages. Holes are skipped (SEEK_DATA), the tail of the last page is zeroed too, then the file is
 * cut to nothing and unlinked: its name is a secret as well. What can't be removed stays; other mounts below are not entered.
 */
#ifndef LETHE_KERNEL_RAM_FS_H
#define LETHE_KERNEL_RAM_FS_H

#include <stdint.h>

struct lethe_ram_fs_erased {
    uint64_t bytes, files;
    uint64_t failed; /* files that could not be zeroed */
    int first_error; /* -errno of the first of them */
};

/* Which names an erasure leaves in their places. */
enum lethe_ram_fs_keeps {
    LETHE_RAM_FS_KEEPS_NONE,
    LETHE_RAM_FS_KEEPS_NODES, /* of devices, and links to them: devtmpfs is needed until the end */
    LETHE_RAM_FS_KEEPS_ALL,
};

/* Erases the file system, or the directory or file of one, that is mounted at `path`: what other
 * mounts cover is reached through a private clone of the mount (open_tree(2), Linux 5.2), a
 * read-only one is made writable. 0, or -errno when the mount could not be entered at all: -ESTALE when the path does
 * not lead to the device `devno` (makedev(3)). What failed inside is in *erased. */
int lethe_ram_fs_erase(const char *path, uint64_t devno, enum lethe_ram_fs_keeps keeps,
                       struct lethe_ram_fs_erased *erased);

/* Zeroes one open, writable file of a RAM-backed file system in place, and adds how many bytes that
 * were to *bytes. 0, or -errno. */
int lethe_ram_fs_zero(int fd, uint64_t *bytes);

#endif
