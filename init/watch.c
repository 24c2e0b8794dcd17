/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Stays in memory and fires the kill switch when the boot medium, or a device that was named as a
 * dead man's cord, is pulled out. It sleeps until the kernel says that something was removed, a
 * disc changed, or the machine has come back from a suspend; then it looks.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "end.h"
#include "helper.h"
#include "lethe/kernel/confined.h"
#include "lethe/kernel/identity.h"
#include "lethe/kernel/log.h"
#include "lethe/kernel/self.h"
#include "lethe/kernel/snapshot.h"
#include "lethe/kernel/sys.h"
#include "lethe/kernel/sysfs.h"
#include "lethe/kernel/takeover.h"
#include "lethe/kernel/uevent.h"
#include "lethe/plan/mountinfo.h"
#include "watch.h"

enum {
    RESUME_MS = 15000,   /* a device that is missed so soon after a suspend may come back */
    RETURN_SECONDS = 10, /* it is then waited for so long: a hub that has lost its power
                            enumerates its sticks anew, one after the other */
};

/* -- firing ------------------------------------------------------------------------------------ */

static _Noreturn void fire(struct lethe_watcher *watch, const char *reason, int64_t seen_ms)
{
    watch->kill.triggered_ms = seen_ms;
    watch->kill.reason = reason;
    lethe_now_fire(&watch->kill);
}

static _Noreturn void fire_for(struct lethe_watcher *watch, const struct lethe_watcher_device *w,
                               int64_t seen_ms)
{
    char reason[128];
    snprintf(reason, sizeof reason, "the %s %s %s", w->role, w->device.name, w->lost);
    fire(watch, reason, seen_ms);
}

static void fire_if_late(struct lethe_watcher *watch)
{
    if (watch->is_late)
        fire(watch, "the medium is gone, since before it was watched", lethe_sys_now_ms());
}

static bool is_writable_store(const struct lethe_mount *m)
{
    return (m->devno.major || !strncmp(m->source, "/dev/", 5)) && lethe_mount_is_writable(m);
}

/* True when something that lies on a device is mounted for writing. Only the list of mounts is
 * read, since devices may hang. */
static bool has_persistence(void)
{
    struct lethe_snapshot snapshot;
    struct lethe_arena arena;
    bool found = false;
    lethe_snapshot_take_mounts(&snapshot, &arena);
    for (size_t i = 0; i < snapshot.n_mounts && !found; i++)
        found = is_writable_store(&snapshot.mounts[i]);
    if (arena.base)
        munmap(arena.base, arena.size);
    return found;
}

static bool has_just_resumed(const struct lethe_watcher *watch)
{
    return watch->resumed_ms && lethe_sys_now_ms() - watch->resumed_ms < RESUME_MS;
}

/* Returns for how long a device that is missing is waited for, in seconds. */
static unsigned patience(const struct lethe_watcher *watch)
{
    unsigned seconds = has_just_resumed(watch) ? RETURN_SECONDS : 0;
    return watch->grace_seconds > seconds && has_persistence() ? watch->grace_seconds : seconds;
}

/* -- looking ----------------------------------------------------------------------------------- */

static void on_device_lost(struct lethe_watcher *watch, struct lethe_watcher_device *w,
                           int64_t seen_ms)
{
    unsigned seconds = patience(watch);
    if (!seconds)
        fire_for(watch, w, seen_ms);
    w->due_ms = seen_ms + 1000 * (int64_t)seconds;
    watch->told_ms = 0; /* so that look_for_missing() tells it at once */
    lethe_log_to_kernel();
}

static bool is_there(struct lethe_watcher *watch, struct lethe_watcher_device *w, bool ask_it)
{
    if (w->device.kind == LETHE_WATCHED_LID)
        return w->device.is_there = !watch->hotkey.is_closed;
    return lethe_watched_look(&w->device, ask_it);
}

static bool is_back(struct lethe_watcher *watch, struct lethe_watcher_device *w)
{
    if (w->device.kind > LETHE_WATCHED_DISK)
        return is_there(watch, w, false);
    return lethe_watched_find(&w->device);
}

static bool is_awaited(const struct lethe_watcher_device *w)
{
    return !w->device.is_there && !w->due_ms;
}

static void leave_additions_if_none_is_awaited(struct lethe_watcher *watch)
{
    for (size_t i = 0; i < watch->n; i++)
        if (is_awaited(&watch->watched[i]) || watch->freeze)
            return;
    lethe_uevent_leave_additions(watch->events);
}

static void look_for_awaited(struct lethe_watcher *watch, struct lethe_watcher_device *w)
{
    if (!is_back(watch, w))
        return;
    lethe_log_to_kernel();
    lethe_log(LETHE_LOG_SUMMARY, "the %s %s is watched from now on", w->role, w->device.name);
    leave_additions_if_none_is_awaited(watch);
}

