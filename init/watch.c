/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Stays in memory and fires the kill switch when the boot medium, or a device that was named as a
 * dead man's cord, is pulled out. It sleeps until the kernel says that something was removed, a
 * disc changed, or the machine has come back from a suspend; then it looks.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "end.h"
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

enum {
    WATCHED_MAX = 16,
    RESUME_MS = 15000,   /* so long after a suspend a device may be missing … */
    RETURN_SECONDS = 10, /* … and so long it may take until it is back: a hub that has lost its
                            power has the sticks enumerated anew, one after the other */
};

struct watch {
    struct lethe_kill kill; /* what is done when it fires */
    unsigned grace_seconds;
    struct lethe_watched watched[WATCHED_MAX];
    size_t n;
    const char *cords[WATCHED_MAX];
    size_t n_cords;
    int events, resumes; /* the kernel's messages; a timer that ends with a suspend */
    int64_t asleep_ms;   /* in suspends until now */
    int64_t resumed_ms;  /* lethe_now_ms() when the last one was noticed; 0: there was none */
    bool is_late;        /* the medium had gone before this began */
    bool list;
};

/* -- what is watched --------------------------------------------------------------------------- */

static bool is_whole_disk(const struct lethe_block *block)
{
    return block->kind == LETHE_BLOCK_PLAIN && block->disk == LETHE_NONE;
}

/* A line "medium NAME MAJOR:MINOR …" of the record that arm has made. */
static bool was_medium(struct lethe_devno devno)
{
    static const char role[] = "medium ";
    char text[4096];
    struct lethe_span record, line;
    ssize_t n = lethe_read_file(AT_FDCWD, LETHE_ARMED_RECORD, text, sizeof text);
    record = (struct lethe_span){text, n > 0 ? (size_t)n : 0};
    while (lethe_next_line(&record, &line)) {
        struct lethe_devno found;
        if (line.n < sizeof role || memcmp(line.at, role, sizeof role - 1) != 0)
            continue;
        lethe_cut(&line, ' ');
        lethe_cut(&line, ' ');
        if (!lethe_devno(lethe_cut(&line, ' '), &found) && lethe_devno_is(found, devno))
            return true;
    }
    return false;
}

/* A mount whose device is no more, and was the medium's: it has gone before anybody watched. */
static bool has_gone_before(const struct lethe_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->n_mounts; i++) {
        const struct lethe_mount *m = &snapshot->mounts[i];
        if (m->devno.major && m->device == LETHE_NONE && was_medium(m->devno))
            return true;
    }
    return false;
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
        lethe_roles_find(&snapshot, roles);
    for (size_t i = 0; roles && i < snapshot.n_blocks && watch->n < WATCHED_MAX; i++)
        if (roles[i] == LETHE_ROLE_MEDIUM && is_whole_disk(&snapshot.blocks[i]))
            watch->n += !lethe_watched_disk(&watch->watched[watch->n], snapshot.blocks[i].name);
    watch->is_late = has_gone_before(&snapshot);
    munmap(arena.base, arena.size);
    return roles ? 0 : -ENOMEM;
}

static int add_cords(struct watch *watch)
{
    for (size_t i = 0; i < watch->n_cords && watch->n < WATCHED_MAX; i++) {
        int r = lethe_watched_usb(&watch->watched[watch->n], watch->cords[i]);
        if (r == -EINVAL)
            return r;
        if (r)
            fprintf(stderr, "lethe watch: the cord %s is not there: watched from when it is\n",
                    watch->cords[i]);
        watch->n++;
    }
    return 0;
}

/* A drive is polled for its disc only when it is told to (Documentation/ABI/stable/sysfs-block). */
static void poll_drive(const struct lethe_watched *drive)
{
    char path[128], text[16];
    snprintf(path, sizeof path, "/sys/block/%s/events_poll_msecs", drive->name);
    if (lethe_read_line(AT_FDCWD, path, text, sizeof text) && !strcmp(text, "-1"))
        lethe_sys->write_file(path, "2000");
}

