/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/stop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/dm-ioctl.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <linux/nbd.h>
#include <linux/raid/md_u.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "lethe/kernel/sys.h"

/* A request with room for a target's text behind the header. The largest message sent is shorter,
 * and so is the status of a multipath device with a few dozen paths. */
struct dm_request {
    struct dm_ioctl head;
    char data[4096];
};

/* Names the device by its number alone, so that no name has to be quoted or believed. */
static struct dm_request dm_request(const struct lethe_block *block, unsigned flags)
{
    struct dm_request request = {.head = {
                                     .version = {4, 0, 0},
                                     .data_size = sizeof request,
                                     .data_start = sizeof request.head,
                                     .flags = flags,
                                     .dev = makedev(block->devno.major, block->devno.minor),
                                 }};
    return request;
}

static int dm_send(unsigned long command, struct dm_request *request)
{
    int fd = lethe_sys->open("/dev/mapper/control", O_RDWR);
    if (fd < 0)
        return fd;
    int r = lethe_sys->ioctl(fd, command, request);
    lethe_sys->close(fd);
    return r;
}

static int dm_remove(const struct lethe_block *block, unsigned flags)
{
    struct dm_request request = dm_request(block, flags);
    return dm_send(DM_DEV_REMOVE, &request);
}

/* Removes the device. One whose deferred removal is under way is known to device-mapper no more
 * (ENXIO) a little before it is gone: it is waited for. */
static int dm_remove_now(const struct lethe_block *block)
{
    enum { WAIT_MS = 1000 };
    const struct timespec pause = {0, 5 * 1000 * 1000};
    char number[32];
    int64_t end = lethe_sys_now_ms() + WAIT_MS;
    int r = dm_remove(block, 0);
    for (; r == -ENXIO && lethe_sys_now_ms() < end; nanosleep(&pause, NULL))
        if (!lethe_sys_read_block(block->name, "dev", number, sizeof number))
            return 0;
    return r;
}

static int dm_suspend(const struct lethe_block *block, unsigned flags)
{
    struct dm_request request = dm_request(block, flags);
    return dm_send(DM_DEV_SUSPEND, &request);
}

bool lethe_stop_is_suspended(const struct lethe_block *block)
{
    char text[8];
    return lethe_sys_read_block(block->name, "dm/suspended", text, sizeof text) &&
           !strcmp(text, "1");
}

int lethe_stop_resume(const struct lethe_block *block)
{
    return dm_suspend(block, 0);
}

static int dm_message(const struct lethe_block *block, const char *text)
{
    struct dm_request request = dm_request(block, DM_SECURE_DATA_FLAG);
    snprintf(request.data + sizeof(struct dm_target_msg),
             sizeof request.data - sizeof(struct dm_target_msg), "%s", text);
    return dm_send(DM_TARGET_MSG, &request);
}

static int dm_load_error(const struct lethe_block *block)
{
    char sectors[32];
    uint64_t n;
    struct dm_request request = dm_request(block, 0);
    struct dm_target_spec target = {.target_type = "error"};
    if (!lethe_sys_read_block(block->name, "size", sectors, sizeof sectors) ||
        lethe_text_number(lethe_span(sectors), UINT64_MAX, &n))
        return -ENODATA;
    target.length = n;
    memcpy(request.data, &target, sizeof target);
    request.head.target_count = 1;
    return dm_send(DM_TABLE_LOAD, &request);
}

int lethe_stop_fail_suspended(const struct lethe_block *block)
{
    if (!lethe_stop_is_suspended(block))
        return -EOPNOTSUPP;
    int r = dm_load_error(block);
    return r ? r : dm_suspend(block, DM_SKIP_LOCKFS_FLAG | DM_NOFLUSH_FLAG);
}

bool lethe_stop_holds_key(const struct lethe_block *block)
{
    struct dm_target_spec target;
    if (block->kind != LETHE_BLOCK_DM || block->dm_uuid[0])
        return block->kind == LETHE_BLOCK_CRYPT;
    struct dm_request request = dm_request(block, DM_NOFLUSH_FLAG);
    if (dm_send(DM_TABLE_STATUS, &request) || !request.head.target_count)
        return false;
    memcpy(&target, request.data, sizeof target);
    return !strncmp(target.target_type, "crypt", sizeof target.target_type);
}

