/* SPDX-License-Identifier: GPL-3.0-or-later */
/* watch: what the watcher keeps, how its options fill it, and which devices it watches. */
#ifndef LETHE_INIT_WATCH_H
#define LETHE_INIT_WATCH_H

#include "init.h"
#include "lethe/kernel/hotkey.h"
#include "lethe/kernel/watched.h"
#include "now.h"
#include "options.h"

enum {
    LETHE_WATCH_CORDS_MAX = 8,
    LETHE_WATCH_DEVICES_MAX = LETHE_WATCH_CORDS_MAX + 10, /* with those that stand for no device */
};

/* A device, and what it is watched as. */
struct lethe_watcher_device {
    struct lethe_watched device;
    const char *role; /* "medium", "cord", "set of" USB devices, "laptop's" lid */
    const char *lost; /* what the log says of it when it is missing: "is gone" */
    int64_t due_ms;   /* missing: it fires then, unless the device is back; else 0 */
};

/* `kill` says what is done when the watcher fires. It is first so that the options of `lethe now`
 * can be read into it (watch_options.c). */
struct lethe_watcher {
    struct lethe_kill kill;
    unsigned grace_seconds;
    struct lethe_watcher_device watched[LETHE_WATCH_DEVICES_MAX];
    size_t n, n_named; /* all; those that options name, which come before the medium */
    const char *cords[LETHE_WATCH_CORDS_MAX];
    size_t n_cords;
    const char *free[LETHE_WATCHED_FREE_MAX]; /* these may come and go where the USB is frozen */
    size_t n_free;
    bool freeze;
    int events, resumes; /* the kernel's messages; a timer that ends with a suspend */
    int requests;        /* of a `lethe now` that needs help; -errno: nobody can ask */
    int64_t asleep_ms;   /* in suspends until now */
    int64_t resumed_ms;  /* lethe_sys_now_ms() when the last one was noticed; 0: there was none */
    int64_t told_ms;     /* when the countdown was told last */
    struct lethe_hotkey hotkey;
    int mounts; /* early, until the system's root is there: tells when something is mounted; else -1 */
    bool early;   /* in the initramfs: watch_early.c */
    bool is_late; /* the medium had gone before it was watched */
    bool list;
};

/* The options of `lethe watch`; the context is a struct lethe_watcher. */
extern const struct lethe_usage lethe_watch_usage;

/* Adds the cords, there or not. 0, or -EINVAL for one that is named wrongly. */
int lethe_watcher_add_cords(struct lethe_watcher *watch);
/* Adds the lid and the set of USB devices, if they are to be watched. 0, or -EINVAL for one that
 * may come and go and is named wrongly. */
int lethe_watcher_add_rest(struct lethe_watcher *watch);

/* Adds the disks of the medium behind all others, in place of those that were found before; is_late
 * is set where it has gone already. 0, or -errno. */
int lethe_watcher_find_medium(struct lethe_watcher *watch);
/* Has the kernel poll the drives and card readers among the devices. */
void lethe_watcher_poll_drives(const struct lethe_watcher *watch);

/* Keeps this process, whose first argument is `program`, alive when PID 1 leaves the initramfs. */
void lethe_watcher_begin_early(struct lethe_watcher *watch, char *program);
/* Something was mounted: looks for the medium anew, and for the system's root. */
void lethe_watcher_follow(struct lethe_watcher *watch);
/* Ends the watcher of the initramfs, if there is one. */
void lethe_watcher_end_early(void);

/* Prints what --list shows. Returns the exit status. */
int lethe_watcher_list(const struct lethe_watcher *watch);
/* Prints what is watched. */
void lethe_watcher_tell(const struct lethe_watcher *watch);

#endif
