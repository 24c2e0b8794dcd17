/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/tracing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

#define TRACING "/sys/kernel/tracing"

bool lethe_tracing_open(void)
{
    int r = lethe_sys->mount("tracefs", TRACING, "tracefs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    return !r || r == -EBUSY; /* it is mounted there already */
}

static void truncate_file(const char *path)
{
    int fd = lethe_sys->open(path, O_WRONLY | O_TRUNC);
    if (fd >= 0)
        lethe_sys->close(fd);
}

/* Removes the instances, each of which has buffers of its own and may have enabled a probe. */
static void remove_instances(void)
{
    char path[320];
    DIR *dir = opendir(TRACING "/instances");
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        snprintf(path, sizeof path, TRACING "/instances/%.255s", entry->d_name);
        if (entry->d_name[0] != '.')
            rmdir(path);
    }
    if (dir)
        closedir(dir);
}

void lethe_tracing_remove_probes(void)
{
    char some[64];
    remove_instances();
    ssize_t n = lethe_sys_read_file(AT_FDCWD, TRACING "/uprobe_events", some, sizeof some);
    if (n <= 0 && n != -EFBIG)
        return;
    lethe_sys->write_file(TRACING "/events/enable", "0");
    truncate_file(TRACING "/uprobe_events");
}

/* Overwrites this processor's part of the ring, which has three pages when it is smallest. A mark
 * that does not fit into a page's end leaves that end as it was, so there are shorter and shorter
 * ones; each takes 22 to 25 bytes more than its own. */
static void overwrite_here(void *marker)
{
    enum { PAGES = 4, HEAD = 22 };
    static const size_t sizes[] = {254, 26, 18, 10, 6, 2};
    static char mark[256];
    memset(mark, '0', sizeof mark);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t done = 0; done < PAGES * lethe_sys->page_size(); done += HEAD + sizes[i])
            (void)!write(*(int *)marker, mark, sizes[i]);
}

/* Reads, by which each processor's page that was read last goes back to its ring: it has nothing
 * unread after a reset. */
static void change_reader_pages(void)
{
    char mark[256];
    int fd = lethe_sys->open(TRACING "/trace_pipe", O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return;
    (void)!read(fd, mark, sizeof mark);
    lethe_sys->close(fd);
}

void lethe_tracing_clear(void)
{
    static const struct lethe_sys_setting smallest[] = {
        {TRACING "/current_tracer", "nop"}, {TRACING "/events/enable", "0"},
        {TRACING "/snapshot", "0"},         {TRACING "/buffer_subbuf_size_kb", "4"},
        {TRACING "/buffer_size_kb", "1"},   {TRACING "/options/overwrite", "1"},
        {TRACING "/options/markers", "1"},  {TRACING "/tracing_on", "1"},
    };
    lethe_sys_write_settings(smallest, sizeof smallest / sizeof *smallest);
    truncate_file(TRACING "/trace"); /* resets the rings */
    int marker = lethe_sys->open(TRACING "/trace_marker", O_WRONLY);
    if (marker < 0)
        return;
    lethe_sys_on_each_processor(overwrite_here, &marker);
    change_reader_pages();
    lethe_sys_on_each_processor(overwrite_here, &marker);
    lethe_sys->close(marker);
    lethe_sys->write_file(TRACING "/tracing_on", "0");
    truncate_file(TRACING "/trace");
}
