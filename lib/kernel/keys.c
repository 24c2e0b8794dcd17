/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/keys.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lethe/log.h"
#include "lethe/mountinfo.h"
#include "lethe/stop.h"
#include "lethe/sys.h"
#include "lethe/text.h"

/* A link in slaves/ outlives what it leads to. */
static bool is_gone(const char *name, int depth)
{
    enum { DEPTH_MAX = 16 };
    char path[320], number[32];
    bool gone = !lethe_read_block(name, "dev", number, sizeof number);
    snprintf(path, sizeof path, "/sys/class/block/%.255s/slaves", name);
    DIR *slaves = gone || depth == DEPTH_MAX ? NULL : opendir(path);
    if (!slaves)
        return gone;
    for (struct dirent *slave; !gone && (slave = readdir(slaves));)
        gone = slave->d_name[0] != '.' && is_gone(slave->d_name, depth + 1);
    closedir(slaves);
    return gone;
}

/* /proc/swaps names a device-mapper device by its node, /dev/dm-N. */
static bool is_swap(const char *name)
{
    char text[4096], node[64];
    struct lethe_span swaps, line;
    ssize_t n = lethe_read_file(AT_FDCWD, "/proc/swaps", text, sizeof text);
    int length = snprintf(node, sizeof node, "/dev/%.32s ", name);
    swaps = (struct lethe_span){text, n > 0 ? (size_t)n : 0};
    while (lethe_next_line(&swaps, &line))
        if (line.n > (size_t)length && !memcmp(line.at, node, (size_t)length))
            return true;
    return false;
}

static bool is_wanted(const char *name, enum lethe_keys which)
{
    switch (which) {
    case LETHE_KEYS_GONE:
        return is_gone(name, 0);
    case LETHE_KEYS_IDLE:
        return !is_swap(name) || is_gone(name, 0);
    case LETHE_KEYS_ALL:
        break;
    }
    return true;
}

static bool find_crypt(const char *name, struct lethe_block *block)
{
    char text[160]; /* DM_UUID_LEN is 129 */
    *block = (struct lethe_block){.name = name, .kind = LETHE_BLOCK_CRYPT};
    return !strncmp(name, "dm-", 3) && lethe_read_block(name, "dm/uuid", text, sizeof text) &&
           !strncmp(text, "CRYPT-", 6) && lethe_read_block(name, "dev", text, sizeof text) &&
           !lethe_devno(lethe_span(text), &block->devno);
}

static bool wipe(const struct lethe_block *block, const struct lethe_policy *policy,
                 struct lethe_progress *progress)
{
    uint64_t key = lethe_key('k', makedev(block->devno.major, block->devno.minor));
    char text[100];
    if (lethe_finished(progress, key))
        return true;
    snprintf(text, sizeof text, "wipe the key of %.64s", block->name);
    if (!lethe_begin(progress, key, policy->step_ms, text))
        return false;
    int r = lethe_stop_wipe_key(block);
    lethe_end(progress);
    if (r)
        lethe_log(LETHE_LOG_ERROR, "%.64s (crypt): its key could not be wiped: %s", block->name,
                  strerror(-r));
    else
        lethe_finished_add(progress, key);
    return !r;
}

unsigned lethe_keys_wipe(enum lethe_keys which, const struct lethe_policy *policy,
                         struct lethe_progress *progress)
{
    unsigned left = 0;
    struct lethe_block block;
    DIR *blocks = opendir("/sys/class/block");
    if (!blocks)
        return 0;
    for (struct dirent *entry; (entry = readdir(blocks));)
        if (find_crypt(entry->d_name, &block) && is_wanted(entry->d_name, which))
            left += !wipe(&block, policy, progress);
    closedir(blocks);
    return left;
}
