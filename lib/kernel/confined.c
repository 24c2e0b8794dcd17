/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/confined.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

struct rights {
    unsigned long long filter, filters, capabilities;
};

static unsigned long long field(const char *status, const char *name, int base)
{
    const char *line = strstr(status, name);
    return line ? strtoull(line + strlen(name), NULL, base) : 0;
}

static bool read_rights(const char *path, struct rights *rights)
{
    char status[8192];
    if (!lethe_sys_read_text(AT_FDCWD, path, status, sizeof status))
        return false;
    rights->filter = field(status, "\nSeccomp:", 10);
    rights->filters = field(status, "\nSeccomp_filters:", 10); /* Linux 5.9 */
    rights->capabilities = field(status, "\nCapEff:", 16);
    return true;
}

bool lethe_confined(void)
{
    struct rights own, init;
    if (!read_rights("/proc/self/status", &own))
        return false;
    if (!read_rights("/proc/1/status", &init))
        return own.filter;
    return own.filter > init.filter || own.filters > init.filters ||
           (init.capabilities & ~own.capabilities);
}

static bool is_same(const char *one, const char *other)
{
    struct stat a, b;
    return stat(one, &a) || stat(other, &b) || (a.st_dev == b.st_dev && a.st_ino == b.st_ino);
}

bool lethe_confined_has_mounts(void)
{
    return is_same("/proc/self/ns/mnt", "/proc/1/ns/mnt") && is_same("/", "/proc/1/root/");
}

/* A namespace that PID 1 is in already is joined, too: nothing changes by that. */
bool lethe_confined_join(void)
{
    static const char *const places[] = {"/proc/1/ns/mnt", "/proc/1/ns/ipc", "/proc/1/ns/net",
                                         "/proc/1/ns/cgroup", "/proc/1/ns/time"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        int fd = lethe_sys->open(places[i], O_RDONLY);
        if (fd >= 0) {
            (void)!setns(fd, 0);
            lethe_sys->close(fd);
        }
    }
    if (!is_same("/", "/proc/1/root/"))
        (void)(chdir("/proc/1/root") || chroot(".") || chdir("/"));
    return lethe_confined_has_mounts();
}