static void look(struct lethe_watcher *watch, struct lethe_watcher_device *w, bool ask_it,
                 int64_t seen_ms)
{
    if (is_awaited(w))
        look_for_awaited(watch, w);
    else if (!w->due_ms && !is_there(watch, w, ask_it))
        on_device_lost(watch, w, seen_ms);
}

/* Looks at all devices. Only a drive can be asked without using the device, which may hang. */
static void look_at_all(struct lethe_watcher *watch)
{
    for (size_t i = 0; i < watch->n; i++)
        look(watch, &watch->watched[i], watch->watched[i].device.is_optical, lethe_sys_now_ms());
}

/* Looks for missing devices, once a second. */
static void look_for_missing(struct lethe_watcher *watch)
{
    int64_t now = lethe_sys_now_ms();
    if (now - watch->told_ms < 1000)
        return;
    watch->told_ms = now;
    for (size_t i = 0; i < watch->n; i++) {
        struct lethe_watcher_device *w = &watch->watched[i];
        if (!w->due_ms)
            continue;
        if (is_back(watch, w)) {
            w->due_ms = 0;
            lethe_log(LETHE_LOG_ERROR, "the %s is back: %s", w->role, w->device.name);
        } else if (now >= w->due_ms) {
            fire_for(watch, w, now);
        } else {
            lethe_log(LETHE_LOG_ERROR,
                      "the %s %s %s: the kill switch fires in %lld s unless it is put back",
                      w->role, w->device.name, w->lost, (long long)(w->due_ms - now + 999) / 1000);
        }
    }
}

static int ms_until(int64_t then_ms)
{
    int64_t ms = then_ms - lethe_sys_now_ms();
    return ms > 0 ? (int)ms : 0;
}

static void take_key(struct lethe_watcher *watch)
{
    if (lethe_hotkey_look(&watch->hotkey))
        fire(watch, "the key", lethe_sys_now_ms());
    for (size_t i = 0; i < watch->n; i++)
        if (watch->watched[i].device.kind == LETHE_WATCHED_LID)
            look(watch, &watch->watched[i], false, lethe_sys_now_ms());
}

/* Returns how long poll(2) may sleep: -1 for ever. */
static int rest(const struct lethe_watcher *watch)
{
    if (watch->hotkey.due_ms)
        return ms_until(watch->hotkey.due_ms);
    for (size_t i = 0; i < watch->n; i++)
        if (watch->watched[i].due_ms)
            return ms_until(watch->told_ms + 1000);
    return -1;
}

/* lethe_sys_now_ms() counts through a suspend, CLOCK_MONOTONIC does not. */
static int64_t ms_asleep(void)
{
    struct timespec awake;
    clock_gettime(CLOCK_MONOTONIC, &awake);
    return lethe_sys_now_ms() - ((int64_t)awake.tv_sec * 1000 + awake.tv_nsec / 1000000);
}

static void notice_suspend(struct lethe_watcher *watch)
{
    enum { NOISE_MS = 50 };
    int64_t asleep = ms_asleep();
    if (asleep > watch->asleep_ms + NOISE_MS)
        watch->resumed_ms = lethe_sys_now_ms();
    watch->asleep_ms = asleep;
}

static bool concerns(const struct lethe_watcher_device *w, const struct lethe_uevent *event)
{
    if (w->device.kind > LETHE_WATCHED_DISK)
        return w->device.kind == LETHE_WATCHED_FROZEN
                   ? event->is_usb
                   : w->device.kind == LETHE_WATCHED_MAINS && event->is_power;
    return event->is_block == (w->device.kind == LETHE_WATCHED_DISK) &&
           ((is_awaited(w) && event->action == LETHE_UEVENT_ADD) ||
            lethe_devno_is(event->devno, w->device.devno));
}

static void take_event(struct lethe_watcher *watch, const struct lethe_uevent *event,
                       int64_t seen_ms)
{
    for (size_t i = 0; i < watch->n; i++)
        if (concerns(&watch->watched[i], event))
            look(watch, &watch->watched[i], event->media, seen_ms);
}

static void take_events(struct lethe_watcher *watch)
{
    struct lethe_uevent event;
    int64_t seen_ms = lethe_sys_now_ms();
    int r;
    notice_suspend(watch);
    while ((r = lethe_uevent_receive(watch->events, &event)) > 0)
        take_event(watch, &event, seen_ms);
    if (r == -ENOBUFS)
        look_at_all(watch);
}

/* Sets a timer for its cancellation alone: the kernel cancels it when the clock is set, which it
 * does after each suspend (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET). */
static void set_resume_timer(int timer)
{
    const struct itimerspec never = {.it_value = {.tv_sec = (time_t)1 << 33}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL);
}

static void take_resume(struct lethe_watcher *watch)
{
    uint64_t unused;
    (void)!read(watch->resumes, &unused, sizeof unused);
    set_resume_timer(watch->resumes);
    notice_suspend(watch);
    look_at_all(watch);
}

