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
#include "lethe/confined.h"
#include "lethe/hotkey.h"
#include "lethe/identity.h"
#include "lethe/init.h"
#include "lethe/log.h"
#include "lethe/mountinfo.h"
#include "lethe/process.h"
#include "lethe/roles.h"
#include "lethe/snapshot.h"
#include "lethe/sys.h"
#include "lethe/takeover.h"
#include "lethe/uevent.h"
#include "lethe/watched.h"
#include "now.h"
#include "options.h"

enum {
    WATCHED_MAX = 16,
    CORDS_MAX = 8,
    RESUME_MS = 15000,   /* so long after a suspend a device may be missing … */
    RETURN_SECONDS = 10, /* … and so long it may take until it is back: a hub that has lost its
                            power has the sticks enumerated anew, one after the other */
};

/* A device, and what it is watched as. */
struct watched {
    struct lethe_watched device;
    const char *role; /* "medium" or "cord" */
    int64_t due_ms;   /* missing: it fires then, unless the device is back; else 0 */
};

struct watch {
    struct lethe_kill kill; /* what is done when it fires */
    unsigned grace_seconds;
    struct watched watched[WATCHED_MAX];
    size_t n;
    const char *cords[CORDS_MAX];
    size_t n_cords;
    int events, resumes; /* the kernel's messages; a timer that ends with a suspend */
    int requests;        /* of a `lethe now` that needs help; -errno: nobody can ask */
    int64_t asleep_ms;   /* in suspends until now */
    int64_t resumed_ms;  /* lethe_now_ms() when the last one was noticed; 0: there was none */
    int64_t told_ms;     /* when the countdown was told last */
    struct lethe_hotkey hotkey;
    bool is_late; /* the medium had gone before it was watched */
    bool list;
};

/* -- what is watched --------------------------------------------------------------------------- */

static bool is_whole_disk(const struct lethe_block *block)
{
    return block->kind == LETHE_BLOCK_PLAIN && block->disk == LETHE_NONE;
}

static void add_disk(struct watch *watch, const char *name)
{
    struct watched *w = &watch->watched[watch->n];
    w->role = "medium";
    if (lethe_watched_disk(&w->device, name))
        watch->is_late = true; /* it was there a moment ago */
    else
        watch->n++;
}

static int find_medium(struct watch *watch)
{
    struct lethe_snapshot snapshot;
    struct lethe_arena arena;
    int r = lethe_command_snapshot("watch", NULL, &snapshot, &arena);
    if (r)
        return r;
    enum lethe_role *roles = lethe_arena_take(&arena, snapshot.n_blocks, sizeof *roles);
    if (roles)
        watch->is_late = lethe_roles_find(&snapshot, false, roles) == LETHE_ORIGIN_GONE;
    for (size_t i = 0; roles && i < snapshot.n_blocks && watch->n + CORDS_MAX < WATCHED_MAX; i++)
        if (roles[i] & LETHE_ROLE_MEDIUM && is_whole_disk(&snapshot.blocks[i]))
            add_disk(watch, snapshot.blocks[i].name);
    munmap(arena.base, arena.size);
    return roles ? 0 : -ENOMEM;
}

static int add_cords(struct watch *watch)
{
    for (size_t i = 0; i < watch->n_cords; i++) {
        struct watched *w = &watch->watched[watch->n++];
        w->role = "cord";
        if (lethe_watched_usb(&w->device, watch->cords[i]) == -EINVAL)
            return -EINVAL;
    }
    return 0;
}

/* A drive or reader is polled for what is in it only when it is told to, which udev else does
 * (Documentation/ABI/stable/sysfs-block). */
static void poll_drive(const struct lethe_watched *drive)
{
    char path[128], text[16];
    snprintf(path, sizeof path, "/sys/block/%s/events_poll_msecs", drive->name);
    if (lethe_read_line(AT_FDCWD, path, text, sizeof text) && !strcmp(text, "-1"))
        lethe_sys->write_file(path, "2000");
}

/* -- firing ------------------------------------------------------------------------------------ */

static _Noreturn void fire(struct watch *watch, const char *reason, int64_t seen_ms)
{
    watch->kill.triggered_ms = seen_ms;
    watch->kill.reason = reason;
    lethe_kill_now(&watch->kill);
}

static _Noreturn void fire_for(struct watch *watch, const struct watched *w, int64_t seen_ms)
{
    static char reason[128];
    snprintf(reason, sizeof reason, "the %s %s is gone", w->role, w->device.name);
    fire(watch, reason, seen_ms);
}

