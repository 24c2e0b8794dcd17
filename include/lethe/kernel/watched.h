/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * watched: a device whose removal matters, known by its number while it is there and by its
 * identity when it comes back.
 *
 * Everything is read from sysfs, which answers for devices that are gone or hang as well as for
 * others. A link in /sys/dev goes before the kernel sends the uevent of the removal
 * (device_del(), drivers/base/core.c), so sysfs tells the truth at any time and events need only
 * say when to look.
 */
#ifndef LETHE_KERNEL_WATCHED_H
#define LETHE_KERNEL_WATCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lethe/plan/text.h"

enum { LETHE_FREE_MAX = 8 }; /* what may come and go while all else is frozen */

enum lethe_watched_kind {
    LETHE_WATCHED_USB,
    LETHE_WATCHED_DISK,
    LETHE_WATCHED_FROZEN, /* all devices of the USB: none may come or go */
    LETHE_WATCHED_MAINS,  /* power that comes from outside */
    LETHE_WATCHED_LID,    /* the caller looks: hotkey.h */
};

struct lethe_watched {
    enum lethe_watched_kind kind;
    bool is_optical;          /* a drive for discs */
    bool is_removable;        /* that, a card reader, or a stick that says so: its medium matters */
    bool is_there;            /* as it was when somebody looked last */
    struct lethe_devno devno; /* 0:0 for one that has never been there */
    uint64_t sequence;        /* a disk's number that no other gets (diskseq, Linux 5.15), or 0 */
    uint64_t sum;             /* of the identities of what is plugged in */
    char name[64];            /* the kernel's: "sda", "2-1" */
    /* "usb:VVVV:PPPP[:SERIAL]", for a disk on the USB with its size behind it after a blank; for
     * other disks what they say of themselves */
    char identity[256];
};

/* Comes first: takes hold of sysfs, as it is mounted at /sys now. 0, or -errno: -ENODEV when that
 * is something else. */
int lethe_watched_open(void);

/* For a test: the folder of this descriptor is sysfs. */
void lethe_watched_look_in(int folder);

/* A whole disk by its name below /sys/class/block. 0, or -errno. */
int lethe_watched_disk(struct lethe_watched *watched, const char *name);

/* A device of the USB by its identity (uevent.h), a serial number being left out of it or not. 0
 * when it is there, -ENODEV when it is not, -EINVAL when that is no such identity. */
int lethe_watched_usb(struct lethe_watched *watched, const char *identity);

/* What is plugged in now has to stay as it is, at whatever ports, but for devices with one of the n
 * identities. 0, or -EINVAL when one of them is none. */
int lethe_watched_freeze(struct lethe_watched *watched, const char *const *free, size_t n);

/* Is there as long as a power supply that is no battery, and none of a device's own, is online
 * (Documentation/ABI/testing/sysfs-class-power). */
void lethe_watched_mains(struct lethe_watched *watched);

/* Looks whether the device is still there, and the same; a removable one is asked for its medium
 * (linux/cdrom.h, CDROM_DRIVE_STATUS; ENOMEDIUM) when `ask_it` says so, or when the kernel has seen
 * a change of it. Only one that says that there is none has none. */
bool lethe_watched_look(struct lethe_watched *watched, bool ask_it);

/* Looks for the device by its identity, under whatever name and number, with its medium in it. True
 * when it is there: *watched is then what it is now. */
bool lethe_watched_find(struct lethe_watched *watched);

/* Calls tell(name, identity) for each device of the USB. */
void lethe_watched_list_usb(void (*tell)(const char *name, const char *identity));

#endif
