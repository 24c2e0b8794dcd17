/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "crypt_system.h"

#include <errno.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "jail.h"
#include "lethe/kernel/sys.h"

enum { CONTROL = 1000 }; /* the descriptor of device-mapper */

static const struct {
    const char *uuid, *table;
} devices[DEVICES] = {
    [HOME] = {"CRYPT-LUKS2-0-home\n", "crypt"},
    [OTHER] = {"CRYPT-PLAIN-other\n", "crypt"},
    [VOLUME] = {"LVM-volume\n", "linear"},
    [VERITY] = {"CRYPT-VERITY-1-root\n", "verity"},
    [BY_HAND] = {"\n", "crypt"},
    [LINEAR] = {"\n", "linear"},
    [PATHS] = {"mpath-1\n", "multipath"},
};

static const struct crypt_system *made;
static struct crypt_seen *counts;

static int fake_open(const char *path, int flags)
{
    (void)flags;
    return strcmp(path, "/dev/mapper/control") ? -ENOENT : CONTROL;
}

static int fake_close(int fd)
{
    return fd == CONTROL ? 0 : -EBADF;
}

static int fake_message(unsigned device, const char *text)
{
    counts->wiped[device] += !strcmp(text, "key wipe");
    if (device == PATHS && !strcmp(text, "fail_if_no_path"))
        counts->told_in_time += !counts->asked[HOME] && !counts->asked[OTHER];
    return 0;
}

static int fake_ioctl(int fd, unsigned long request, void *argument)
{
    struct dm_ioctl *head = argument;
    struct dm_target_spec target = {0};
    char *data = (char *)argument + head->data_start;
    const unsigned device = minor(head->dev);
    if (fd != CONTROL || major(head->dev) != 254 || device >= DEVICES)
        return -ENXIO;
    head->target_count = 1;
    if (request == DM_TABLE_STATUS) {
        snprintf(target.target_type, sizeof target.target_type, "%s", devices[device].table);
        memcpy(data, &target, sizeof target);
        return 0;
    }
    counts->asked[device] += device != PATHS;
    if (request == DM_TARGET_MSG)
        return fake_message(device, ((struct dm_target_msg *)data)->message);
    return request == DM_TABLE_LOAD && made->refused & 1U << device ? -EBUSY : 0;
}

static int fake_write_file(const char *path, const char *text)
{
    counts->resets += strstr(path, "/nvme0n1/device/reset_controller") != NULL;
    if (access(path, F_OK))
        return -ENOENT;
    jail_put(path, text);
    return 0;
}

static void put(const char *name, const char *what, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/class/block/%s/%s", name, what);
    jail_put(path, text);
}

static void put_disks(void)
{
    jail_link("/sys/class/block/sda", "../../devices/sda");
    jail_link("/sys/class/block/sda1", "../../devices/sda/sda1");
    jail_put("/sys/devices/sda/dev", "8:0\n");
    jail_put("/sys/devices/sda/device/state", made->blocked ? "blocked\n" : "running\n");
    jail_put("/sys/devices/sda/device/delete", "");
    jail_put("/sys/devices/sda/sda1/dev", "8:1\n");
    jail_put("/sys/devices/sda/sda1/partition", "1\n");
    put("sdb", "dev", "8:16\n");
    put("sdb", "device/state", "running\n");
    put("nvme0n1", "dev", "259:0\n");
    put("loop0", "dev", "7:0\n");
    put("loop0", "loop/backing_file", "/data/file\n");
}

static void put_mapped(void)
{
    char name[16], number[16];
    for (unsigned i = 0; i < DEVICES; i++) {
        snprintf(name, sizeof name, "dm-%u", i);
        snprintf(number, sizeof number, "254:%u\n", i);
        put(name, "dev", number);
        put(name, "dm/uuid", devices[i].uuid);
        put(name, "dm/name", i == VOLUME ? "volume\n" : "\n");
        put(name, "size", "2048\n");
    }
}

/* What a link leads to does not count: names are looked up in /sys/class/block. */
static void put_slave(const char *link)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/class/block/%s", link);
    jail_link(path, "x");
}

static void put_proc(void)
{
    char text[512];
    snprintf(text, sizeof text, "Filename\tType\tSize\tUsed\tPriority\n%s",
             made->swap ? made->swap : "");
    jail_put("/proc/swaps", text);
    snprintf(text, sizeof text, "1 0 0:1 / / rw - tmpfs a rw\n2 1 %s / /data rw - ext4 x rw\n",
             made->data ? made->data : "254:1");
    if (!made->no_mounts)
        jail_put("/proc/self/mountinfo", text);
}

static struct lethe_progress *new_progress(void)
{
    struct lethe_progress *progress = lethe_progress_new();
    for (unsigned i = 0; i < DEVICES; i++) {
        uint64_t task = lethe_task_id_of_device(LETHE_TASK_WIPE_KEY, (struct lethe_devno){254, i});
        if (made->finished & 1U << i)
            lethe_task_set_finished(progress, task);
        if (made->stuck & 1U << i)
            lethe_task_set_stuck(progress, task);
    }
    return progress;
}

struct lethe_progress *crypt_system_put(const struct crypt_system *system, struct crypt_seen *seen)
{
    static struct lethe_sys table;
    made = system;
    counts = seen;
    table = *lethe_sys;
    table.open = fake_open;
    table.close = fake_close;
    table.ioctl = fake_ioctl;
    table.write_file = fake_write_file;
    lethe_sys = &table;
    put_disks();
    put_mapped();
    put_slave("dm-0/slaves/sda1");
    put_slave("dm-1/slaves/sdb");
    put_slave("dm-2/slaves/dm-1");
    put_slave("dm-3/slaves/sda1");
    if (system->slave)
        put_slave(system->slave);
    put_proc();
    return new_progress();
}
