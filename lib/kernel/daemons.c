/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/daemons.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"
#include "lethe/kernel/watchdog.h"

/* True when the descriptor's link leads to a device that a daemon serves, wherever /dev or /sys was
 * mounted when it was opened. */
static bool serves(const char *link)
{
    const char *array = strstr(link, "/block/md");
    return strstr(link, "/dev/fuse") || strstr(link, "/dev/nbd") || strstr(link, "/dev/ublkc") ||
           strstr(link, "/dev/vduse/") || (array && strstr(array, "/md/")) ||
           strstr(link, "/dev/uio");
}

static bool has_open(const char *pid)
{
    char path[64], link[PATH_MAX];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%.20s/fd", pid);
    DIR *dir = opendir(path);
    while (dir && !found) {
        struct dirent *entry = readdir(dir);
        if (!entry)
            break;
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, link, sizeof link - 1);
        link[n > 0 ? n : 0] = '\0';
        found = serves(link);
    }
    if (dir)
        closedir(dir);
    return found;
}

/* Knows two daemons by name, since they have nothing open that tells. Sparing one that serves
 * nothing costs two seconds. */
static bool is_known(const char *pid)
{
    char path[64], name[64];
    snprintf(path, sizeof path, "/proc/%.20s/comm", pid);
    lethe_sys_read_line(AT_FDCWD, path, name, sizeof name);
    return !strcmp(name, "multipathd") || !strcmp(name, "iscsid");
}

void lethe_daemons_find(struct lethe_progress *progress)
{
    unsigned n = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry;
         proc && n < LETHE_SUPERVISE_DAEMONS_MAX && (entry = readdir(proc));) {
        const char *pid = entry->d_name;
        if (isdigit((unsigned char)pid[0]) && atoi(pid) > 1 && (has_open(pid) || is_known(pid)))
            progress->daemons[n++] = atoi(pid);
    }
    if (proc)
        closedir(proc);
    progress->n_daemons = n;
}

static bool is_any_alive(const struct lethe_progress *progress)
{
    for (unsigned i = 0; i < progress->n_daemons; i++)
        if (lethe_sys->kill(progress->daemons[i], 0) != -ESRCH)
            return true;
    return false;
}

void lethe_daemons_await(const struct lethe_progress *progress, int64_t ms)
{
    const struct timespec pause = {0, 10 * 1000 * 1000};
    for (int64_t end = lethe_sys_now_ms() + ms; is_any_alive(progress) && lethe_sys_now_ms() < end;
         nanosleep(&pause, NULL))
        for (lethe_watchdog_ping(NULL); waitpid(-1, NULL, WNOHANG) > 0;)
            ;
}
