/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/cgroup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>

#include "lethe/kernel/sys.h"
#include "lethe/plan/text.h"

static const char place[] = "/sys/fs/cgroup", tasks[] = "/sys/fs/cgroup/cgroup.procs";

/* Leaves the group that a line of /proc/self/cgroup names: "0::/PATH" in the unified hierarchy,
 * "N:CONTROLLER,…:/PATH" in an old one. A group without controllers ("name=…") limits nothing. */
static void leave(char *line)
{
    char *controllers = strchr(line, ':'), *path = controllers ? strchr(++controllers, ':') : NULL;
    if (!path || !strcmp(path, ":/") || !strncmp(controllers, "name=", 5))
        return;
    *path = '\0';
    bool unified = !*controllers;
    if (lethe_sys->mount("cgroup", place, unified ? "cgroup2" : "cgroup", MS_NOSUID,
                         unified ? NULL : controllers))
        return;
    lethe_sys->write_file(tasks, "0");
    lethe_sys->umount(place, MNT_DETACH);
}

void lethe_cgroup_leave(void)
{
    char text[4096];
    lethe_sys_read_text(AT_FDCWD, "/proc/self/cgroup", text, sizeof text);
    for (char *line = text, *end; *line; line = end) {
        end = line + strcspn(line, "\n");
        if (*end)
            *end++ = '\0';
        leave(line);
    }
}
