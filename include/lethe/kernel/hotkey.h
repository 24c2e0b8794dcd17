/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * hotkey: combinations of keys, held on any keyboard, whatever has the screen.
 *
 * The kernel is told to pass on nothing but these keys (EVIOCSMASK, linux/input.h), so no other
 * wakes the process. An event only wakes it: it is read and forgotten, and then the keyboard is
 * asked which keys are down (EVIOCGKEY). Nothing that is typed is kept.
 *
 * A laptop's lid is a switch of such a device, and is watched in the same way.
 */
#ifndef LETHE_KERNEL_HOTKEY_H
#define LETHE_KERNEL_HOTKEY_H

#include <stdbool.h>
#include <stdint.h>

enum {
    LETHE_HOTKEY_KEYS = 6, /* of a combination */
    LETHE_HOTKEY_COMBINATIONS = 4,
    LETHE_HOTKEY_KEYBOARDS = 64,
    LETHE_HOTKEY_HOLD_MS = 1000, /* unless another time is asked for */
};

struct lethe_hotkey {
    struct {
        uint16_t codes[LETHE_HOTKEY_KEYS][2]; /* each by one key or another, left or right */
        unsigned n;
    } combinations[LETHE_HOTKEY_COMBINATIONS];
    unsigned n;
    bool lid;       /* watch it, too */
    bool is_closed; /* the lid, when somebody looked last */
    int64_t hold_ms;
    int sources;  /* an epoll(7) descriptor: readable when lethe_hotkey_look() has to be called */
    int arrivals; /* inotify(7) of /dev/input */
    int keyboards[LETHE_HOTKEY_KEYBOARDS]; /* by the numbers of their event devices, 0: not open */
    int64_t due_ms; /* when the combination that is down fires (lethe_sys_now_ms()); 0: none is */
};

/* Adds a combination such as "ctrl+alt+backspace" or "leftmeta+f12": names of keys as they lie on
 * an American keyboard, or numbers of linux/input-event-codes.h. -EINVAL for any other. */
int lethe_hotkey_add(struct lethe_hotkey *hotkey, const char *text);

/* Opens all keyboards that have a combination's keys, and the lid's switch, and listens for those
 * that come later. 0 or -errno. */
int lethe_hotkey_open(struct lethe_hotkey *hotkey);

/* Looks at all keyboards; called when `sources` is readable and when due_ms has come. Sets
 * is_closed; true when a combination has been held for long enough. */
bool lethe_hotkey_look(struct lethe_hotkey *hotkey);

#endif
