/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/text.h"

#include <errno.h>
#include <string.h>

struct lethe_span lethe_span(const char *text)
{
    return (struct lethe_span){text, strlen(text)};
}

struct lethe_span lethe_text_cut(struct lethe_span *rest, char separator)
{
    struct lethe_span piece = *rest;
    const char *end = rest->n ? memchr(rest->at, separator, rest->n) : NULL;
    if (end) {
        piece.n = (size_t)(end - rest->at);
        *rest = (struct lethe_span){end + 1, rest->n - piece.n - 1};
    } else {
        *rest = (struct lethe_span){NULL, 0};
    }
    return piece;
}

bool lethe_text_next_line(struct lethe_span *rest, struct lethe_span *line)
{
    if (!rest->at || !rest->n)
        return false;
    *line = lethe_text_cut(rest, '\n');
    return true;
}

bool lethe_span_is(struct lethe_span span, const char *text)
{
    return span.n == strlen(text) && (!span.n || !memcmp(span.at, text, span.n));
}

int lethe_text_number(struct lethe_span span, uint64_t max, uint64_t *number)
{
    uint64_t value = 0;
    if (!span.n)
        return -EINVAL;
    for (size_t i = 0; i < span.n; i++) {
        if (span.at[i] < '0' || span.at[i] > '9')
            return -EINVAL;
        unsigned digit = (unsigned)(span.at[i] - '0');
        if (digit > max || value > (max - digit) / 10)
            return -EINVAL;
        value = value * 10 + digit;
    }
    *number = value;
    return 0;
}

int lethe_devno(struct lethe_span span, struct lethe_devno *devno)
{
    uint64_t major, minor;
    struct lethe_span first = lethe_text_cut(&span, ':');
    if (!span.at || lethe_text_number(first, UINT32_MAX, &major) ||
        lethe_text_number(span, UINT32_MAX, &minor))
        return -EINVAL;
    *devno = (struct lethe_devno){(unsigned)major, (unsigned)minor};
    return 0;
}

bool lethe_devno_is(struct lethe_devno a, struct lethe_devno b)
{
    return a.major == b.major && a.minor == b.minor;
}

bool lethe_text_octal_escape(const char *at, size_t n, char *byte)
{
    if (n < 4 || at[0] != '\\')
        return false;
    unsigned value = 0;
    for (int i = 1; i < 4; i++) {
        if (at[i] < '0' || at[i] > '7')
            return false;
        value = value * 8 + (unsigned)(at[i] - '0');
    }
    if (!value || value > 0377)
        return false;
    *byte = (char)value;
    return true;
}

char *lethe_text_unescape_here(char *text, size_t n)
{
    char *out = text;
    for (size_t i = 0; i < n; out++) {
        bool escaped = lethe_text_octal_escape(text + i, n - i, out);
        if (!escaped)
            *out = text[i];
        i += escaped ? 4 : 1;
    }
    *out = '\0';
    return text;
}

char *lethe_text_unescape(struct lethe_arena *arena, struct lethe_span span)
{
    char *text = lethe_arena_text(arena, span.n ? span.at : "", span.n);
    return text ? lethe_text_unescape_here(text, span.n) : NULL;
}

bool lethe_text_path_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    if (n == 1 && dir[0] == '/')
        return path[0] == '/';
    return !strncmp(path, dir, n) && (path[n] == '\0' || path[n] == '/');
}

const char *lethe_text_tidy_path(struct lethe_arena *arena, const char *system, const char *path)
{
    struct lethe_span rest = lethe_span(path);
    size_t n = strlen(system);
    char *text = path[0] == '/' ? lethe_arena_alloc(arena, n + rest.n + 2, 1) : NULL;
    if (!text)
        return NULL;
    memcpy(text, system, n);
    while (rest.at) {
        struct lethe_span name = lethe_text_cut(&rest, '/');
        if (!name.n || lethe_span_is(name, "."))
            continue;
        text[n++] = '/';
        memcpy(text + n, name.at, name.n);
        n += name.n;
    }
    if (!n)
        text[n++] = '/';
    text[n] = '\0';
    return text;
}

char *lethe_text_printable(char *out, size_t size, const char *text)
{
    size_t used = 0;
    for (; *text && used + 5 <= size; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte >= ' ' && byte < 0177 && byte != '\\') {
            out[used++] = *text;
        } else {
            out[used++] = '\\';
            out[used++] = (char)('0' + (byte >> 6));
            out[used++] = (char)('0' + ((byte >> 3) & 7));
            out[used++] = (char)('0' + (byte & 7));
        }
    }
    if (size)
        out[used] = '\0';
    return out;
}
