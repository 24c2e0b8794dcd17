/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

static int kmsg = -1, console = -1;
static int console_level;
static bool console_is_terminal;
/* The kernel drops what comes through one open file beyond ten lines in five seconds, unless it is
 * told not to, which its command line may forbid (devkmsg_write(), kernel/printk/printk.c). */
static bool is_limited;
static bool verbose;
static bool (*show)(const char *line);

/* Levels of syslog(2). The kernel's console shows what is below its own level. */
static const int priorities[] = {
    [LETHE_LOG_ERROR] = 3, [LETHE_LOG_SUMMARY] = 5, [LETHE_LOG_VERBOSE] = 6, [LETHE_LOG_KEPT] = 7};

static void replace(int *fd, int fresh)
{
    if (*fd >= 0)
        lethe_sys->close(*fd);
    *fd = fresh;
}

static void reopen(int *fd, const char *path)
{
    int fresh = lethe_sys_open_device(path, O_WRONLY | O_NONBLOCK, S_IFCHR, 0);
    if (fresh >= 0)
        replace(fd, fresh);
}

static bool is_virtual_terminal(int fd)
{
    enum { MAJOR = 4, MINORS = 64 }; /* Documentation/admin-guide/devices.txt; above: serial ones */
    unsigned device = 0;
    return fd >= 0 && !lethe_sys->ioctl(fd, TIOCGDEV, &device) && device >> 8 == MAJOR &&
           (device & 0xff) < MINORS;
}

void lethe_log_to_kernel(void)
{
    char level[64], limit[16];
    reopen(&kmsg, "/dev/kmsg");
    reopen(&console, "/dev/console");
    console_is_terminal = is_virtual_terminal(console);
    is_limited =
        lethe_sys_read_line(AT_FDCWD, "/proc/sys/kernel/printk_devkmsg", limit, sizeof limit) &&
        strcmp(limit, "on") != 0;
    console_level = lethe_sys_read_line(AT_FDCWD, "/proc/sys/kernel/printk", level, sizeof level)
                        ? atoi(level)
                        : 0;
}

void lethe_log_close(void)
{
    replace(&kmsg, -1);
    replace(&console, -1);
}

void lethe_log_set_verbose(bool on)
{
    verbose = on;
}

void lethe_log_show_on(bool (*on)(const char *line))
{
    show = on;
}

/* Loses what a full console or log does not take, rather than wait. */
static bool put(int fd, const char *text, size_t n)
{
    return write(fd, text, n) == (ssize_t)n;
}

/* Replaces control characters by question marks. A name in the line, such as a mount's path, is its
 * owner's choice, and a terminal would obey it or show it as another line. Callers that can escape
 * it before, with lethe_text_printable(), do so. */
static void tame(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || (unsigned char)*text >= 0177)
            *text = '?';
}

void lethe_log(enum lethe_log_level level, const char *format, ...)
{
    char line[512];
    va_list list;
    if (level == LETHE_LOG_VERBOSE && !verbose)
        return;
    int head = snprintf(line, sizeof line, "<%d>lethe: ", priorities[level]);
    va_start(list, format);
    int n = vsnprintf(line + head, sizeof line - (size_t)head - 1, format, list);
    va_end(list);
    if (n < 0)
        return;
    tame(line);
    bool shown = show && level != LETHE_LOG_KEPT && show(line + head);
    size_t length = strlen(line);
    line[length++] = '\n';
    bool to_kernel = kmsg >= 0 && !(is_limited && console >= 0 && level != LETHE_LOG_KEPT);
    if (to_kernel)
        to_kernel = put(kmsg, line, length);
    else if (console < 0)
        put(STDERR_FILENO, line + 3, length - 3);
    bool for_console = level != LETHE_LOG_KEPT && console >= 0 && !(shown && console_is_terminal);
    if (for_console && (!to_kernel || priorities[level] >= console_level) &&
        !put(console, line + 3, length - 3) && !to_kernel && kmsg >= 0)
        put(kmsg, line, length);
}
