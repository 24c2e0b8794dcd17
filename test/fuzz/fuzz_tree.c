/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * From a directory tree to its plan, to a capture of it and to the plan of that. The input makes
 * the tree: a line "=f PATH" for a file, and what follows it up to the next line with '=' is in it;
 * "=l" a symbolic link, which leads to the line that follows; "=d" a directory, "=p" a FIFO, "=s" a
 * file of a TiB. Beside the tree lies another, with a name in it that must never get into the
 * first.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../unit/invariants.h"
#include "../unit/scene.h"
#include "lethe/kernel/capture.h"
#include "lethe/kernel/namespaces.h"
#include "lethe/kernel/snapshot.h"

enum { ARENA = 1 << 20, MOUNTS_MAX = 48, BLOCKS_MAX = 48 };
#define OUTSIDE "OUTSIDE"

static char base[] = "/dev/shm/lethe-fuzz-XXXXXX";

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    return ftw->level ? remove(path) : 0;
}

/* Leaves the directory itself. */
static void clear(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", base, name);
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void finish(void)
{
    clear("");
    rmdir(base);
}

/* The directory that the last part of the path is to lie in, which *name is cut to. It is made
 * where it is missing; a link on the way is not followed, for this must not leave the tree either.
 */
static int come_to(int root, struct lethe_span *name)
{
    char part[NAME_MAX + 1];
    int dir = dup(root);
    while (dir >= 0) {
        struct lethe_span rest = *name, word = lethe_text_cut(&rest, '/');
        if (!rest.at)
            return dir;
        *name = rest;
        if (!word.n)
            continue;
        snprintf(part, sizeof part, "%.*s", (int)(word.n < NAME_MAX ? word.n : NAME_MAX), word.at);
        mkdirat(dir, part, 0700);
        int next = strcmp(part, "..") ? openat(dir, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW) : -1;
        close(dir);
        dir = next;
    }
    return dir;
}

static void make_one(int root, char kind, struct lethe_span path, struct lethe_span content)
{
    char name[NAME_MAX + 1], target[512];
    int dir = come_to(root, &path), fd = -1;
    if (dir < 0)
        return;
    snprintf(name, sizeof name, "%.*s", (int)(path.n < NAME_MAX ? path.n : NAME_MAX), path.at);
    if (kind == 'd')
        mkdirat(dir, name, 0700);
    if (kind == 'p')
        mkfifoat(dir, name, 0600);
    if (kind == 'f' || kind == 's')
        fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (fd >= 0 && kind == 'f')
        MUST(write(fd, content.at, content.n) == (ssize_t)content.n);
    if (fd >= 0 && kind == 's')
        MUST(!ftruncate(fd, (off_t)1 << 40));
    if (fd >= 0)
        close(fd);
    struct lethe_span line = lethe_text_cut(&content, '\n');
    snprintf(target, sizeof target, "%.*s", (int)(line.n < 511 ? line.n : 511),
             line.n ? line.at : "");
    if (kind == 'l' && symlinkat(target, dir, name))
        unlinkat(dir, name, 0);
    close(dir);
}

static void make_tree(int root, struct lethe_span text)
{
    struct lethe_span line, path = {NULL, 0}, content = {NULL, 0};
    char kind = 0;
    for (bool more = true; more;) {
        more = lethe_text_next_line(&text, &line);
        if (more && !(line.n > 3 && line.at[0] == '=')) {
            content.n = kind ? (size_t)(line.at + line.n - content.at) : 0;
            continue;
        }
        if (kind)
            make_one(root, kind, path, content);
        kind = more ? line.at[1] : 0;
        path = more ? (struct lethe_span){line.at + 3, line.n - 3} : path;
        content = (struct lethe_span){text.at, 0};
    }
}

static int open_empty(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", base, name);
    mkdir(path, 0700);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const char beside[] = "=f proc/self/mountinfo\n1 0 0:1 / /" OUTSIDE " rw - tmpfs x rw\n"
                                 "=f proc/swaps\n/" OUTSIDE " file\n"
                                 "=f sys/class/block/" OUTSIDE "/dev\n1:1\n=f dev/x\n1:1\n"
                                 "=f proc/2/cmdline\nmergerfs\n=l proc/2/ns/mnt\nmnt:[7]\n";
    (void)argc;
    (void)argv;
    MUST(mkdtemp(base));
    atexit(finish);
    int dir = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    make_tree(dir, lethe_span(beside));
    close(dir);
    return 0;
}

/* What the snapshot has of the tree beside it, which the input can't have said itself. */
static bool has_left(const struct lethe_snapshot *s)
{
    bool left = false;
    for (size_t i = 0; i < s->n_mounts; i++)
        left = left || strstr(s->mounts[i].path, OUTSIDE);
    for (size_t i = 0; i < s->n_swaps; i++)
        left = left || strstr(s->swaps[i].path, OUTSIDE);
    for (size_t i = 0; i < s->n_blocks; i++)
        left = left || strstr(s->blocks[i].name, OUTSIDE);
    return left;
}

static void take(struct scene *scene, int root)
{
    const struct lethe_complaint complaint = scene_complaint(scene);
    *scene = (struct scene){.arena = heap_arena(ARENA)};
    scene->r = lethe_snapshot_take(&scene->snapshot, root, false, &scene->arena, &complaint);
    if (!scene->r)
        scene->r = lethe_namespaces_add(&scene->snapshot, root, false, &scene->arena);
    bool small = scene->snapshot.n_mounts <= MOUNTS_MAX && scene->snapshot.n_swaps <= MOUNTS_MAX &&
                 scene->snapshot.n_blocks <= BLOCKS_MAX;
    if (!scene->r && small)
        scene_plan(scene, false);
    if (!scene->r && small)
        invariants_must_hold(scene, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scene scene, again;
    if (memmem(data, size, OUTSIDE, strlen(OUTSIDE)))
        return 0;
    int root = open_empty("tree"), copy = open_empty("copy");
    MUST(root >= 0 && copy >= 0);
    make_tree(root, (struct lethe_span){(const char *)data, size});
    take(&scene, root);
    if (!scene.r) {
        MUST(!has_left(&scene.snapshot));
        if (!lethe_capture(copy, &scene.snapshot, size % 2, &scene.arena)) {
            take(&again, copy);
            MUST(again.r || again.plan.n_steps == scene.plan.n_steps);
            scene_finish(&again);
        }
    }
    scene_finish(&scene);
    close(root);
    close(copy);
    clear("tree");
    clear("copy");
    return 0;
}