static const char *kind_of(const struct watch *watch, const struct lethe_watched *watched)
{
    return watched < watch->watched + watch->n - watch->n_cords ? "medium" : "cord";
}

/* -- firing ------------------------------------------------------------------------------------ */

static bool is_writable_store(const struct lethe_mount *m)
{
    return lethe_mount_is_stored(m) && !strncmp(m->super_options, "rw", 2);
}

/* From /proc and /sys alone. */
static bool has_persistence(void)
{
    struct lethe_snapshot snapshot;
    struct lethe_arena arena;
    bool found = false;
    if (lethe_command_snapshot("watch", NULL, &snapshot, &arena))
        return true;
    for (size_t i = 0; i < snapshot.n_mounts && !found; i++)
        found = is_writable_store(&snapshot.mounts[i]);
    munmap(arena.base, arena.size);
    return found;
}

/* Waits until the device is back or the time is over; says so every second. */
static bool comes_back(struct watch *watch, struct lethe_watched *watched, unsigned seconds)
{
    const struct timespec second = {1, 0};
    for (; seconds; seconds--) {
        if (lethe_watched_find(watched)) {
            lethe_log(LETHE_LOG_ERROR, "the %s is back: %s", kind_of(watch, watched),
                      watched->name);
            return true;
        }
        lethe_log(LETHE_LOG_ERROR,
                  "the %s %s is gone: the kill switch fires in %u s unless it is put back",
                  kind_of(watch, watched), watched->name, seconds);
        nanosleep(&second, NULL);
    }
    return lethe_watched_find(watched);
}

static bool has_just_resumed(const struct watch *watch)
{
    return watch->resumed_ms && lethe_now_ms() - watch->resumed_ms < RESUME_MS;
}

static void fire(struct watch *watch, struct lethe_watched *watched, int64_t seen_ms)
{
    char reason[128];
    unsigned seconds = has_just_resumed(watch) ? RETURN_SECONDS : 0;
    if (watch->grace_seconds > seconds && has_persistence())
        seconds = watch->grace_seconds;
    if (seconds) {
        lethe_log_to_kernel();
        if (comes_back(watch, watched, seconds))
            return;
    }
    snprintf(reason, sizeof reason, "the %s %s is gone", kind_of(watch, watched), watched->name);
    watch->kill.triggered_ms = seen_ms;
    watch->kill.reason = reason;
    lethe_kill_now(&watch->kill);
}

/* -- looking ----------------------------------------------------------------------------------- */

static int64_t ms_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* CLOCK_BOOTTIME counts through a suspend, CLOCK_MONOTONIC does not. */
static void notice_suspend(struct watch *watch)
{
    enum { NOISE_MS = 50 };
    int64_t asleep = ms_of(CLOCK_BOOTTIME) - ms_of(CLOCK_MONOTONIC);
    if (asleep > watch->asleep_ms + NOISE_MS)
        watch->resumed_ms = lethe_now_ms();
    watch->asleep_ms = asleep;
}

static void look(struct watch *watch, struct lethe_watched *watched, bool media, int64_t seen_ms)
{
    if (!watched->is_there) /* a cord that is awaited */
        lethe_watched_find(watched);
    else if (!lethe_watched_look(watched) || (media && !lethe_watched_has_disc(watched)))
        fire(watch, watched, seen_ms);
}

static void look_at_all(struct watch *watch)
{
    for (size_t i = 0; i < watch->n; i++)
        look(watch, &watch->watched[i], watch->watched[i].is_optical, lethe_now_ms());
}

