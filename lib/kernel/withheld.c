/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/withheld.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lethe/kernel/log.h"
#include "lethe/kernel/sys.h"

uint64_t lethe_withheld_bad_kib(void)
{
    return lethe_sys_meminfo("HardwareCorrupted");
}

/* Returns how many blocks are offline, after it has asked for each to be taken into use where that
 * is wanted. */
static unsigned count_offline(bool put_online)
{
    char path[300], state[32];
    unsigned n = 0;
    DIR *blocks = opendir("/sys/devices/system/memory");
    for (struct dirent *block; blocks && (block = readdir(blocks));) {
        snprintf(path, sizeof path, "/sys/devices/system/memory/%.255s/state", block->d_name);
        if (strncmp(block->d_name, "memory", 6) ||
            !lethe_sys_read_line(AT_FDCWD, path, state, sizeof state) || strcmp(state, "offline"))
            continue;
        n++;
        if (put_online)
            lethe_sys->write_file(path, "online");
    }
    if (blocks)
        closedir(blocks);
    return n;
}

void lethe_withheld_put_online(void)
{
    count_offline(true);
}

unsigned lethe_withheld_report(uint64_t bad_kib)
{
    const unsigned offline = count_offline(false);
    if (offline)
        lethe_log(LETHE_LOG_ERROR, "%u blocks of memory are offline: what they held is left",
                  offline);
    if (bad_kib)
        lethe_log(LETHE_LOG_ERROR,
                  "%llu KiB of memory are out of use for errors: what they held is left",
                  (unsigned long long)bad_kib);
    return (offline != 0) + (bad_kib != 0);
}
