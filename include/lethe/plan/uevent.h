/* SPDX-License-Identifier: GPL-3.0-or-later */
/* uevent: reads what the kernel says when a device comes, goes or changes. A message is
 * "ACTION@DEVPATH" and then KEY=VALUE pairs, each with its NUL (lib/kobject_uevent.c;
 * Documentation/ABI/testing/sysfs-uevent for events that somebody has asked for, which carry
 * SYNTH_UUID). udev sends its own to another multicast group. */
#ifndef LETHE_PLAN_UEVENT_H
#define LETHE_PLAN_UEVENT_H

#include <stdbool.h>
#include <sys/types.h>

#include "lethe/plan/text.h"

enum lethe_uevent_action {
    LETHE_UEVENT_OTHER,
    LETHE_UEVENT_ADD,
    LETHE_UEVENT_REMOVE,
    LETHE_UEVENT_CHANGE
};

struct lethe_uevent {
    enum lethe_uevent_action action;
    bool is_block;            /* SUBSYSTEM=block; else the number is that of a character device */
    bool is_usb;              /* SUBSYSTEM=usb: a device or an interface */
    bool is_power;            /* SUBSYSTEM=power_supply */
    struct lethe_devno devno; /* 0:0 for a device that has none */
    bool media;               /* a disc was changed, or is asked for (DISK_MEDIA_CHANGE …) */
};

/* False for what is no message of the kernel's. */
bool lethe_uevent_parse(struct lethe_uevent *event, struct lethe_span message);

/* Copies the identity of a device of the USB, "usb:VVVV:PPPP[:SERIAL]", as sysfs would write it:
 * vendor and product in small letters. False when it is none, or too long. */
bool lethe_uevent_usb_identity(const char *text, char *out, size_t size);

#endif