static bool is_writable_store(const struct lethe_mount *m)
{
    return (m->devno.major || !strncmp(m->source, "/dev/", 5)) && lethe_mount_is_writable(m);
}

/* From the list of mounts alone, since devices may hang. */
static bool has_persistence(void)
{
    struct lethe_snapshot snapshot = {0};
    struct lethe_arena arena = lethe_arena_map();
    size_t half = arena.size / 2;
    char *text = lethe_arena_take(&arena, half, 1);
    ssize_t n = text ? lethe_read_file(AT_FDCWD, "/proc/self/mountinfo", text, half) : 0;
    bool found = false;
    if (n > 0)
        lethe_mountinfo_parse(&snapshot, (struct lethe_span){text, (size_t)n}, &arena,
                              &lethe_complain_to_log);
    for (size_t i = 0; i < snapshot.n_mounts && !found; i++)
        found = is_writable_store(&snapshot.mounts[i]);
    if (arena.base)
        munmap(arena.base, arena.size);
    return found;
}

static bool has_just_resumed(const struct watch *watch)
{
    return watch->resumed_ms && lethe_now_ms() - watch->resumed_ms < RESUME_MS;
}

/* For how long a device that is missing is waited for. */
static unsigned patience(const struct watch *watch)
{
    unsigned seconds = has_just_resumed(watch) ? RETURN_SECONDS : 0;
    return watch->grace_seconds > seconds && has_persistence() ? watch->grace_seconds : seconds;
}

/* -- looking ----------------------------------------------------------------------------------- */

static void take_notice_of_loss(struct watch *watch, struct watched *w, int64_t seen_ms)
{
    unsigned seconds = patience(watch);
    if (!seconds)
        fire_for(watch, w, seen_ms);
    w->due_ms = seen_ms + 1000 * (int64_t)seconds;
    watch->told_ms = 0; /* at once */
    lethe_log_to_kernel();
}

static bool is_awaited(const struct watched *w)
{
    return !w->device.is_there && !w->due_ms;
}

static void leave_additions_if_none_is_awaited(struct watch *watch)
{
    for (size_t i = 0; i < watch->n; i++)
        if (is_awaited(&watch->watched[i]))
            return;
    lethe_uevent_leave_additions(watch->events);
}

static void look_for_awaited(struct watch *watch, struct watched *w)
{
    if (!lethe_watched_find(&w->device))
        return;
    lethe_log_to_kernel();
    lethe_log(LETHE_LOG_SUMMARY, "the %s %s is watched from now on", w->role, w->device.name);
    leave_additions_if_none_is_awaited(watch);
}

static void look(struct watch *watch, struct watched *w, bool ask_it, int64_t seen_ms)
{
    if (is_awaited(w))
        look_for_awaited(watch, w);
    else if (!w->due_ms && !lethe_watched_look(&w->device, ask_it))
        take_notice_of_loss(watch, w, seen_ms);
}

/* Only a drive can be asked without using the device, which may hang. */
static void look_at_all(struct watch *watch)
{
    for (size_t i = 0; i < watch->n; i++)
        look(watch, &watch->watched[i], watch->watched[i].device.is_optical, lethe_now_ms());
}

/* Once a second while a device is missing. */
static void look_for_missing(struct watch *watch)
{
    int64_t now = lethe_now_ms();
    if (now - watch->told_ms < 1000)
        return;
    watch->told_ms = now;
    for (size_t i = 0; i < watch->n; i++) {
        struct watched *w = &watch->watched[i];
        if (!w->due_ms)
            continue;
        if (lethe_watched_find(&w->device)) {
            w->due_ms = 0;
            lethe_log(LETHE_LOG_ERROR, "the %s is back: %s", w->role, w->device.name);
        } else if (now >= w->due_ms) {
            fire_for(watch, w, now);
        } else {
            lethe_log(LETHE_LOG_ERROR,
                      "the %s %s is gone: the kill switch fires in %lld s unless it is put back",
                      w->role, w->device.name, (long long)(w->due_ms - now + 999) / 1000);
        }
    }
}

static int ms_until(int64_t then_ms)
{
    int64_t ms = then_ms - lethe_now_ms();
    return ms > 0 ? (int)ms : 0;
}

static void take_key(struct watch *watch)
{
    if (lethe_hotkey_look(&watch->hotkey))
        fire(watch, "the key", lethe_now_ms());
}

