/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

/* Reads a file straight into the rest of the arena, without an allocation that would zero it. */
int lethe_source_read(const struct lethe_source *s, const char *path, struct lethe_span *text)
{
    char *at = s->arena->base + s->arena->used;
    size_t room = s->arena->size - s->arena->used;
    ssize_t n = lethe_sys_read_file(s->root, path, at, room);
    if (n < 0)
        return n == -EFBIG ? -ENOMEM : (int)n;
    *text = (struct lethe_span){at, (size_t)n};
    size_t taken = ((size_t)n + 63) & ~(size_t)63;
    if (taken > room)
        return -ENOMEM;
    s->arena->used += taken;
    return 0;
}

DIR *lethe_source_open_dir(const struct lethe_source *s, const char *path)
{
    int fd = lethe_sys_open_below(s->root, path, O_RDONLY | O_DIRECTORY);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (fd >= 0 && !dir)
        close(fd);
    return dir;
}

size_t lethe_source_count(DIR *dir)
{
    size_t n = 0;
    while (readdir(dir))
        n++;
    rewinddir(dir);
    return n;
}

const char *lethe_source_below_system(const char *path)
{
    static const char pivoted[] = "/oldroot";
    while (!strncmp(path, pivoted, sizeof pivoted - 1) && path[sizeof pivoted - 1] == '/')
        path += sizeof pivoted - 1;
    return path;
}
