/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writes what a plan is made from into a new directory, for bug reports and as test data. */
#include "lethe/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "lethe/init.h"

/* A directory that was not there before, so that nothing is overwritten and nothing of another
 * tree gets in. */
static int make_new(const char *path)
{
    if (mkdir(path, 0755))
        return -errno;
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return dir < 0 ? -errno : dir;
}

int lethe_capture_main(int argc, char **argv)
{
    struct lethe_snapshot snapshot;
    struct lethe_arena arena;
    const char *path = NULL, *tree = NULL;
    bool names = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--names"))
            names = true;
        else if (!strcmp(argv[i], "--root") && i + 1 < argc)
            tree = argv[++i];
        else if (argv[i][0] != '-' && !path)
            path = argv[i];
        else
            return lethe_command_bad_option("capture", argv[i]);
    }
    if (!path)
        return lethe_command_refuse("capture", "a directory to write to is missing");
    if (lethe_command_whole_snapshot("capture", tree, &snapshot, &arena))
        return 2;
    int dir = make_new(path), r = dir < 0 ? dir : lethe_capture(dir, &snapshot, names, &arena);
    if (dir >= 0)
        close(dir);
    if (r)
        fprintf(stderr, "lethe capture: %s: %s\n", path, strerror(-r));
    return !r ? 0 : dir < 0 ? 2 : 1;
}