/* How long poll(2) may sleep. */
static int rest(const struct watch *watch)
{
    if (watch->hotkey.due_ms)
        return ms_until(watch->hotkey.due_ms);
    for (size_t i = 0; i < watch->n; i++)
        if (watch->watched[i].due_ms) {
            int64_t ms = watch->told_ms + 1000 - lethe_now_ms();
            return ms > 0 ? (int)ms : 0;
        }
    return -1;
}

/* lethe_now_ms() counts through a suspend, CLOCK_MONOTONIC does not. */
static int64_t ms_asleep(void)
{
    struct timespec awake;
    clock_gettime(CLOCK_MONOTONIC, &awake);
    return lethe_now_ms() - ((int64_t)awake.tv_sec * 1000 + awake.tv_nsec / 1000000);
}

static void notice_suspend(struct watch *watch)
{
    enum { NOISE_MS = 50 };
    int64_t asleep = ms_asleep();
    if (asleep > watch->asleep_ms + NOISE_MS)
        watch->resumed_ms = lethe_now_ms();
    watch->asleep_ms = asleep;
}

static void take_event(struct watch *watch, const struct lethe_uevent *event, int64_t seen_ms)
{
    for (size_t i = 0; i < watch->n; i++) {
        struct watched *w = &watch->watched[i];
        bool awaited = is_awaited(w) && event->action == LETHE_ACTION_ADD;
        if (event->is_block == w->device.is_block &&
            (awaited || lethe_devno_is(event->devno, w->device.devno)))
            look(watch, w, event->media, seen_ms);
    }
}

static void take_events(struct watch *watch)
{
    struct lethe_uevent event;
    int64_t seen_ms = lethe_now_ms();
    int r;
    notice_suspend(watch);
    while ((r = lethe_uevent_receive(watch->events, &event)) > 0)
        take_event(watch, &event, seen_ms);
    if (r == -ENOBUFS)
        look_at_all(watch);
}

/* A timer that nobody waits for to end: the kernel cancels it when the clock is set, which it does
 * after each suspend (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET). */
static void set_resume_timer(int timer)
{
    const struct itimerspec never = {.it_value = {.tv_sec = (time_t)1 << 33}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL);
}

static void take_resume(struct watch *watch)
{
    uint64_t unused;
    (void)!read(watch->resumes, &unused, sizeof unused);
    set_resume_timer(watch->resumes);
    notice_suspend(watch);
    look_at_all(watch);
}

