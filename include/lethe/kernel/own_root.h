/* SPDX-License-Identifier: GPL-3.0-or-later */
/* own_root: a small root of Lethe's own, so that every other file system can go. */
#ifndef LETHE_KERNEL_OWN_ROOT_H
#define LETHE_KERNEL_OWN_ROOT_H

#include <stdbool.h>

#define LETHE_OWN_ROOT_PROGRAM "/lethe"

/* Mounts /proc, /sys and /dev where they are missing. */
void lethe_own_root_mount_api(void);

/* Mounts a file system in RAM that is not swapped, copies the running program into it as
 * LETHE_OWN_ROOT_PROGRAM, gives it its own /proc, /sys and /dev, makes all mounts private and
 * pivots, so that the old root is found at /oldroot. pivot_root(2) moves every process whose root
 * was the old one, the caller's parent too. The initramfs's root can't be pivoted away: the new one
 * is moved over it, and only the caller is in there. 0, or -errno. */
int lethe_own_root_enter(void);

/* Enters what was mounted over the root of this process: a worker's new root, or the system's when
 * PID 1 has left the initramfs. Nothing changes where nothing was. */
void lethe_own_root_follow(void);

/* Mounts a file system in RAM for a copy of Lethe: not swapped, and executable. 0, or -errno. */
int lethe_own_root_mount_ram(const char *path);

/* Copies the running program to `path`, made executable; the copy is whole when the name appears.
 * 0, or -errno. */
int lethe_own_root_copy_program(const char *path);

#endif
