/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/printed.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

#define HEAD "<7>"
#define MARK "........"

enum {
    SYSLOG_ACTION_SIZE_BUFFER = 10, /* syslog(2) */
    LONG = 960,                     /* below what one line may have (LOG_LINE_MAX, printk.c) */
    /* With its number and its NUL a block of 512 bytes. After the ring's first turn blocks begin at
     * its beginning, and fill it without a gap: its size is a power of two (data_alloc(),
     * kernel/printk/printk_ringbuffer.c). */
    SHORT = 512 - sizeof(long) - 1,
    TURNS = 3,
};

static int open_log(int flags)
{
    return lethe_sys_open_device("/dev/kmsg", flags | O_NONBLOCK, S_IFCHR, 0);
}

static void put_lines(int fd, size_t length, size_t n)
{
    char line[sizeof HEAD + LONG] = HEAD;
    memset(line + strlen(HEAD), MARK[0], length);
    for (size_t i = 0; i < n; i++)
        (void)!write(fd, line, strlen(HEAD) + length);
}

static bool begins_with_ours(void)
{
    char line[1200];
    int fd = open_log(O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
    if (fd >= 0)
        lethe_sys->close(fd);
    line[n < 0 ? 0 : n] = '\0';
    const char *text = strchr(line, ';');
    return text && !strncmp(text + 1, MARK, strlen(MARK));
}

/* Long lines come first: the kernel formats each in a buffer of its own, one after the other. */
static bool overwrite(size_t size)
{
    int fd = open_log(O_WRONLY);
    if (fd < 0)
        return false;
    put_lines(fd, LONG, 2);
    put_lines(fd, SHORT, TURNS * size / 512);
    lethe_sys->close(fd);
    return begins_with_ours();
}

bool lethe_printed_overwrite(void)
{
    static const struct lethe_sys_setting quiet[] = {
        {"/sys/module/printk/parameters/ignore_loglevel", "N"}, {"/proc/sys/kernel/printk", "1"}};
    char before[64], console[64];
    int size = klogctl(SYSLOG_ACTION_SIZE_BUFFER, NULL, 0);
    if (size <= 0)
        return size == 0 || errno == ENOSYS;
    /* To list its consoles the kernel waits until they have shown all that was logged
     * (show_cons_active(), drivers/tty/tty_io.c). */
    lethe_sys_read_line(AT_FDCWD, "/sys/class/tty/console/active", console, sizeof console);
    lethe_sys_read_line(AT_FDCWD, "/proc/sys/kernel/printk", before, sizeof before);
    lethe_sys_write_settings(quiet, sizeof quiet / sizeof *quiet);
    bool overwritten = overwrite((size_t)size);
    lethe_sys->write_file("/proc/sys/kernel/printk", before);
    return overwritten;
}
