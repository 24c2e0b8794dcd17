/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/confined.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

bool lethe_confined_has_mounts(void)
{
    struct stat own, init;
    return stat("/proc/self/ns/mnt", &own) || stat("/proc/1/ns/mnt", &init) ||
           own.st_ino == init.st_ino;
}

bool lethe_confined_join_mounts(void)
{
    int fd = lethe_confined_has_mounts() ? -1 : lethe_sys->open("/proc/1/ns/mnt", O_RDONLY);
    if (fd >= 0) {
        (void)!setns(fd, CLONE_NEWNS);
        lethe_sys->close(fd);
    }
    return lethe_confined_has_mounts();
}
