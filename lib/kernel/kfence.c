/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/kfence.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

#define DEBUGFS "/sys/kernel/debug"

static const char interval[] = "/sys/module/kfence/parameters/sample_interval"; /* ms */

bool lethe_kfence_samples(void)
{
    char text[32];
    return lethe_sys_read_line(AT_FDCWD, interval, text, sizeof text) && atol(text) > 0;
}

/* Returns how many allocations were sampled since the start, or -1. */
static long count_sampled(void)
{
    static const char before[] = "total allocations:";
    char text[512];
    const char *at;
    if (!lethe_sys_read_text(AT_FDCWD, DEBUGFS "/kfence/stats", text, sizeof text))
        return -1;
    at = strstr(text, before);
    return at ? atol(at + sizeof before - 1) : -1;
}

/* Returns how many pages the pool has, one line of the list for each; 0 when it can't be read. */
static long count_pages(void)
{
    char line[512];
    long n = 0;
    FILE *list = fopen(DEBUGFS "/kfence/objects", "re");
    while (list && fgets(line, sizeof line, list))
        n += !strncmp(line, "kfence-#", 8);
    if (list)
        fclose(list);
    return n;
}

static void allocate_some(void)
{
    enum { SOME = 16 };
    int ends[2];
    for (int i = 0; i < SOME && !pipe(ends); i++) {
        close(ends[0]);
        close(ends[1]);
    }
}

bool lethe_kfence_overwrite(int64_t end_ms)
{
    const struct timespec pause = {0, 1000 * 1000};
    int r = lethe_sys->mount("debugfs", DEBUGFS, "debugfs", 0, NULL);
    long pages = r && r != -EBUSY ? 0 : count_pages(), now = count_sampled();
    const long wanted = now + pages;
    if (!pages || now < 0 || lethe_sys->write_file(interval, "1"))
        return false;
    for (; now < wanted && lethe_sys_now_ms() < end_ms; now = count_sampled()) {
        allocate_some();
        nanosleep(&pause, NULL);
    }
    return now >= wanted;
}
