/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

/* The root of a mount of sysfs of our own, a clone of the one at /sys: whoever mounts over that, or
 * unmounts it, has removed no device. */
static int root = -1;

int lethe_sysfs_open(void)
{
    struct statfs fs;
    if (root >= 0)
        return 0;
    int fd = (int)syscall(SYS_open_tree, AT_FDCWD, "/sys", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (fd < 0)
        fd = lethe_sys->open("/sys", O_PATH | O_DIRECTORY);
    if (fd < 0)
        return fd;
    if (fstatfs(fd, &fs) || fs.f_type != SYSFS_MAGIC) {
        lethe_sys->close(fd);
        return -ENODEV;
    }
    root = fd;
    return 0;
}

void lethe_sysfs_look_in(int folder)
{
    root = folder;
}

DIR *lethe_sysfs_folder(const char *path)
{
    int fd = lethe_sys_open_below(root, path, O_RDONLY | O_DIRECTORY);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (fd >= 0 && !dir)
        close(fd);
    return dir;
}

bool lethe_sysfs_text(const char *folder, const char *name, char *out, size_t size)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return false;
    bool good = lethe_sys_read_line(root, path, out, size) && out[0];
    if (!good)
        out[0] = '\0';
    return good;
}

uint64_t lethe_sysfs_number(const char *folder, const char *name)
{
    char text[32];
    return lethe_sysfs_text(folder, name, text, sizeof text) ? strtoull(text, NULL, 10) : 0;
}

/* Writes "usb:VVVV:PPPP" for the device in the folder. False when it is not on the USB. */
bool lethe_sysfs_usb_model(const char *folder, char *out, size_t size)
{
    char vendor[8], product[8];
    if (!lethe_sysfs_text(folder, "idVendor", vendor, sizeof vendor) ||
        !lethe_sysfs_text(folder, "idProduct", product, sizeof product))
        return false;
    snprintf(out, size, "usb:%s:%s", vendor, product);
    return true;
}

/* Writes "usb:VVVV:PPPP[:SERIAL]" for the device in the folder. False when it is not on the USB. */
bool lethe_sysfs_usb_identity(const char *folder, char *out, size_t size)
{
    char model[32], serial[128];
    if (!lethe_sysfs_usb_model(folder, model, sizeof model))
        return false;
    bool has_serial = lethe_sysfs_text(folder, "serial", serial, sizeof serial);
    snprintf(out, size, "%s%s%s", model, has_serial ? ":" : "", serial);
    return true;
}

/* Calls use(context, name, folder, identity) for each device of the USB until it returns true, with
 * what identify() makes of it. */
bool lethe_sysfs_each_usb(bool (*identify)(const char *, char *, size_t),
                          bool (*use)(void *, const char *, const char *, const char *),
                          void *context)
{
    char folder[320], identity[256];
    bool done = false;
    DIR *devices = lethe_sysfs_folder("bus/usb/devices");
    if (!devices)
        return false;
    for (struct dirent *entry; !done && (entry = readdir(devices));) {
        snprintf(folder, sizeof folder, "bus/usb/devices/%.255s", entry->d_name);
        if (entry->d_name[0] != '.' && identify(folder, identity, sizeof identity))
            done = use(context, entry->d_name, folder, identity);
    }
    closedir(devices);
    return done;
}

int lethe_sysfs_root(void)
{
    return root;
}
