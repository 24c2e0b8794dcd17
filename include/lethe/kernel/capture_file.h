/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * capture_file: the files of a captured tree, for capture.c and capture_unions.c.
 *
 * The first error is kept and nothing is written after it, so that callers need not look at each
 * call.
 */
#ifndef LETHE_KERNEL_CAPTURE_FILE_H
#define LETHE_KERNEL_CAPTURE_FILE_H

#include <stdio.h>

#include "lethe/plan/names.h"

/* Bytes for a path in the tree: a device's name and a number or two have room in it. */
enum { LETHE_CAPTURE_PATH_MAX = 1024 };

struct lethe_capture {
    int dir; /* the tree's directory */
    const struct lethe_snapshot *snapshot;
    struct lethe_names names;
    int r; /* the first error, -errno, or 0 */
};

/* Keeps the first error. */
void lethe_capture_fail(struct lethe_capture *c, int r);

/* Creates a file and the directories above it. NULL when that failed, or the file is left out. */
FILE *lethe_capture_open(struct lethe_capture *c, const char *path);

/* Closes what lethe_capture_open() returned; NULL does nothing. */
void lethe_capture_close(struct lethe_capture *c, FILE *out);

/* Writes a file with `text` as its one line, or no file for an empty text. NULL counts as
 * -ENOMEM. */
void lethe_capture_text(struct lethe_capture *c, const char *text, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Makes a symbolic link. */
void lethe_capture_link(struct lethe_capture *c, const char *target, const char *path);

/* Returns the path with the user's names replaced; "" once the arena is full, which fails the
 * capture. */
const char *lethe_capture_path(struct lethe_capture *c, const char *path);

/* Writes blanks and backslashes as octal escapes, as show_mountinfo() and seq_path() in the
 * kernel's fs/ do. */
void lethe_capture_escaped(FILE *out, const char *text);

/* Writes what the kernel and FUSE daemons say of the layers of unions (capture_unions.c). */
void lethe_capture_unions(struct lethe_capture *c);

#endif