/* True for a path whose device is there and not given up by its driver. */
static bool is_path(struct lethe_span number)
{
    char path[80], state[32];
    snprintf(path, sizeof path, "/sys/dev/block/%.*s/dev", (int)number.n, number.at);
    if (!lethe_sys_read_line(AT_FDCWD, path, state, sizeof state))
        return false;
    snprintf(path, sizeof path, "/sys/dev/block/%.*s/device/state", (int)number.n, number.at);
    return !lethe_sys_read_line(AT_FDCWD, path, state, sizeof state) || !strcmp(state, "running") ||
           !strcmp(state, "live");
}

/* True when the status of a multipath device shows a path that works. It names each path by its
 * number, and behind that says whether the path is active (multipath_status(),
 * drivers/md/dm-mpath.c). */
static bool has_path(const char *status)
{
    struct lethe_devno unused;
    struct lethe_span rest = lethe_span(status), number = {NULL, 0};
    while (rest.at) {
        struct lethe_span word = lethe_text_cut(&rest, ' ');
        if (number.n && lethe_span_is(word, "A") && is_path(number))
            return true;
        number = lethe_devno(word, &unused) ? (struct lethe_span){NULL, 0} : word;
    }
    return false;
}

int lethe_stop_queueing(const struct lethe_block *block, bool always)
{
    struct dm_target_spec target;
    struct dm_request request = dm_request(block, DM_NOFLUSH_FLAG);
    if (block->kind != LETHE_BLOCK_DM ||
        (block->dm_uuid[0] && strncmp(block->dm_uuid, "mpath-", 6) != 0))
        return -EOPNOTSUPP;
    int r = dm_send(DM_TABLE_STATUS, &request);
    if (r)
        return r;
    memcpy(&target, request.data, sizeof target);
    request.data[sizeof request.data - 1] = '\0';
    if (!request.head.target_count ||
        strncmp(target.target_type, "multipath", sizeof target.target_type) != 0)
        return -EOPNOTSUPP;
    if (!always && has_path(request.data + sizeof target))
        return 0;
    return dm_message(block, "fail_if_no_path");
}

int lethe_stop_wipe_key(const struct lethe_block *block, int64_t *wiped_ms)
{
    const unsigned at_once = DM_SKIP_LOCKFS_FLAG | DM_NOFLUSH_FLAG;
    struct dm_request suspended = dm_request(block, DM_SUSPEND_FLAG | at_once);
    dm_send(DM_DEV_SUSPEND, &suspended);
    bool has_one = suspended.head.target_count == 1;
    if (!dm_message(block, "key wipe") && has_one)
        *wiped_ms = lethe_sys_now_ms();
    int loaded = dm_load_error(block);
    int resumed = dm_suspend(block, at_once); /* without DM_SUSPEND_FLAG: resume */
    if (!loaded && !resumed && !has_one)
        *wiped_ms = lethe_sys_now_ms();
    dm_remove(block, DM_DEFERRED_REMOVE);
    return loaded ? loaded : resumed;
}

int lethe_stop_open(const struct lethe_block *block, int flags)
{
    char path[300];
    snprintf(path, sizeof path, "/dev/%.255s", block->name);
    for (char *c = path; (c = strchr(c, '!'));)
        *c = '/';
    return lethe_sys_open_device(path, O_RDONLY | O_NONBLOCK | flags, S_IFBLK,
                                 makedev(block->devno.major, block->devno.minor));
}

static int send_to_node(const struct lethe_block *block, unsigned long command)
{
    int fd = lethe_stop_open(block, 0);
    if (fd < 0)
        return fd;
    int r = lethe_sys->ioctl(fd, command, NULL);
    lethe_sys->close(fd);
    return r;
}

/* Makes an array inactive whose metadata a daemon (mdmon) writes. The daemon has to see the end: it
 * then writes that the array is clean, and lets it go (mdadm's Manage_stop()). */
static bool end_external(const struct lethe_block *block)
{
    enum { WAIT_MS = 3000 };
    const struct timespec pause = {0, 10 * 1000 * 1000};
    char path[300], text[64];
    snprintf(path, sizeof path, "/sys/class/block/%.255s/md/array_state", block->name);
    if (!lethe_sys_read_block(block->name, "md/metadata_version", text, sizeof text) ||
        strncmp(text, "external:/", 10) || lethe_sys->write_file(path, "inactive") < 0)
        return false;
    for (int64_t end = lethe_sys_now_ms() + WAIT_MS; lethe_sys_now_ms() < end;
         nanosleep(&pause, NULL))
        if (!lethe_sys_read_block(block->name, "md/array_state", text, sizeof text) ||
            !strcmp(text, "clear"))
            return true;
    return false;
}

/* True for a container that still has arrays. The kernel would stop it before them, and no daemon
 * could end them then. */
