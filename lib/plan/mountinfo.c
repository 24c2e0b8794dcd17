/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/mountinfo.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

bool lethe_next_line(struct lethe_span *rest, struct lethe_span *line)
{
    if (!rest->at || !rest->n)
        return false;
    *line = lethe_cut(rest, '\n');
    return true;
}

/* The kernel writes no NUL; texts that are copied would end at it. */
static bool has_nul(struct lethe_span line)
{
    return line.n && memchr(line.at, '\0', line.n);
}

static size_t count_lines(struct lethe_span text)
{
    struct lethe_span line;
    size_t n = 0;
    while (lethe_next_line(&text, &line))
        n++;
    return n;
}

/* The optional fields ("shared:1 master:2 …") end with a lone "-". False when it is missing. */
static bool skip_optional(struct lethe_span *rest)
{
    while (rest->at)
        if (lethe_span_is(lethe_cut(rest, ' '), "-"))
            return true;
    return false;
}

static char *copy(struct lethe_arena *arena, struct lethe_span span)
{
    return lethe_arena_text(arena, span.n ? span.at : "", span.n);
}

/* NULL when the line could be used, else why not. *full is set when the arena has no room. */
static const char *parse_mount(struct lethe_mount *m, struct lethe_span line,
                               struct lethe_arena *arena, bool *full)
{
    const bool escaped = line.n && memchr(line.at, '\\', line.n);
    uint64_t id, parent;
    if (has_nul(line))
        return "there is a NUL in the line";
    if (lethe_number(lethe_cut(&line, ' '), UINT32_MAX, &id))
        return "the mount's id is not a number";
    if (lethe_number(lethe_cut(&line, ' '), UINT32_MAX, &parent))
        return "the parent's id is not a number";
    if (lethe_devno(lethe_cut(&line, ' '), &m->devno))
        return "the device is not major:minor";
    m->id = (unsigned)id;
    m->parent = (unsigned)parent;
    m->device = LETHE_NONE;

    struct lethe_span root = lethe_cut(&line, ' '), path = lethe_cut(&line, ' '),
                      options = lethe_cut(&line, ' ');
    if (!path.n || path.at[0] != '/')
        return "the mount point is not an absolute path";
    if (!skip_optional(&line))
        return "the \" - \" before the file system's type is missing";
    struct lethe_span fstype = lethe_cut(&line, ' '), source = lethe_cut(&line, ' ');
    if (!fstype.n)
        return "the file system's type is missing";

    char *(*unescape)(struct lethe_arena *, struct lethe_span) = escaped ? lethe_unescape : copy;
    m->root = unescape(arena, root);
    m->path = unescape(arena, path);
    m->options = unescape(arena, options);
    m->fstype = unescape(arena, fstype);
    m->source = unescape(arena, source);
    m->super_options = copy(arena, line);
    *full = !m->root || !m->path || !m->options || !m->fstype || !m->source || !m->super_options;
    return NULL;
}

int lethe_mountinfo_parse(struct lethe_snapshot *snapshot, struct lethe_span text,
                          struct lethe_arena *arena, const struct lethe_complaint *complaint)
{
    struct lethe_span line;
    snapshot->mounts = lethe_arena_alloc(arena, count_lines(text), sizeof *snapshot->mounts);
    snapshot->n_mounts = 0;
    if (!snapshot->mounts)
        return -ENOMEM;
    for (size_t number = 1; lethe_next_line(&text, &line); number++) {
        bool full = false;
        const char *why = parse_mount(&snapshot->mounts[snapshot->n_mounts], line, arena, &full);
        if (full)
            return -ENOMEM;
        if (why)
            complaint->tell(complaint->context, "mountinfo", number, line, why);
        else
            snapshot->n_mounts++;
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

/* As parse_mount(). */
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
    s->path = lethe_unescape(arena, path);
    *full = !s->path;
    return NULL;
}

int lethe_swaps_parse(struct lethe_snapshot *snapshot, struct lethe_span text,
                      struct lethe_arena *arena, const struct lethe_complaint *complaint)
{
    struct lethe_span line;
    snapshot->swaps = lethe_arena_alloc(arena, count_lines(text), sizeof *snapshot->swaps);
    snapshot->n_swaps = 0;
    if (!snapshot->swaps)
        return -ENOMEM;
    for (size_t number = 1; lethe_next_line(&text, &line); number++) {
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
