/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/keys.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lethe/devices.h"
#include "lethe/log.h"
#include "lethe/stop.h"
#include "lethe/sys.h"
#include "lethe/text.h"

/* Whether it is true of the device or of any that it is tied to by `links`, "slaves" (what it lies
 * on) or "holders". */
static bool any_tied(const char *name, const char *links, int depth,
                     bool (*test)(const char *name, const void *context), const void *context)
{
    enum { DEPTH_MAX = 16 };
    char path[320];
    bool found = test(name, context);
    snprintf(path, sizeof path, "/sys/class/block/%.255s/%s", name, links);
    DIR *dir = found || depth == DEPTH_MAX ? NULL : opendir(path);
    if (!dir)
        return found;
    for (struct dirent *tied; !found && (tied = readdir(dir));)
        found = tied->d_name[0] != '.' && any_tied(tied->d_name, links, depth + 1, test, context);
    closedir(dir);
    return found;
}

/* A link in slaves/ outlives what it leads to. */
static bool has_no_number(const char *name, const void *unused)
{
    char number[32];
    (void)unused;
    return !lethe_read_block(name, "dev", number, sizeof number);
}

static bool is_gone(const char *name)
{
    return any_tied(name, "slaves", 0, has_no_number, NULL);
}

/* A line of /proc/swaps: name, type, size and how much of it is in use. */
static bool is_in_use(const char *swaps, const char *folder, const char *name)
{
    char node[192];
    unsigned long long used;
    int length = snprintf(node, sizeof node, "\n%s%.128s ", folder, name);
    const char *line = strstr(swaps, node);
    return line && sscanf(line + length, "%*s %*s %llu", &used) == 1 && used;
}

/* Without udev, which makes a link of it, the name in /dev/mapper is a node of its own. */
static bool is_swapped_to(const char *name, const void *swaps)
{
    char dm_name[160];
    return is_in_use(swaps, "/dev/", name) ||
           (lethe_read_block(name, "dm/name", dm_name, sizeof dm_name) &&
            is_in_use(swaps, "/dev/mapper/", dm_name));
}

/* Something that lies on it, too: a logical volume. */
static bool carries_swap(const char *name)
{
    char swaps[4096];
    return lethe_read_text(AT_FDCWD, "/proc/swaps", swaps, sizeof swaps) &&
           any_tied(name, "holders", 0, is_swapped_to, swaps);
}

static bool is_wanted(const char *name, enum lethe_keys which)
{
    switch (which) {
    case LETHE_KEYS_GONE:
        return is_gone(name);
    case LETHE_KEYS_IDLE:
        return !carries_swap(name) || is_gone(name);
    case LETHE_KEYS_ALL:
        break;
    }
    return true;
}

static bool find_crypt(const char *name, struct lethe_block *block)
{
    static char uuid[160]; /* DM_UUID_LEN is 129 */
    char number[32];
    if (strncmp(name, "dm-", 3) || !lethe_read_block(name, "dm/uuid", uuid, sizeof uuid) ||
        !lethe_read_block(name, "dev", number, sizeof number))
        return false;
    *block = (struct lethe_block){
        .name = name, .kind = lethe_block_kind(name, uuid, false), .dm_uuid = uuid};
    return !lethe_devno(lethe_span(number), &block->devno) && lethe_stop_holds_key(block);
}

static bool wipe(const struct lethe_block *block, const struct lethe_policy *policy,
                 struct lethe_progress *progress)
{
    uint64_t task = lethe_task_id_of_device(LETHE_TASK_WIPE_KEY, block->devno);
    if (lethe_task_is_finished(progress, task))
        return true;
    if (!lethe_task_beginf(progress, task, policy->step_ms, "wipe the key of %.64s", block->name))
        return false;
    int r = lethe_stop_wipe_key(block, &progress->keys_ms);
    lethe_task_done(progress);
    if (r)
        lethe_log(LETHE_LOG_ERROR, "%.64s (crypt): its key could not be wiped: %s", block->name,
                  strerror(-r));
    else
        lethe_task_set_finished(progress, task);
    progress->keys += !r;
    return !r;
}

/* A disk of the kernel's SCSI layer (USB and SATA are too) that is set offline fails what waits for
 * it at once; others have no such word. Of a partition it is asked of the disk around it. */
static bool set_offline(const char *name, const void *unused)
{
    char path[320];
    (void)unused;
    snprintf(path, sizeof path, "/sys/class/block/%.255s/device/state", name);
    lethe_sys->write_file(path, "offline\n");
    snprintf(path, sizeof path, "/sys/class/block/%.255s/../device/state", name);
    lethe_sys->write_file(path, "offline\n");
    return false; /* on to what it lies on */
}

void lethe_keys_cut_off(enum lethe_keys which, const struct lethe_progress *progress)
{
    struct lethe_block block;
    DIR *blocks = opendir("/sys/class/block");
    if (!blocks)
        return;
    for (struct dirent *entry; (entry = readdir(blocks));)
        if (find_crypt(entry->d_name, &block) && is_wanted(entry->d_name, which) &&
            !lethe_task_is_finished(progress,
                                    lethe_task_id_of_device(LETHE_TASK_WIPE_KEY, block.devno)))
            any_tied(entry->d_name, "slaves", 0, set_offline, NULL);
    closedir(blocks);
}

unsigned lethe_keys_wipe(enum lethe_keys which, const struct lethe_policy *policy,
                         struct lethe_progress *progress)
{
    unsigned left = 0;
    struct lethe_block block;
    DIR *blocks = opendir("/sys/class/block");
    if (!blocks)
        return 1;
    for (struct dirent *entry; (entry = readdir(blocks));)
        if (find_crypt(entry->d_name, &block) && is_wanted(entry->d_name, which))
            left += !wipe(&block, policy, progress);
    closedir(blocks);
    return left;
}
