/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * sysfs: what the kernel says of devices. It is read below a mount of one's own, for whoever mounts
 * over /sys, or unmounts it, has removed no device.
 */
#ifndef LETHE_KERNEL_SYSFS_H
#define LETHE_KERNEL_SYSFS_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Opens sysfs as it is mounted at /sys now; called before all else. 0, or -errno: -ENODEV when /sys
 * is something else. */
int lethe_sysfs_open(void);

/* Makes the folder of this descriptor sysfs, for a test. */
void lethe_sysfs_look_in(int folder);

/* Returns the descriptor of its root, which stays the module's; -1 before it is opened. */
int lethe_sysfs_root(void);

/* Opens a folder by its path below sysfs, for readdir(3). NULL where there is none. */
DIR *lethe_sysfs_folder(const char *path);

/* Writes the first line of an attribute. False, with an empty string, when it is empty or can't be
 * read. */
bool lethe_sysfs_text(const char *folder, const char *name, char *out, size_t size);

/* Returns an attribute that is a number, 0 when it can't be read. */
uint64_t lethe_sysfs_number(const char *folder, const char *name);

/* Writes "usb:VVVV:PPPP" for the device in the folder. False when it is not on the USB. */
bool lethe_sysfs_usb_model(const char *folder, char *out, size_t size);

/* Writes its "usb:VVVV:PPPP[:SERIAL]". To read a serial number waits while the device is locked
 * (usb_string_attr(), drivers/usb/core/sysfs.c). */
bool lethe_sysfs_usb_identity(const char *folder, char *out, size_t size);

/* Calls use(context, name, folder, identity) for each device of the USB until it returns true, with
 * what identify() makes of it. Returns whether it did. */
bool lethe_sysfs_each_usb(bool (*identify)(const char *folder, char *out, size_t size),
                          bool (*use)(void *context, const char *name, const char *folder,
                                      const char *identity),
                          void *context);

#endif
