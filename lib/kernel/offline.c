/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/offline.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "lethe/kernel/stop.h"
#include "lethe/kernel/sys.h"
#include "lethe/plan/devices.h"

/* Removes a device whose transport is blocked. If set offline, it would keep its queue stopped; the
 * removal starts the queue again and fails what is in it (__scsi_remove_device(),
 * drivers/scsi/scsi_sysfs.c). */
static void set_scsi_offline(const char *folder)
{
    char path[400], state[32];
    snprintf(path, sizeof path, "%s/state", folder);
    lethe_sys_read_line(AT_FDCWD, path, state, sizeof state);
    if (strcmp(state, "blocked") != 0) {
        lethe_sys->write_file(path, "offline\n");
        return;
    }
    snprintf(path, sizeof path, "%s/delete", folder);
    lethe_sys->write_file(path, "1");
}

bool lethe_offline_find_dm(const char *name, struct lethe_block *block,
                           char uuid[LETHE_OFFLINE_UUID_MAX])
{
    char number[32];
    if (strncmp(name, "dm-", 3) ||
        !lethe_sys_read_block(name, "dm/uuid", uuid, LETHE_OFFLINE_UUID_MAX) ||
        !lethe_sys_read_block(name, "dev", number, sizeof number))
        return false;
    *block = (struct lethe_block){
        .name = name, .kind = lethe_devices_kind(name, uuid, false), .dm_uuid = uuid};
    return !lethe_devno(lethe_span(number), &block->devno);
}

void lethe_offline_set(const char *name)
{
    char folder[320], uuid[LETHE_OFFLINE_UUID_MAX];
    struct lethe_block block;
    if (lethe_offline_find_dm(name, &block, uuid))
        lethe_stop_fail_suspended(&block);
    if (!strncmp(name, "nvme", 4))
        return;
    snprintf(folder, sizeof folder, "/sys/class/block/%.255s/device", name);
    set_scsi_offline(folder);
    snprintf(folder, sizeof folder, "/sys/class/block/%.255s/../device", name);
    set_scsi_offline(folder);
}

/* A reset cancels what the controller is at (nvme_cancel_request(), drivers/nvme/host/core.c). A
 * controller on a network first has requests fail while it looks for its target anew. */
static bool reset_controller(const char *folder)
{
    char path[640];
    snprintf(path, sizeof path, "%s/fast_io_fail_tmo", folder);
    lethe_sys->write_file(path, "0");
    snprintf(path, sizeof path, "%s/reset_controller", folder);
    int r = lethe_sys->write_file(path, "1");
    snprintf(path, sizeof path, "%s/delete_controller", folder);
    lethe_sys->write_file(path, "1");
    return r != -ENOENT;
}

/* A disk that several controllers may lead to lies in the folder of a subsystem, which has links to
 * them. */
bool lethe_offline_reset(const char *name)
{
    char folder[320], path[600];
    bool found = false;
    if (strncmp(name, "nvme", 4) != 0)
        return false;
    lethe_sys->write_file("/sys/module/nvme_core/parameters/max_retries", "0");
    snprintf(folder, sizeof folder, "/sys/class/block/%.255s/device", name);
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (strncmp(entry->d_name, "nvme", 4) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%.255s", folder, entry->d_name);
        found |= reset_controller(path);
    }
    if (dir)
        closedir(dir);
    return reset_controller(folder) || found;
}

void lethe_offline_stop_queueing(bool always)
{
    char uuid[LETHE_OFFLINE_UUID_MAX];
    struct lethe_block block;
    DIR *blocks = opendir("/sys/class/block");
    for (struct dirent *entry; blocks && (entry = readdir(blocks));)
        if (lethe_offline_find_dm(entry->d_name, &block, uuid))
            lethe_stop_queueing(&block, always);
    if (blocks)
        closedir(blocks);
}