static _Noreturn void watch_for_ever(struct watch *watch)
{
    struct pollfd sources[] = {{watch->events, POLLIN, 0},
                               {watch->resumes, POLLIN, 0},
                               {watch->requests, POLLIN, 0},
                               {watch->hotkey.n ? watch->hotkey.sources : -1, POLLIN, 0}};
    for (;;) {
        if (poll(sources, 4, rest(watch)) < 0)
            continue;
        if (sources[2].revents && lethe_helper_receive(watch->requests, &watch->kill))
            lethe_kill_now(&watch->kill);
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

static bool take_cord(void *context, const char *value)
{
    struct watch *watch = context;
    if (watch->n_cords == CORDS_MAX)
        return false;
    watch->cords[watch->n_cords++] = value;
    return true;
}

static bool add_key(void *context, const char *value)
{
    return !lethe_hotkey_add(&((struct watch *)context)->hotkey, value);
}

static bool take_hold(void *context, const char *value)
{
    enum { MINUTE = 60000 };
    uint64_t ms;
    if (lethe_number(lethe_span(value), MINUTE, &ms))
        return false;
    ((struct watch *)context)->hotkey.hold_ms = (int64_t)ms;
    return true;
}

static bool take_grace(void *context, const char *value)
{
    return lethe_options_seconds(value, &((struct watch *)context)->grace_seconds);
}

static bool take_list(void *context, const char *unused)
{
    (void)unused;
    return ((struct watch *)context)->list = true;
}

static bool take_verb(void *context, const char *value)
{
    return lethe_kill_take_verb(&((struct watch *)context)->kill, value);
}

static bool take_sync(void *context, const char *value)
{
    return lethe_kill_take_sync(&((struct watch *)context)->kill, value);
}

static bool take_deadline(void *context, const char *value)
{
    return lethe_kill_take_deadline(&((struct watch *)context)->kill, value);
}

static const struct lethe_option options[] = {
    {"--list", NULL, "tell what would be watched and what can be a cord, and end", take_list,
     false},
    {"--cord", "usb:VVVV:PPPP[:SERIAL]", "fire when this is pulled out, too", take_cord, true},
    {"--key", "COMBINATION", "fire when these keys are held down together", add_key, true},
    {"--hold", "MS", "for so many milliseconds", take_hold, false},
    {"--grace", "SECONDS", "wait so long for what is gone to come back", take_grace, false},
    {"--verb", "poweroff|reboot|halt", "how the machine is to end", take_verb, false},
    {"--sync", "SECONDS", "let what is still there be written back for so long", take_sync, false},
    {"--deadline", "SECONDS", "when the machine is switched off in any case", take_deadline, false},
};

static const struct lethe_usage usage = {
    .command = "watch",
    .summary = "Stays in memory and fires the kill switch when the boot medium is pulled out.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
};

/* Serial numbers are what a device says of itself. */
static void print_usb(const char *name, const char *identity)
{
    char shown[512];
    printf("%s %s\n", lethe_printable(shown, sizeof shown, identity), name);
}

static int list(const struct watch *watch)
{
    char shown[512];
    for (size_t i = 0; i < watch->n; i++) {
        const struct lethe_watched *d = &watch->watched[i].device;
        if (strcmp(watch->watched[i].role, "medium") != 0)
            continue;
        printf("medium: %s %s\n", d->name, lethe_printable(shown, sizeof shown, d->identity));
    }
    lethe_watched_list_usb(print_usb);
    return lethe_command_flush("watch") ? 2 : 0;
}

static void tell_what_is_watched(const struct watch *watch)
{
    char shown[512];
    for (size_t i = 0; i < watch->n; i++) {
        const struct watched *w = &watch->watched[i];
        printf("lethe watch: the %s %s%s%s\n", w->role,
               lethe_printable(shown, sizeof shown, w->device.identity),
               w->device.is_there ? " is watched: " : " is not there: watched from when it is",
               w->device.name);
    }
    fflush(stdout);
}

/* Before anything is looked at, so that nothing that happens from then on is missed. */
static int open_sources(struct watch *watch)
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

/* Locked, with what PID 1 needs kept by a second process. */
static void settle_down(struct watch *watch)
{
    lethe_process_lock();
    lethe_process_spare();
    if (lethe_takeover_is_armed(LETHE_ARMED_COPY))
        lethe_takeover_hold();
    lethe_process_take_stdio();
    for (size_t i = 0; i < watch->n; i++)
        if (watch->watched[i].device.is_removable)
            poll_drive(&watch->watched[i].device);
    leave_additions_if_none_is_awaited(watch);
    look_at_all(watch);
    lethe_process_unlock_unused();
}

int lethe_watch_main(int argc, char **argv)
{
    static struct watch watch; /* set below: it would lie in the program otherwise */
    int status;
    watch.kill.verb = LETHE_VERB_POWEROFF;
    watch.hotkey.hold_ms = LETHE_HOTKEY_HOLD_MS;
    if (!lethe_options_read(&usage, &watch, argc, argv, &status))
        return status;
    if (geteuid())
        return lethe_command_refuse("watch", "only root can do this");
    if (!lethe_identity_is_machine())
        return lethe_command_refuse("watch", "a pid or user namespace of its own ends no machine");
    if (!lethe_confined_has_mounts())
        return lethe_command_refuse("watch", "in mounts of its own it does not see the medium's");
    lethe_process_close_all();
    if (chdir("/"))
        return lethe_command_refuse("watch", "the root directory can't be reached");
    if (lethe_watched_open())
        return lethe_command_refuse("watch", "sysfs is not mounted at /sys");
    int r = open_sources(&watch);
    if (r) {
        fprintf(stderr, "lethe watch: the kernel's uevents: %s\n", strerror(-r));
        return 1;
    }
    if (find_medium(&watch))
        return 2;
    if (add_cords(&watch))
        return lethe_command_refuse(
            "watch", "a cord is named usb:VVVV:PPPP[:SERIAL], see lethe watch --list");
    if (watch.list)
        return list(&watch);
    if (watch.is_late)
        fire(&watch, "the medium is gone, since before it was watched", lethe_now_ms());
    if (watch.hotkey.n && (r = lethe_hotkey_open(&watch.hotkey))) {
        fprintf(stderr, "lethe watch: /dev/input: %s\n", strerror(-r));
        return 1;
    }
    watch.requests = lethe_helper_listen();
    if (!watch.n && !watch.hotkey.n) {
        printf("lethe watch: the system does not run from a medium that could be pulled out: "
               "nothing to watch%s\n",
               watch.requests < 0 ? "" : ", waits for a lethe now that needs help");
        if (watch.requests < 0 && !watch.hotkey.n)
            return 0;
    }
    tell_what_is_watched(&watch);
    settle_down(&watch);
    watch_for_ever(&watch);
}
