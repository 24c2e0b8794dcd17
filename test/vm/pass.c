/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * pass files DIR MIB | pass memory MIB
 *
 * What Lethe's erasing is measured against, with the clock of the machine it runs on: prints the
 * milliseconds that it takes to overwrite a file of that size in DIR in place by the plainest loop
 * of pwrite(2) and to free it, or to map so much memory and write to all of it once.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 1 << 20 };

static char block[BLOCK];

static long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void write_all(int fd, long mib)
{
    for (long i = 0; i < mib; i++)
        if (pwrite(fd, block, BLOCK, i * BLOCK) != BLOCK)
            err(1, "write");
}

int main(int argc, char **argv)
{
    long mib = argc > 2 ? atol(argv[argc - 1]) : 0, begun;
    if (argc == 4 && !strcmp(argv[1], "files")) {
        char path[4096];
        snprintf(path, sizeof path, "%s/pass", argv[2]);
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        if (fd < 0)
            err(1, "%s", path);
        memset(block, 1, BLOCK);
        write_all(fd, mib);
        memset(block, 0, BLOCK);
        begun = now_ms();
        write_all(fd, mib);
        printf("%ld\n", now_ms() - begun);
        unlink(path);
    } else if (argc == 3 && !strcmp(argv[1], "memory")) {
        begun = now_ms();
        char *memory = mmap(NULL, (size_t)mib * BLOCK, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            err(1, "mmap");
        memset(memory, 1, (size_t)mib * BLOCK);
        printf("%ld\n", now_ms() - begun);
    } else {
        errx(2, "usage: pass files DIR MIB | pass memory MIB");
    }
    return 0;
}
