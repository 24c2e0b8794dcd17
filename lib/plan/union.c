/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/union.h"
#include "lethe/plan/tree.h"

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

static void add_path(struct branches *b, const char *path, bool writable)
{
    if (path && !path[0])
        return;
    if (b->n == b->room) {
        size_t room = b->room ? 2 * b->room : 8;
        struct lethe_branch *list = lethe_arena_alloc(b->arena, room, sizeof *list);
        if (list && b->n)
            memcpy(list, b->list, b->n * sizeof *list);
        b->list = list ? list : b->list;
        b->room = list ? room : b->room;
    }
    if (!path || b->n == b->room)
        b->full = true;
    else
        b->list[b->n++] = (struct lethe_branch){path, writable, LETHE_NONE, false};
}

static void add_branch(struct branches *b, struct lethe_span path, bool writable)
{
    add_path(b, lethe_text_unescape(b->arena, path), writable);
}

/* Copies the text without the backslashes that mount(8) took before ':', ',' and '\'. mountinfo
 * writes the backslash itself as \134. */
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

/* Returns the length of the first layer of a list separated by colons. A colon behind a backslash
 * (\134) belongs to the path. */
static size_t layer_length(struct lethe_span list)
{
    size_t i = 0;
    while (i < list.n && list.at[i] != ':')
        i += list.n - i > 4 && !memcmp(list.at + i, "\\134", 4) ? 5 : 1;
    return i < list.n ? i : list.n;
}

const char *lethe_union_overlay_layer(struct lethe_arena *arena, struct lethe_span *value,
                                      bool many)
{
    size_t n = many ? layer_length(*value) : value->n;
    struct lethe_span layer = {value->at, n};
    n += n < value->n; /* the colon */
    *value = (struct lethe_span){value->at + n, value->n - n};
    layer = strip_backslashes(arena, layer);
    return layer.at ? lethe_text_unescape(arena, layer) : NULL;
}

static void add_layers(struct branches *b, struct lethe_span list)
{
    while (list.n && !b->full)
        add_path(b, lethe_union_overlay_layer(b->arena, &list, true), false);
}

