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

enum { LETHE_WATCHED_FREE_MAX = 8 }; /* what may come and go while all else is frozen */

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
    uint64_t models, sum;     /* of what is plugged in, without and with serial numbers */
    char name[64];            /* the kernel's: "sda", "2-1" */
    /* "usb:VVVV:PPPP[:SERIAL]", for a disk on the USB with its size behind it after a blank; for
     * other disks what they say of themselves */
    char identity[256];
};

/* Describes a whole disk by its name below /sys/class/block. 0, or -errno. */
int lethe_watched_disk(struct lethe_watched *watched, const char *name);

/* Describes a USB device by its identity (uevent.h), with or without a serial number. 0 when it is
 * there, -ENODEV when it is not, -EINVAL when that is no such identity. */
int lethe_watched_usb(struct lethe_watched *watched, const char *identity);

/* Watches that what is plugged in now stays as it is, at whatever ports, except for devices with
 * one of the n identities. 0, or -EINVAL when one of them is no identity. */
int lethe_watched_freeze(struct lethe_watched *watched, const char *const *identities, size_t n);

/* Watches the mains: it is there as long as a power supply is online that is neither a battery nor
 * a device's own (Documentation/ABI/testing/sysfs-class-power). */
void lethe_watched_mains(struct lethe_watched *watched);

/* True when the device is still there, and the same. A removable one is asked for its medium
 * (linux/cdrom.h, CDROM_DRIVE_STATUS; ENOMEDIUM) with `ask_it`, or when the kernel has seen a
 * change of it. A drive that does not answer is assumed to hold its medium; only an explicit "no
 * medium" counts. */
bool lethe_watched_look(struct lethe_watched *watched, bool ask_it);

/* Looks for the device by its identity, under any name and number, with its medium in it. When it
 * is there, returns true and updates *watched. */
bool lethe_watched_find(struct lethe_watched *watched);

/* Calls tell(name, identity) for each device of the USB. */
void lethe_watched_list_usb(void (*tell)(const char *name, const char *identity));

#endif
