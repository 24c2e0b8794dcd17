/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writes what a plan is made from into a new directory, for bug reports and as test data. */
#include "lethe/kernel/capture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "init.h"
#include "options.h"

/* Makes a directory that was not there before, so that nothing is overwritten and nothing of
 * another tree gets in. */
static int make_new(const char *path)
{
    if (mkdir(path, 0755))
        return -errno;
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return dir < 0 ? -errno : dir;
}

/* Removes a tree that is not complete: it would give another plan than its system. */
static void remove_tree(int dir)
{
    int again = dup(dir);
    DIR *list = again < 0 ? NULL : fdopendir(again);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        int below = openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below >= 0) {
            remove_tree(below);
            close(below);
        }
        unlinkat(dir, entry->d_name, below >= 0 ? AT_REMOVEDIR : 0);
    }
    if (list)
        closedir(list);
}

struct request {
    const char *path, *tree;
    bool names;
};

static bool take_names(void *request, const char *unused)
{
    (void)unused;
    return ((struct request *)request)->names = true;
}

static bool take_root(void *request, const char *value)
{
    ((struct request *)request)->tree = value;
    return true;
}

static bool take_path(void *request, const char *value)
{
    ((struct request *)request)->path = value;
    return true;
}

static const struct lethe_option options[] = {
    {"--names", NULL, "keep all names as they are", take_names, false},
    {"--root", "DIRECTORY", "capture this captured tree again", take_root, false},
};

static const struct lethe_usage usage = {
    .command = "capture",
    .summary = "Writes what a plan is made from into a new directory, for bug reports.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .operand = "NEW-DIRECTORY",
    .take = take_path,
};

/* Writes the tree beside its place and renames it when it is whole: a capture that is killed leaves
 * nothing that could be taken for one. `begun` is set when something may have been written. */
static int write_tree(const struct request *request, const struct lethe_snapshot *snapshot,
                      struct lethe_arena *arena, bool *begun)
{
    char part[PATH_MAX];
    struct stat st;
    size_t n = strlen(request->path);
    while (n > 1 && request->path[n - 1] == '/')
        n--;
    if (!lstat(request->path, &st))
        return -EEXIST;
    if (snprintf(part, sizeof part, "%.*s.part", (int)n, request->path) >= (int)sizeof part)
        return -ENAMETOOLONG;
    int dir = make_new(part);
    if (dir < 0)
        return dir;
    *begun = true;
    int r = lethe_capture(dir, snapshot, request->names, arena);
    if (!r && rename(part, request->path))
        r = -errno;
    if (r) {
        remove_tree(dir);
        rmdir(part);
    }
    close(dir);
    return r;
}

int lethe_capture_main(int argc, char **argv)
{
    struct lethe_snapshot snapshot;
    struct lethe_arena arena;
    struct request request = {0};
    char shown[300];
    bool begun = false;
    int r;
    if (!lethe_options_read(&usage, &request, argc, argv, &r))
        return r;
    if (!request.path)
        return lethe_command_refuse("capture", "a directory to write to is missing");
    if (lethe_command_whole_snapshot("capture", request.tree, &snapshot, &arena))
        return 2;
    r = write_tree(&request, &snapshot, &arena, &begun);
    if (r)
        fprintf(stderr, "lethe capture: %s: %s\n",
                lethe_text_printable(shown, sizeof shown, request.path), strerror(-r));
    return !r ? 0 : begun ? 1 : 2;
}