static void add_layer(struct branches *b, struct lethe_span value)
{
    add_path(b, lethe_union_overlay_layer(b->arena, &value, false), true);
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

/* Splits the options at commas; a comma inside a path is written \054. */
static void find_overlay(struct branches *b, const char *options)
{
    for (struct lethe_span rest = lethe_span(options); rest.at;) {
        struct lethe_span option = lethe_text_cut(&rest, ',');
        if (starts(option, "upperdir="))
            add_layer(b, behind(option, "upperdir="));
        else if (starts(option, "workdir="))
            add_layer(b, behind(option, "workdir="));
        else if (starts(option, "lowerdir+="))
            add_branch(b, behind(option, "lowerdir+="), false);
        else if (starts(option, "datadir+="))
            add_branch(b, behind(option, "datadir+="), false);
        else if (starts(option, "lowerdir="))
            add_layers(b, behind(option, "lowerdir="));
    }
}

/* Adds a branch such as "path=rw+nolwh". The last '=' ends the path: the permission has none. */
static void add_aufs_branch(struct branches *b, struct lethe_span branch)
{
    size_t n = branch.n;
    while (n && branch.at[n - 1] != '=')
        n--;
    bool writable = n && starts((struct lethe_span){branch.at + n, branch.n - n}, "rw");
    add_branch(b, (struct lethe_span){branch.at, n ? n - 1 : branch.n}, writable);
}

/* True for an id as aufs writes it, in hex digits: nothing else may become a part of a path. */
static bool is_aufs_id(struct lethe_span id)
{
    for (size_t i = 0; i < id.n; i++)
        if (!strchr("0123456789abcdef", id.at[i]) || !id.at[i])
            return false;
    return id.n && id.n <= 16;
}

static struct lethe_span read_aufs(const struct lethe_union_reader *reader, struct lethe_span id,
                                   const char *name, int number)
{
    char path[64];
    snprintf(path, sizeof path, "sys/fs/aufs/si_%.*s/%s", (int)id.n, id.at, name);
    if (number >= 0)
        snprintf(path + strlen(path), sizeof path - strlen(path), "%d", number);
    struct lethe_span text = reader->read(reader->context, path);
    return text.n ? lethe_text_cut(&text, '\n') : (struct lethe_span){NULL, 0};
}

static void find_aufs(struct branches *b, const char *options,
                      const struct lethe_union_reader *reader)
{
    for (struct lethe_span rest = lethe_span(options); rest.at;) {
        struct lethe_span option = lethe_text_cut(&rest, ',');
        if (starts(option, "br:")) {
            for (struct lethe_span list = behind(option, "br:"); list.at;)
                add_aufs_branch(b, lethe_text_cut(&list, ':'));
        } else if (starts(option, "xino=")) {
            add_branch(b, behind(option, "xino="), true);
        } else if (starts(option, "si=") && is_aufs_id(behind(option, "si="))) {
            struct lethe_span id = behind(option, "si=");
            for (int i = 0; i < AUFS_BRANCHES_MAX; i++) {
                struct lethe_span text = read_aufs(reader, id, "br", i);
                if (text.n)
                    add_aufs_branch(b, text);
            }
            struct lethe_span file = read_aufs(reader, id, "xi_path", -1);
            if (file.n)
                add_branch(b, file, true);
        }
    }
}

/* -- FUSE: words of a command line ------------------------------------------------------------ */

static const char *const fuse_types[] = {"fuse.fuse-overlayfs", "fuse.unionfs", "fuse.unionfs-fuse",
                                         "fuse.mergerfs"};
enum { FUSE_TYPES = sizeof fuse_types / sizeof *fuse_types };

bool lethe_union_is_fuse(const struct lethe_mount *mount)
{
    for (size_t i = 0; i < FUSE_TYPES; i++)
        if (!strcmp(mount->fstype, fuse_types[i]))
            return true;
    return false;
}

/* Cuts off the next of libfuse's options. They are split at commas; a backslash takes a byte, or
 * three octal digits for one, into the option (lib/fuse_opt.c). */
static struct lethe_span next_option(struct lethe_arena *arena, struct lethe_span *rest)
{
    size_t i = 0, n = 0;
    char *text = lethe_arena_text(arena, rest->n ? rest->at : "", rest->n);
    for (; text && i < rest->n && rest->at[i] != ','; n++) {
        bool octal = lethe_text_octal_escape(rest->at + i, rest->n - i, &text[n]);
        if (!octal) {
            i += rest->at[i] == '\\' && i + 1 < rest->n;
            text[n] = rest->at[i];
        }
        i += octal ? 4 : 1;
    }
    *rest = text && i < rest->n ? (struct lethe_span){rest->at + i + 1, rest->n - i - 1}
                                : (struct lethe_span){NULL, 0};
    return (struct lethe_span){text, n};
}

static void add_span(struct branches *b, struct lethe_span path, bool writable)
{
    add_path(b, lethe_arena_text(b->arena, path.n ? path.at : "", path.n), writable);
}

/* Splits the lower layers at colons: none of their paths has one, for nothing escapes it (measured
 * with fuse-overlayfs 1.10). */
static void add_fuse_overlay(struct branches *b, struct lethe_span options)
{
    while (options.at && !b->full) {
        struct lethe_span option = next_option(b->arena, &options), path = option;
        if (!option.at) {
            b->full = true;
            return;
        }
        lethe_text_cut(&path, '=');
        if (starts(option, "lowerdir="))
            while (path.at && !b->full)
                add_span(b, lethe_text_cut(&path, ':'), false);
        else if (starts(option, "upperdir=") || starts(option, "workdir="))
            add_span(b, path, true);
    }
}

/* Reads "path=RW:path=RO:path=NC,4G". A layer without a mode is read-only in unionfs-fuse and
 * writable in mergerfs. */
static void add_modes(struct branches *b, struct lethe_span list, bool writable)
{
    while (list.at && !b->full) {
        struct lethe_span branch = lethe_text_cut(&list, ':');
        size_t n = branch.n;
        while (n && branch.at[n - 1] != '=')
            n--;
        struct lethe_span mode = {branch.at + n, branch.n - n};
        bool writes = n ? !starts(mode, "RO") && !starts(mode, "ro") : writable;
        branch.n = n ? n - 1 : branch.n;
        add_span(b, branch, writes);
    }
}

static void find_fuse(struct branches *b, const struct lethe_mount *m,
                      const struct lethe_union_reader *reader)
{
    bool overlay = !strcmp(m->fstype, "fuse.fuse-overlayfs"),
         mergerfs = !strcmp(m->fstype, "fuse.mergerfs"), option = false;
    struct lethe_span words =
        reader->daemon ? reader->daemon(reader->context, m) : (struct lethe_span){NULL, 0};
    if (!words.n && mergerfs && m->source[0] == '/')
        add_modes(b, lethe_span(m->source), true);
    if (words.n)
        lethe_text_cut(&words, '\0'); /* the program's name */
    while (words.n) {
        struct lethe_span word = lethe_text_cut(&words, '\0');
        bool attached = starts(word, "-o") && word.n > 2;
        if (overlay && (option || attached))
            add_fuse_overlay(b, attached ? behind(word, "-o") : word);
        if (!overlay && !option && !starts(word, "-")) {
            add_modes(b, word, mergerfs);
            return; /* what follows is the mount point */
        }
        option = lethe_span_is(word, "-o");
    }
}

bool lethe_union_is_daemon(struct lethe_span command)
{
    static const char *const names[] = {"fuse-overlayfs", "unionfs",        "unionfs-fuse",
                                        "mergerfs",       "mount.mergerfs", "mount.fuse-overlayfs"};
    struct lethe_span program = command.n ? lethe_text_cut(&command, '\0') : command;
    for (size_t i = program.n; i--;)
        if (program.at[i] == '/') {
            program = (struct lethe_span){program.at + i + 1, program.n - i - 1};
            break;
        }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (lethe_span_is(program, names[i]))
            return true;
    return false;
}

/* A daemon serves the mount whose mount point is among its words, maybe as a relative path. */
bool lethe_union_is_served_by(const struct lethe_mount *mount, struct lethe_span command)
{
    const size_t path = strlen(mount->path);
    if (!lethe_union_is_daemon(command))
        return false;
    lethe_text_cut(&command, '\0');
    while (command.n) {
        struct lethe_span word = lethe_text_cut(&command, '\0');
        if (word.n && word.n <= path && !memcmp(mount->path + path - word.n, word.at, word.n) &&
            (word.at[0] == '/' ? word.n == path : mount->path[path - word.n - 1] == '/'))
            return true;
    }
    return false;
}

static const char *tidy(struct branches *b, const char *system, const char *path)
{
    const char *text = lethe_text_tidy_path(b->arena, system, path);
    b->full = b->full || (path[0] == '/' && !text);
    return text;
}

/* Finds the RAM that a writable branch lies in whose path dates from the initramfs: a mount of RAM
 * that has the rest of the path. */
static size_t find_moved(const struct lethe_snapshot *s, const struct lethe_union_reader *reader,
                         struct branches *b, const char *system, const char *path)
{
    const char *tidied = tidy(b, "", path);
    for (size_t n = tidied ? strlen(tidied) : 0; n > 1; n--) {
        const size_t mount =
            tidied[n] == '/' ? lethe_tree_find_moved(s, system, tidied, n) : LETHE_NONE;
        if (mount == LETHE_NONE || !lethe_mount_is_ram(&s->mounts[mount]))
            continue;
        const char *seen = tidy(b, s->mounts[mount].path, tidied + n);
        if (seen && (!reader->is_there || reader->is_there(reader->context, seen, seen)))
            return mount;
    }
    return LETHE_NONE;
}

/* Finds the mount that shows the branch. Where the branch's own mount has gone, the path leads to
 * the mount that lay below it, which does not have the layer. */
static size_t find_mount(const struct lethe_snapshot *s, const struct lethe_tree *tree,
                         struct branches *b, const struct lethe_union_reader *reader,
                         const char *system, const char *path)
{
    const char *seen = tidy(b, system, path);
    const size_t mount = seen ? lethe_tree_lookup(tree, seen) : LETHE_NONE;
    const struct lethe_mount *m = mount == LETHE_NONE ? NULL : &s->mounts[mount];
    if (m && reader->is_there && (lethe_mount_is_ram(m) || lethe_mount_is_stored(m)) &&
        !lethe_mount_is_answered_for(s, mount) && !reader->is_there(reader->context, path, seen))
        return LETHE_NONE;
    return mount;
}

int lethe_union_find_all(struct lethe_snapshot *snapshot, const struct lethe_tree *tree,
                         struct lethe_arena *arena, const struct lethe_union_reader *reader)
{
    const char *system = tree ? lethe_tree_system(tree) : "";
    size_t n = 0;
    for (size_t i = 0; i < snapshot->n_mounts; i++)
        n += !strcmp(snapshot->mounts[i].fstype, "overlay") ||
             !strcmp(snapshot->mounts[i].fstype, "aufs") ||
             lethe_union_is_fuse(&snapshot->mounts[i]);
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
            find_aufs(&b, m->super_options, reader);
        else if (lethe_union_is_fuse(m))
            find_fuse(&b, m, reader);
        else
            continue;
        for (size_t j = 0; tree && j < b.n; j++) {
            struct lethe_branch *branch = &b.list[j];
            branch->mount = find_mount(snapshot, tree, &b, reader, system, branch->path);
            if (!branch->writable || (branch->mount != LETHE_NONE && branch->mount != i))
                continue;
            const size_t moved = find_moved(snapshot, reader, &b, system, branch->path);
            branch->is_moved = moved != LETHE_NONE;
            branch->mount = branch->is_moved ? moved : branch->mount;
        }
        if (b.full)
            return -ENOMEM;
        snapshot->unions[snapshot->n_unions++] = (struct lethe_union){i, b.list, b.n};
    }
    return 0;
}