static bool contains_arrays(const char *name)
{
    char text[64], wanted[64];
    bool found = false;
    int n = snprintf(wanted, sizeof wanted, "external:/%.32s/", name);
    DIR *dir = opendir("/sys/class/block");
    for (struct dirent *entry; dir && !found && (entry = readdir(dir));)
        found = lethe_sys_read_block(entry->d_name, "md/metadata_version", text, sizeof text) &&
                !strncmp(text, wanted, (size_t)n);
    if (dir)
        closedir(dir);
    return found;
}

static int stop_array(const struct lethe_block *block)
{
    if (contains_arrays(block->name))
        return -EBUSY;
    bool ended = end_external(block);
    int r = send_to_node(block, STOP_ARRAY);
    return ended && (r == -ENODEV || r == -ENXIO || r == -ENOENT) ? 0 : r;
}

static int reset_zram(const struct lethe_block *block)
{
    char path[300];
    snprintf(path, sizeof path, "/sys/class/block/%.255s/reset", block->name);
    return lethe_sys->write_file(path, "1");
}

/* Ends the connection to the server. With O_EXCL as `flags` it fails when anybody uses the device,
 * which NBD_CLEAR_SOCK would not ask, and the server is told; with 0 a server that may not answer
 * is told nothing. */
static int disconnect(const struct lethe_block *block, int flags)
{
    int fd = lethe_stop_open(block, flags);
    if (fd < 0)
        return fd;
    if (flags)
        lethe_sys->ioctl(fd, NBD_DISCONNECT, NULL);
    int r = lethe_sys->ioctl(fd, NBD_CLEAR_SOCK, NULL);
    lethe_sys->close(fd);
    return r;
}

int lethe_stop_cut_off(const struct lethe_block *block)
{
    return disconnect(block, 0);
}

enum { BELOW_MAX = 2 }; /* a bcache lies on one device and has one cache */

static size_t find_below(const struct lethe_block *block, char names[BELOW_MAX][NAME_MAX + 1])
{
    char path[300];
    size_t n = 0;
    snprintf(path, sizeof path, "/sys/class/block/%.255s/slaves", block->name);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && n < BELOW_MAX && (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            snprintf(names[n++], sizeof *names, "%s", entry->d_name);
    if (dir)
        closedir(dir);
    return n;
}

static bool is_held(const char *name)
{
    int fd = lethe_stop_open(&(struct lethe_block){.name = name}, O_EXCL);
    if (fd >= 0)
        lethe_sys->close(fd);
    return fd == -EBUSY;
}

/* Stops a bcache: its cache set, with which every device goes that is cached by it and that nobody
 * uses any more, or a device that has no cache (Documentation/admin-guide/bcache.rst). The kernel
 * goes on writing after it has answered, so this waits until what is below is free. */
static int stop_bcache(const struct lethe_block *block)
{
    enum { WAIT_MS = 2000 };
    const struct timespec pause = {0, 10 * 1000 * 1000};
    char set[320], one[320], below[BELOW_MAX][NAME_MAX + 1];
    size_t n = find_below(block, below);
    snprintf(set, sizeof set, "/sys/class/block/%.255s/bcache/cache/stop", block->name);
    snprintf(one, sizeof one, "/sys/class/block/%.255s/bcache/stop", block->name);
    int r = lethe_sys->write_file(set, "1"), alone = lethe_sys->write_file(one, "1");
    if (r && alone)
        return alone;
    for (int64_t end = lethe_sys_now_ms() + WAIT_MS; n; nanosleep(&pause, NULL))
        if (!is_held(below[n - 1]))
            n--;
        else if (lethe_sys_now_ms() >= end)
            return -EBUSY;
    return 0;
}

int lethe_stop_device(const struct lethe_block *block)
{
    switch (block->kind) {
    case LETHE_BLOCK_LOOP:
        return send_to_node(block, LOOP_CLR_FD);
    case LETHE_BLOCK_CRYPT:
    case LETHE_BLOCK_DM:
        return dm_remove_now(block);
    case LETHE_BLOCK_MD:
        return stop_array(block);
    case LETHE_BLOCK_ZRAM:
        return reset_zram(block);
    case LETHE_BLOCK_NBD:
        return disconnect(block, O_EXCL);
    case LETHE_BLOCK_BCACHE:
        return stop_bcache(block);
    case LETHE_BLOCK_BRD:
    case LETHE_BLOCK_PLAIN:
        break;
    }
    return -EOPNOTSUPP;
}
