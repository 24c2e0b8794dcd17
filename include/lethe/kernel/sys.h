/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * sys: the system calls that change the machine, in one table, so that a test can script their
 * answers.
 *
 * Each returns 0 or -errno (open: a descriptor or -errno). Everything else in lib/kernel that takes
 * something apart goes through `lethe_sys`; only a unit test ever points it elsewhere.
 */
#ifndef LETHE_KERNEL_SYS_H
#define LETHE_KERNEL_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lethe/plan/text.h"

struct lethe_sys {
    int (*open)(const char *path, int flags);
    int (*close)(int fd);
    int (*mount)(const char *source, const char *path, const char *fstype, unsigned long flags,
                 const char *data);
    int (*umount)(const char *path, int flags);
    /* Puts a copy of the mount in its place, with nothing mounted on it (open_tree(2), Linux 5.2).
     */
    int (*strip)(const char *path);
    int (*copy)(const char *path); /* opens the root directory of a copy of the mount */
    int (*swapoff)(const char *path);
    int (*ioctl)(int fd, unsigned long request, void *argument);
    int (*syncfs)(int fd);
    /* One write, as /proc and /sys want it. -ESTALE when the path leads to a file that is not one
     * of the kernel's own. */
    int (*write_file)(const char *path, const char *text);
    int (*kill)(pid_t pid, int signal);
    int (*end_connections)(bool all); /* connections.h */
    /* True when the descriptor is of a device node of this kind (S_IFBLK, S_IFCHR) with this number
     * (makedev(3)), of any number where it is 0. */
    bool (*is_device)(int fd, mode_t kind, uint64_t number);
    size_t (*page_size)(void);
    int (*mincore)(void *at, size_t size, unsigned char *pages); /* mincore(2): a byte a page */
    int (*reboot)(int command, const char *argument);
    int (*kexec_unload)(bool crash); /* kexec.h */
};

extern const struct lethe_sys *lethe_sys;

/* Opens a device node. A descriptor, or -errno: -ESTALE when the path leads to anything else, which
 * must not be written to then. `number` 0: any of its kind. */
int lethe_sys_open_device(const char *path, int flags, mode_t kind, uint64_t number);

/* Returns the milliseconds of CLOCK_BOOTTIME, which counts through a suspend. */
int64_t lethe_sys_now_ms(void);

/* Reads a file of /proc or /sys below `root` (a directory's descriptor) from its beginning into
 * out[size]. Returns the number of bytes, fewer than `size`, or -errno; -EFBIG when it has more.
 * Symbolic links are followed inside `root` only. */
ssize_t lethe_sys_read_file(int root, const char *path, char *out, size_t size);

/* As lethe_sys_read_file() of the running system. Returns a span of out[size], empty where the file
 * can't be read or has more. */
struct lethe_span lethe_sys_read_span(const char *path, char *out, size_t size);

/* Returns the KiB behind "NAME:" in the running system's /proc/meminfo; 0 when that can't be read. */
uint64_t lethe_sys_meminfo(const char *name);

/* As lethe_sys_read_file() for a short text. It always leaves a NUL-terminated string, "" when the
 * file can't be read. True when it could. */
bool lethe_sys_read_text(int root, const char *path, char *out, size_t size);

/* As lethe_sys_read_text(), of the first line without its newline. */
bool lethe_sys_read_line(int root, const char *path, char *out, size_t size);

/* Reads where the symbolic link `path` points to; false, and "", where there is none. */
bool lethe_sys_read_link(int root, const char *path, char *out, size_t size);

/* As lethe_sys_read_line() of an attribute in /sys/class/block/NAME of the running system. */
bool lethe_sys_read_block(const char *name, const char *attribute, char *out, size_t size);

/* Opens `path` below `root` (openat2(2), RESOLVE_IN_ROOT; on kernels older than 5.6 an openat(2) of
 * the relative path); an absolute path below AT_FDCWD is the process's own. A descriptor or -errno.
 */
int lethe_sys_open_below(int root, const char *path, int flags);

/* A file of /proc or /sys and what is written to it. A kernel without the file is left as it
 * is. */
struct lethe_sys_setting {
    const char *path, *value;
};
void lethe_sys_write_settings(const struct lethe_sys_setting *settings, size_t n);

/* Calls `work` once on each processor that the caller may run on. */
void lethe_sys_on_each_processor(void (*work)(void *arg), void *arg);

#endif
