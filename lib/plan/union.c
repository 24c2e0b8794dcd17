/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/union.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { AUFS_BRANCHES_MAX = 127 }; /* CONFIG_AUFS_BRANCH_MAX_127, the default */

struct branches {
    struct lethe_branch *list;
    size_t n, room;
    struct lethe_arena *arena;
    bool full;
};

static void add_branch(struct branches *b, struct lethe_span path, bool writable)
{
    if (!path.n)
        return;
    const char *copy = lethe_unescape(b->arena, path);
    if (b->n == b->room) {
        size_t room = b->room ? 2 * b->room : 8;
        struct lethe_branch *list = lethe_arena_alloc(b->arena, room, sizeof *list);
        if (list && b->n)
            memcpy(list, b->list, b->n * sizeof *list);
        b->list = list ? list : b->list;
        b->room = list ? room : b->room;
    }
    if (!copy || b->n == b->room)
        b->full = true;
    else
        b->list[b->n++] = (struct lethe_branch){copy, writable, LETHE_NONE};
}

/* A copy without the backslashes before ':', ',' and '\' that mount(8) took. In mountinfo the
 * backslash itself reads \134. */
static struct lethe_span strip_backslashes(struct lethe_arena *arena, struct lethe_span layer)
{
    char *text = lethe_arena_text(arena, layer.n ? layer.at : "", layer.n);
    size_t n = 0;
    if (!text)
        return (struct lethe_span){NULL, 0};
    for (size_t i = 0; i < layer.n; i++) {
        if (layer.n - i > 4 && !memcmp(layer.at + i, "\\134", 4)) {
            i += 4;
            if (layer.n - i >= 4 && !memcmp(layer.at + i, "\\134", 4)) {
                memcpy(text + n, "\\134", 4);
                n += 4;
                i += 3;
                continue;
            }
        }
        text[n++] = layer.at[i];
    }
    return (struct lethe_span){text, n};
}

/* The length of the first layer of a colon-separated list: a colon behind a backslash (\134)
 * belongs to the path. */
static size_t layer_length(struct lethe_span list)
{
    size_t i = 0;
    while (i < list.n && list.at[i] != ':')
        i += list.n - i > 4 && !memcmp(list.at + i, "\\134", 4) ? 5 : 1;
    return i < list.n ? i : list.n;
}

static void add_layers(struct branches *b, struct lethe_span list)
{
    while (list.n) {
        size_t n = layer_length(list);
        add_branch(b, strip_backslashes(b->arena, (struct lethe_span){list.at, n}), false);
        n += n < list.n;
        list.at += n;
        list.n -= n;
    }
}

static bool starts(struct lethe_span text, const char *word)
{
    size_t n = strlen(word);
    return text.n >= n && !memcmp(text.at, word, n);
}

static struct lethe_span behind(struct lethe_span text, const char *word)
{
    size_t n = strlen(word);
    return (struct lethe_span){text.at + n, text.n - n};
}

/* Options are split at commas; a comma inside a path stands escaped as \054. */
static void find_overlay(struct branches *b, const char *options)
{
    for (struct lethe_span rest = lethe_span(options); rest.at;) {
        struct lethe_span option = lethe_cut(&rest, ',');
        if (starts(option, "upperdir="))
            add_branch(b, strip_backslashes(b->arena, behind(option, "upperdir=")), true);
        else if (starts(option, "workdir="))
            add_branch(b, strip_backslashes(b->arena, behind(option, "workdir=")), true);
        else if (starts(option, "lowerdir+="))
            add_branch(b, behind(option, "lowerdir+="), false);
        else if (starts(option, "datadir+="))
            add_branch(b, behind(option, "datadir+="), false);
        else if (starts(option, "lowerdir="))
            add_layers(b, behind(option, "lowerdir="));
    }
}

/* "path=rw+nolwh": the last '=' ends the path, for the permission holds none. */
static void add_aufs_branch(struct branches *b, struct lethe_span branch)
{
    size_t n = branch.n;
    while (n && branch.at[n - 1] != '=')
        n--;
    bool writable = n && starts((struct lethe_span){branch.at + n, branch.n - n}, "rw");
    add_branch(b, (struct lethe_span){branch.at, n ? n - 1 : branch.n}, writable);
}

/* aufs writes its id in hex digits: nothing else may become a part of a path. */
static bool is_aufs_id(struct lethe_span id)
{
    for (size_t i = 0; i < id.n; i++)
        if (!strchr("0123456789abcdef", id.at[i]) || !id.at[i])
            return false;
    return id.n && id.n <= 16;
}

static void find_aufs(struct branches *b, const char *options, const struct lethe_reader *sysfs)
{
    for (struct lethe_span rest = lethe_span(options); rest.at;) {
        struct lethe_span option = lethe_cut(&rest, ',');
        if (starts(option, "br:")) {
            for (struct lethe_span list = behind(option, "br:"); list.at;)
                add_aufs_branch(b, lethe_cut(&list, ':'));
        } else if (starts(option, "si=") && is_aufs_id(behind(option, "si="))) {
            for (int i = 0; i < AUFS_BRANCHES_MAX; i++) {
                char path[64];
                snprintf(path, sizeof path, "sys/fs/aufs/si_%.*s/br%d", (int)option.n - 3,
                         option.at + 3, i);
                struct lethe_span text = sysfs->read(sysfs->context, path);
                if (text.n)
                    add_aufs_branch(b, lethe_cut(&text, '\n'));
            }
        }
    }
}

/* The mount that shows the branch. Its path stands as mount(8) was given it, while mount points
 * have neither repeated slashes nor dots. */
static size_t find_mount(const struct lethe_tree *tree, struct branches *b, const char *path)
{
    struct lethe_span rest = lethe_span(path);
    char *tidy = lethe_arena_text(b->arena, path, rest.n);
    size_t n = 0;
    b->full = b->full || !tidy;
    if (!tidy || path[0] != '/')
        return LETHE_NONE;
    while (rest.at) {
        struct lethe_span name = lethe_cut(&rest, '/');
        if (!name.n || lethe_span_is(name, "."))
            continue;
        tidy[n++] = '/';
        memcpy(tidy + n, name.at, name.n);
        n += name.n;
    }
    tidy[n] = '\0';
    return lethe_tree_lookup(tree, n ? tidy : "/");
}

int lethe_unions_find(struct lethe_snapshot *snapshot, const struct lethe_tree *tree,
                      struct lethe_arena *arena, const struct lethe_reader *sysfs)
{
    size_t n = 0;
    for (size_t i = 0; i < snapshot->n_mounts; i++)
        n += !strcmp(snapshot->mounts[i].fstype, "overlay") ||
             !strcmp(snapshot->mounts[i].fstype, "aufs");
    snapshot->unions = lethe_arena_alloc(arena, n, sizeof *snapshot->unions);
    snapshot->n_unions = 0;
    if (!snapshot->unions)
        return -ENOMEM;
    for (size_t i = 0; i < snapshot->n_mounts; i++) {
        const struct lethe_mount *m = &snapshot->mounts[i];
        struct branches b = {.arena = arena};
        if (!strcmp(m->fstype, "overlay"))
            find_overlay(&b, m->super_options);
        else if (!strcmp(m->fstype, "aufs"))
            find_aufs(&b, m->super_options, sysfs);
        else
            continue;
        for (size_t j = 0; tree && j < b.n; j++)
            b.list[j].mount = find_mount(tree, &b, b.list[j].path);
        if (b.full)
            return -ENOMEM;
        snapshot->unions[snapshot->n_unions++] = (struct lethe_union){i, b.list, b.n};
    }
    return 0;
}
