/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/watchdog.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/watchdog.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

enum { DOGS_MAX = 16, LOOK_MS = 500 };

static struct dog {
    char path[64];
    int fd; /* -1: stopped */
} dogs[DOGS_MAX];
static size_t n_dogs;
static int64_t looked_ms;
static _Atomic unsigned *beats; /* see lethe_watchdog_count() */

static bool is_known(const char *path)
{
    for (size_t i = 0; i < n_dogs; i++)
        if (!strcmp(dogs[i].path, path))
            return true;
    return false;
}

static void keep(const char *path, int fd)
{
    snprintf(dogs[n_dogs].path, sizeof dogs[n_dogs].path, "%s", path);
    dogs[n_dogs++].fd = fd;
}

/* Shares the descriptor that PID 1 has (pidfd_getfd(2), Linux 5.6): a watchdog can be opened once
 * only, and a frozen PID 1 serves it no more. */
static int share_with_init(const char *path)
{
    enum { FILES_MAX = 256 };
    char link[32], target[64];
    int found = -1, pidfd = (int)syscall(SYS_pidfd_open, 1, 0);
    for (int fd = 0; pidfd >= 0 && found < 0 && fd < FILES_MAX; fd++) {
        snprintf(link, sizeof link, "/proc/1/fd/%d", fd);
        ssize_t n = readlink(link, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        if (!strcmp(target, path))
            found = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
    }
    if (pidfd >= 0)
        close(pidfd);
    return found;
}

static void serve(const char *path)
{
    if (n_dogs == DOGS_MAX || is_known(path))
        return;
    int fd = lethe_sys->open(path, O_WRONLY);
    if (fd < 0)
        fd = share_with_init(path);
    if (fd >= 0)
        keep(path, fd);
}

/* Stops a watchdog, or serves it if it can't be stopped: opening it started it. */
static void stop_or_serve(const char *path)
{
    int disable = WDIOS_DISABLECARD;
    if (n_dogs == DOGS_MAX || is_known(path))
        return;
    int fd = lethe_sys->open(path, O_WRONLY);
    if (fd < 0)
        return;
    if (!lethe_sys->ioctl(fd, WDIOC_SETOPTIONS, &disable)) {
        lethe_sys->close(fd);
        fd = -1;
    }
    keep(path, fd);
}

/* True for "/dev/watchdog", another name of the first one, except for drivers that the kernel's
 * watchdog core does not know. */
static bool is_second_name(const char *name)
{
    return !strcmp(name, "watchdog") && !access("/sys/class/watchdog/watchdog0", F_OK);
}

static void look_at(const char *name)
{
    char path[64], state[128] = "";
    snprintf(path, sizeof path, "/sys/class/watchdog/%.24s/state", name);
    bool told = lethe_sys_read_line(AT_FDCWD, path, state, sizeof state);
    snprintf(path, sizeof path, "/dev/%.24s", name);
    if (!told && !is_second_name(name))
        stop_or_serve(path);
    else if (!strcmp(state, "active"))
        serve(path);
}

static void look_at_named(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *device = getenv("WATCHDOG_DEVICE");
    if (!usec || !strtoull(usec, NULL, 10))
        return;
    if (device && device[0] && strcmp(device, "/dev/watchdog") != 0)
        serve(device);
    else
        serve(access("/sys/class/watchdog/watchdog0", F_OK) ? "/dev/watchdog" : "/dev/watchdog0");
}

void lethe_watchdog_open(void)
{
    looked_ms = lethe_sys_now_ms();
    look_at_named();
    DIR *nodes = opendir("/dev");
    for (struct dirent *entry; nodes && (entry = readdir(nodes));)
        if (!strncmp(entry->d_name, "watchdog", 8))
            look_at(entry->d_name);
    if (nodes)
        closedir(nodes);
}

void lethe_watchdog_count(_Atomic unsigned *in)
{
    beats = in;
}

void lethe_watchdog_arm(int64_t end_ms)
{
    enum { MARGIN_MS = 10000 };
    int seconds = (int)((end_ms - lethe_sys_now_ms() + MARGIN_MS) / 1000);
    if (!n_dogs)
        serve("/dev/watchdog0");
    for (size_t i = 0; i < n_dogs; i++)
        if (dogs[i].fd >= 0)
            lethe_sys->ioctl(dogs[i].fd, WDIOC_SETTIMEOUT, &seconds);
}

void lethe_watchdog_ping(void *unused)
{
    (void)unused;
    if (beats)
        ++*beats;
    for (size_t i = 0; i < n_dogs; i++)
        if (dogs[i].fd >= 0)
            lethe_sys->ioctl(dogs[i].fd, WDIOC_KEEPALIVE, NULL);
    if (lethe_sys_now_ms() - looked_ms >= LOOK_MS)
        lethe_watchdog_open();
}

void lethe_watchdog_stay(int64_t ms)
{
    const struct timespec pause = {0, 100 * 1000 * 1000};
    for (int64_t end = lethe_sys_now_ms() + ms; lethe_sys_now_ms() < end; nanosleep(&pause, NULL))
        lethe_watchdog_ping(NULL);
}
