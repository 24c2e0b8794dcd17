/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "init.h"
#include "lethe/kernel/ask.h"
#include "lethe/kernel/namespaces.h"
#include "lethe/kernel/snapshot.h"
#include "lethe/kernel/sys.h"

int lethe_command_refuse(const char *command, const char *why)
{
    fprintf(stderr, "lethe %s: %s; nothing was done\n", command, why);
    return 2;
}

/* A snapshot taken by a child into memory that both see: a system that hangs may not answer what a
 * live snapshot asks it. Then /proc and /sys have to do. */
struct taking {
    struct lethe_snapshot *snapshot; /* all of these in shared memory */
    struct lethe_arena arena;
    int root, r;
    bool live, namespaces;
};

static void take_snapshot(void *context, size_t unused)
{
    struct taking *t = context;
    (void)unused;
    t->r = lethe_snapshot_take(t->snapshot, t->root, t->live, &t->arena,
                               &lethe_snapshot_complain_to_log);
    if (!t->r && t->namespaces)
        t->r = lethe_namespaces_add(t->snapshot, t->root, t->live, &t->arena);
}

static struct lethe_arena shared_arena(void)
{
    for (size_t size = (size_t)1 << 30; size >= (size_t)1 << 20; size /= 4) {
        void *base = lethe_ask_memory(size);
        if (base)
            return (struct lethe_arena){base, size, 0};
    }
    return (struct lethe_arena){0};
}

static int take_live(struct taking *t)
{
    enum { ANSWER_MS = 10000 };
    const size_t begin = t->arena.used;
    if (!lethe_ask(take_snapshot, t, 1, ANSWER_MS, 1))
        return t->r;
    t->arena.used = begin;
    t->live = false;
    take_snapshot(t, 0);
    t->snapshot->unseen |= LETHE_UNSEEN_ANSWERS;
    return t->r;
}

static int take(const char *command, const char *tree, bool namespaces,
                struct lethe_snapshot *snapshot, struct lethe_arena *arena)
{
    *arena = shared_arena();
    struct taking *t = lethe_arena_alloc(arena, 1, sizeof *t);
    struct lethe_snapshot *taken = lethe_arena_alloc(arena, 1, sizeof *taken);
    int root = open(tree ? tree : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = root < 0 ? -errno : t && taken ? 0 : -ENOMEM;
    if (!r) {
        *t = (struct taking){taken, *arena, root, 0, !tree, namespaces};
        if (tree)
            take_snapshot(t, 0);
        r = tree ? t->r : take_live(t);
        *arena = t->arena;
        *snapshot = *taken;
    }
    if (root >= 0)
        close(root);
    char shown[300];
    if (r)
        fprintf(stderr, "lethe %s: %s/proc/self/mountinfo: %s\n", command,
                lethe_text_printable(shown, sizeof shown, tree ? tree : ""), strerror(-r));
    return r;
}

int lethe_command_snapshot(const char *command, const char *tree, struct lethe_snapshot *snapshot,
                           struct lethe_arena *arena)
{
    return take(command, tree, false, snapshot, arena);
}

int lethe_command_whole_snapshot(const char *command, const char *tree,
                                 struct lethe_snapshot *snapshot, struct lethe_arena *arena)
{
    return take(command, tree, true, snapshot, arena);
}

size_t lethe_command_armed_mount(const struct lethe_snapshot *snapshot)
{
    for (size_t i = snapshot->n_mounts; i--;) {
        const struct lethe_mount *m = &snapshot->mounts[i];
        if (!strcmp(m->path, LETHE_ARMED_DIR))
            return lethe_mount_is_ram(m) && !strcmp(m->source, "lethe") ? i : LETHE_NONE;
    }
    return LETHE_NONE;
}

bool lethe_command_has_systemd(void)
{
    char name[32];
    return lethe_sys_read_line(AT_FDCWD, "/proc/1/comm", name, sizeof name) &&
           !strcmp(name, "systemd");
}

bool lethe_command_same_content(const char *a, const char *b)
{
    static char left[16384], right[16384];
    FILE *fa = fopen(a, "re"), *fb = fopen(b, "re");
    bool same = fa && fb;
    for (size_t n = 1; same && n;) {
        n = fread(left, 1, sizeof left, fa);
        same = fread(right, 1, sizeof right, fb) == n && !memcmp(left, right, n);
    }
    if (fa)
        fclose(fa);
    if (fb)
        fclose(fb);
    return same;
}

int lethe_command_flush(const char *command)
{
    errno = 0;
    if (!fflush(stdout) && !ferror(stdout))
        return 0;
    const int r = errno ? -errno : -EIO;
    fprintf(stderr, "lethe %s: what was to be said could not be written: %s\n", command,
            strerror(-r));
    return r;
}

void lethe_command_print_json(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < ' ' || c >= 0177) /* not all names are UTF-8: each byte by its number */
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

void lethe_command_print_field(const char *name, const char *text)
{
    printf("\"%s\": ", name);
    lethe_command_print_json(text);
}
