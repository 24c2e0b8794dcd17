/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * mounts make N DIRECTORY: binds the directory N times below itself, in DIRECTORY/0 and on.
 * mounts take N DIRECTORY: unmounts them again, the newest first, and tells the milliseconds.
 */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>

static const char *name(const char *directory, long i)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%ld", directory, i);
    return path;
}

static void make(const char *directory, long n)
{
    for (long i = 0; i < n; i++) {
        const char *path = name(directory, i);
        if ((mkdir(path, 0700) && errno != EEXIST) || mount(directory, path, NULL, MS_BIND, NULL))
            err(1, "%s", path);
    }
}

static void take(const char *directory, long n)
{
    struct timespec begun, ended;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    while (n--)
        if (umount2(name(directory, n), UMOUNT_NOFOLLOW))
            err(1, "%s", name(directory, n));
    clock_gettime(CLOCK_MONOTONIC, &ended);
    printf("%ld\n",
           (ended.tv_sec - begun.tv_sec) * 1000 + (ended.tv_nsec - begun.tv_nsec) / 1000000);
}

int main(int argc, char **argv)
{
    if (argc != 4 || (strcmp(argv[1], "make") && strcmp(argv[1], "take")))
        errx(2, "usage: mounts make|take N DIRECTORY");
    (argv[1][0] == 'm' ? make : take)(argv[3], atol(argv[2]));
    return 0;
}