static _Noreturn void watch_for_ever(struct lethe_watcher *watch)
{
    struct pollfd sources[] = {{watch->events, POLLIN, 0},
                               {watch->resumes, POLLIN, 0},
                               {watch->requests, POLLIN, 0},
                               {watch->hotkey.sources, POLLIN, 0},
                               {watch->mounts, POLLPRI, 0}};
    for (;;) {
        sources[4].fd = watch->mounts;
        if (poll(sources, 5, rest(watch)) < 0)
            continue;
        if (sources[4].revents) {
            lethe_watcher_follow(watch);
            fire_if_late(watch);
        }
        if (sources[2].revents && lethe_helper_receive(watch->requests, &watch->kill))
            lethe_now_fire(&watch->kill);
        if (sources[3].revents || watch->hotkey.due_ms)
            take_key(watch);
        if (sources[1].revents)
            take_resume(watch);
        if (sources[0].revents)
            take_events(watch);
        if (rest(watch) >= 0)
            look_for_missing(watch);
    }
}

/* -- the beginning ----------------------------------------------------------------------------- */

/* Opens the sources before anything is looked at, so that nothing that happens from then on is
 * missed. */
static int open_sources(struct lethe_watcher *watch)
{
    watch->events = lethe_uevent_open();
    watch->resumes = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (watch->events < 0)
        return watch->events;
    if (watch->resumes < 0)
        return -errno;
    set_resume_timer(watch->resumes);
    watch->asleep_ms = ms_asleep();
    return 0;
}

/* Locks the watcher in memory, starts the process that keeps what PID 1 needs there, and takes a
 * first look at all devices. */
static void settle_down(struct lethe_watcher *watch)
{
    lethe_self_lock();
    lethe_self_spare();
    if (lethe_takeover_is_armed(LETHE_ARMED_COPY))
        lethe_takeover_hold();
    lethe_self_take_stdio();
    lethe_watcher_poll_drives(watch);
    leave_additions_if_none_is_awaited(watch);
    look_at_all(watch);
    lethe_self_unlock_unused();
}

/* Returns 0 where the watcher can do its work, and cuts it loose from where it was started; else
 * says why not and returns the exit status. */
static int refuse_or_cut_loose(void)
{
    if (geteuid())
        return lethe_command_refuse("watch", "only root can do this");
    if (!lethe_identity_is_machine())
        return lethe_command_refuse("watch", "a pid or user namespace of its own ends no machine");
    if (!lethe_confined_has_mounts())
        return lethe_command_refuse("watch", "in mounts of its own it does not see the medium's");
    lethe_self_close_all();
    if (chdir("/"))
        return lethe_command_refuse("watch", "the root directory can't be reached");
    if (lethe_sysfs_open())
        return lethe_command_refuse("watch", "sysfs is not mounted at /sys");
    return 0;
}

int lethe_watch_main(int argc, char **argv)
{
    static struct lethe_watcher watch; /* no initializer, with which all would lie in the file */
    int status;
    watch.kill.verb = LETHE_VERB_POWEROFF;
    watch.hotkey.hold_ms = LETHE_HOTKEY_HOLD_MS;
    watch.hotkey.sources = watch.mounts = -1; /* not open: poll(2) passes them by */
    if (!lethe_options_read(&lethe_watch_usage, &watch, argc, argv, &status) ||
        (status = refuse_or_cut_loose()))
        return status;
    int r = open_sources(&watch);
    if (r) {
        fprintf(stderr, "lethe watch: the kernel's uevents: %s\n", strerror(-r));
        return 1;
    }
    if (lethe_watcher_add_cords(&watch) || lethe_watcher_add_rest(&watch))
        return lethe_command_refuse(
            "watch", "a device is named usb:VVVV:PPPP[:SERIAL], see lethe watch --list");
    if (watch.early)
        lethe_watcher_begin_early(&watch, argv[-1]);
    if (lethe_watcher_find_medium(&watch))
        return 2;
    if (watch.list)
        return lethe_watcher_list(&watch);
    fire_if_late(&watch);
    if ((watch.hotkey.n || watch.hotkey.lid) && (r = lethe_hotkey_open(&watch.hotkey))) {
        fprintf(stderr, "lethe watch: /dev/input: %s\n", strerror(-r));
        return 1;
    }
    watch.requests = watch.early ? -1 : lethe_helper_listen();
    if (!watch.n && !watch.hotkey.n && !watch.early) {
        printf("lethe watch: the system does not run from a medium that could be pulled out: "
               "nothing to watch%s\n",
               watch.requests < 0 ? "" : ", waits for a lethe now that needs help");
        if (watch.requests < 0)
            return 0;
    }
    lethe_watcher_tell(&watch);
    settle_down(&watch);
    if (!watch.early)
        lethe_watcher_end_early();
    watch_for_ever(&watch);
}
