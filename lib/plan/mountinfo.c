/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/mountinfo.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

/* A line with a NUL is refused: the kernel writes none, and a
 * text that is copied would end there. */
static bool has_nul(struct lethe_span line)
{
    return line.n && memchr(line.at, '\0', line.n);
}

static size_t count_lines(struct lethe_span text)
{
    struct lethe_span line;
    size_t n = 0;
    while (lethe_text_next_line(&text, &line))
        n++;
    return n;
}

/* Cuts the next field from a line and ends it with a NUL. Returns "" at the end of the line. */
static char *next_field(char **rest, bool escaped)
{
    char *field = *rest, *end = field;
    while (*end && *end != ' ')
        end++;
    *rest = *end ? end + 1 : end;
    *end = '\0';
    return escaped ? lethe_text_unescape_here(field, (size_t)(end - field)) : field;
}

/* The optional fields ("shared:1 master:2 …") end with a lone "-". False when it is missing. */
static bool skip_optional(char **rest)
{
    while (**rest)
        if (!strcmp(next_field(rest, false), "-"))
            return true;
    return false;
}

/* Returns NULL when the line could be used, else the reason. What the mount keeps is cut out of
 * `text`, a copy of the line. */
static const char *parse_mount(struct lethe_mount *m, char *text, size_t n)
{
    const bool escaped = strchr(text, '\\');
    uint64_t id, parent;
    if (strlen(text) != n)
        return "there is a NUL in the line";
    if (lethe_text_number(lethe_span(next_field(&text, false)), UINT32_MAX, &id))
        return "the mount's id is not a number";
    if (lethe_text_number(lethe_span(next_field(&text, false)), UINT32_MAX, &parent))
        return "the parent's id is not a number";
    if (lethe_devno(lethe_span(next_field(&text, false)), &m->devno))
        return "the device is not major:minor";
    m->id = (unsigned)id;
    m->parent = (unsigned)parent;
    m->device = LETHE_NONE;
    m->root = next_field(&text, escaped);
    if (*text != '/')
        return "the mount point is not an absolute path";
    m->path = next_field(&text, escaped);
    m->options = next_field(&text, escaped);
    if (!skip_optional(&text))
        return "the \" - \" before the file system's type is missing";
    m->fstype = next_field(&text, escaped);
    m->source = next_field(&text, escaped);
    m->super_options = text;
    return m->fstype[0] ? NULL : "the file system's type is missing";
}

int lethe_mountinfo_parse(struct lethe_snapshot *snapshot, struct lethe_span text,
                          struct lethe_arena *arena, const struct lethe_complaint *complaint)
{
    struct lethe_span line;
    snapshot->mounts = lethe_arena_alloc(arena, count_lines(text), sizeof *snapshot->mounts);
    snapshot->n_mounts = 0;
    if (!snapshot->mounts)
        return -ENOMEM;
    for (size_t number = 1; lethe_text_next_line(&text, &line); number++) {
        size_t used = arena->used;
        char *own = lethe_arena_text(arena, line.n ? line.at : "", line.n);
        if (!own)
            return -ENOMEM;
        const char *why = parse_mount(&snapshot->mounts[snapshot->n_mounts], own, line.n);
        if (!why) {
            snapshot->n_mounts++;
            continue;
        }
        arena->used = used;
        complaint->tell(complaint->context, "mountinfo", number, line, why);
    }
    return 0;
}

/* The columns of /proc/swaps are padded with blanks and tabs. */
static struct lethe_span next_word(struct lethe_span *rest)
{
    while (rest->n && (*rest->at == ' ' || *rest->at == '\t')) {
        rest->at++;
        rest->n--;
    }
    struct lethe_span word = {rest->at, 0};
    while (word.n < rest->n && rest->at[word.n] != ' ' && rest->at[word.n] != '\t')
        word.n++;
    rest->at += word.n;
    rest->n -= word.n;
    return word;
}

/* Returns NULL when the line could be used, else the reason. */
static const char *parse_swap(struct lethe_swap *s, struct lethe_span line,
                              struct lethe_arena *arena, bool *full)
{
    if (has_nul(line))
        return "there is a NUL in the line";
    struct lethe_span path = next_word(&line), type = next_word(&line);
    if (!path.n || path.at[0] != '/')
        return "the swap's name is not an absolute path";
    if (!lethe_span_is(type, "file") && !lethe_span_is(type, "partition"))
        return "the swap's type is neither file nor partition";
    s->is_file = lethe_span_is(type, "file");
    s->device = LETHE_NONE;
    next_word(&line); /* its size */
    if (lethe_text_number(next_word(&line), UINT64_MAX, &s->used_kib))
        s->used_kib = 0;
    s->path = lethe_text_unescape(arena, path);
    *full = !s->path;
    return NULL;
}

int lethe_mountinfo_parse_swaps(struct lethe_snapshot *snapshot, struct lethe_span text,
                                struct lethe_arena *arena, const struct lethe_complaint *complaint)
{
    struct lethe_span line;
    snapshot->swaps = lethe_arena_alloc(arena, count_lines(text), sizeof *snapshot->swaps);
    snapshot->n_swaps = 0;
    if (!snapshot->swaps)
        return -ENOMEM;
    for (size_t number = 1; lethe_text_next_line(&text, &line); number++) {
        bool full = false;
        if (number == 1 && line.n >= 8 && !memcmp(line.at, "Filename", 8))
            continue;
        const char *why = parse_swap(&snapshot->swaps[snapshot->n_swaps], line, arena, &full);
        if (full)
            return -ENOMEM;
        if (why)
            complaint->tell(complaint->context, "swaps", number, line, why);
        else
            snapshot->n_swaps++;
    }
    return 0;
}