static void take_event(struct watch *watch, const struct lethe_uevent *event, int64_t seen_ms)
{
    for (size_t i = 0; i < watch->n; i++) {
        struct lethe_watched *w = &watch->watched[i];
        bool awaited = !w->is_there && event->action == LETHE_ACTION_ADD;
        if (event->is_block == w->is_block && (awaited || lethe_devno_is(event->devno, w->devno)))
            look(watch, w, w->is_optical && event->media, seen_ms);
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
    struct pollfd sources[] = {{watch->events, POLLIN, 0}, {watch->resumes, POLLIN, 0}};
    for (;;) {
        if (poll(sources, 2, -1) < 0)
            continue;
        if (sources[1].revents)
            take_resume(watch);
        if (sources[0].revents)
            take_events(watch);
    }
}

/* -- the beginning ----------------------------------------------------------------------------- */

static bool take_cord(struct watch *watch, const char *argument)
{
    if (strncmp(argument, "--cord=", 7) != 0 || watch->n_cords == WATCHED_MAX)
        return false;
    watch->cords[watch->n_cords++] = argument + 7;
    return true;
}

static bool take_option(struct watch *watch, const char *argument)
{
    if (!strcmp(argument, "--list"))
        return watch->list = true;
    return take_cord(watch, argument) || lethe_kill_take_option(&watch->kill, argument) ||
           lethe_command_take_seconds(argument, "--grace=", &watch->grace_seconds);
}

static void print_usb(const char *name, const char *identity)
{
    printf("%s %s\n", identity, name);
}

static int list(const struct watch *watch)
{
    for (size_t i = 0; i < watch->n; i++)
        printf("medium: %s %s\n", watch->watched[i].name, watch->watched[i].identity);
    lethe_watched_list_usb(print_usb);
    return 0;
}

static int open_sources(struct watch *watch)
{
    bool additions = false;
    for (size_t i = 0; i < watch->n; i++)
        additions |= !watch->watched[i].is_there;
    watch->events = lethe_uevent_open(additions);
    watch->resumes = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (watch->events < 0)
        return watch->events;
    if (watch->resumes < 0)
        return -errno;
    set_resume_timer(watch->resumes);
    return 0;
}

static void settle_down(struct watch *watch)
{
    lethe_process_lock();
    lethe_process_load();
    if (lethe_takeover_is_armed(LETHE_ARMED_COPY))
        lethe_takeover_hold();
    lethe_process_take_stdio();
    watch->asleep_ms = ms_of(CLOCK_BOOTTIME) - ms_of(CLOCK_MONOTONIC);
}

int lethe_watch_main(int argc, char **argv)
{
    static struct watch watch = {.kill = {.verb = LETHE_VERB_POWEROFF}};
    for (int i = 1; i < argc; i++)
        if (!take_option(&watch, argv[i]))
            return lethe_command_bad_option("watch", argv[i]);
    if (geteuid())
        return lethe_command_refuse("watch", "only root can do this");
    if (!lethe_end_is_machine())
        return lethe_command_refuse("watch", "a pid namespace of its own ends no machine");
    int r = find_medium(&watch);
    if (r)
        return 2;
    if (watch.list)
        return list(&watch);
    if (add_cords(&watch))
        return lethe_command_refuse(
            "watch", "a cord is named usb:VVVV:PPPP[:SERIAL], see lethe watch --list");
    if (watch.is_late) {
        watch.kill.triggered_ms = lethe_now_ms();
        watch.kill.reason = "the medium is gone, since before it was watched";
        lethe_kill_now(&watch.kill);
    }
    if (!watch.n) {
        puts("lethe watch: the system does not run from a medium that could be pulled out: nothing "
             "to watch");
        return 0;
    }
    for (size_t i = 0; i < watch.n; i++)
        if (watch.watched[i].is_optical)
            poll_drive(&watch.watched[i]);
    r = open_sources(&watch);
    if (r) {
        fprintf(stderr, "lethe watch: the kernel's uevents: %s\n", strerror(-r));
        return 1;
    }
    settle_down(&watch);
    look_at_all(&watch); /* it may have gone since */
    watch_for_ever(&watch);
}
