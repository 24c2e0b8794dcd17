/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * text: the few ways in which the kernel writes words, numbers and names in /proc and /sys.
 *
 * A span is a piece of a longer text that is not NUL-terminated. Parsers walk spans and copy out
 * what they keep, so the text itself is never changed and every read stays inside its bounds.
 */
#ifndef LETHE_PLAN_TEXT_H
#define LETHE_PLAN_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lethe/plan/arena.h"

struct lethe_span {
    const char *at;
    size_t n;
};

/* Returns the span of a whole NUL-terminated text. */
struct lethe_span lethe_span(const char *text);

/* Cuts `rest` at the first `separator`: returns what stood before it and leaves in `rest` what
 * follows. Without a separator the whole is returned and rest->at becomes NULL, which also ends a
 * loop over a last empty piece. */
struct lethe_span lethe_text_cut(struct lethe_span *rest, char separator);

/* Cuts the next line out of `rest`; false at the end. */
bool lethe_text_next_line(struct lethe_span *rest, struct lethe_span *line);

bool lethe_span_is(struct lethe_span span, const char *text);

/* Reads the whole span as a decimal number without a sign, at most `max`. 0, or -EINVAL. */
int lethe_text_number(struct lethe_span span, uint64_t max, uint64_t *number);

/* A device's number, "major:minor" in mountinfo and /sys/.../dev. lethe_devno() returns 0, or
 * -EINVAL. */
struct lethe_devno {
    unsigned major, minor;
};
int lethe_devno(struct lethe_span span, struct lethe_devno *devno);
bool lethe_devno_is(struct lethe_devno a, struct lethe_devno b);

/* Copies the span with \ooo (three octal digits) turned into its byte: seq_escape() in the kernel's
 * fs/seq_file.c, used by mountinfo and swaps. An escaped NUL or a stray backslash stays as it is
 * written. NULL when the arena is full. */
char *lethe_text_unescape(struct lethe_arena *arena, struct lethe_span span);

/* Unescapes the n bytes at `text` in place; behind them there is room for a NUL. */
char *lethe_text_unescape_here(char *text, size_t n);

/* True when the n bytes at `at` begin with a backslash and three octal digits for a byte, which is
 * not 0. */
bool lethe_text_octal_escape(const char *at, size_t n, char *byte);

/* True when `path` is `dir` or lies below it; both are absolute, without trailing slashes but for
 * "/". */
bool lethe_text_path_below(const char *path, const char *dir);

/* Puts `system` before the path and removes repeated slashes and dots, which mount(8) was given and
 * mount points do not have. NULL for a relative path, or when the arena is full. */
const char *lethe_text_tidy_path(struct lethe_arena *arena, const char *system, const char *path);

/* Writes `text` into out[size] so that it is harmless on a console and in a log: bytes outside
 * printable ASCII become \ooo. Always terminated; cut when too long. Returns out. */
char *lethe_text_printable(char *out, size_t size, const char *text);

#endif
