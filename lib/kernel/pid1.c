/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/pid1.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "lethe/kernel/process.h"
#include "lethe/kernel/ram_fs.h"
#include "lethe/kernel/sys.h"
#include "lethe/plan/text.h"

/* Where the unified hierarchy is mounted: alone, or beside old hierarchies. */
static const char *const tops[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
enum { N_TOPS = sizeof tops / sizeof *tops };

void lethe_pid1_leave_cgroup(void)
{
    char path[128];
    for (int i = 0; i < N_TOPS; i++) {
        snprintf(path, sizeof path, "%s/cgroup.procs", tops[i]);
        lethe_sys->write_file(path, "0");
    }
}

static bool is_runits_stage(const char *pid)
{
    char path[64], text[1024], *after; /* of a line with no room nothing is read */
    pid_t parent;
    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    lethe_sys_read_line(AT_FDCWD, path, text, sizeof text);
    after = strrchr(text, ')');
    return after && sscanf(after + 1, " %*c %d", &parent) == 1 && parent == 1 &&
           strstr(text, "(runsvdir)");
}

void lethe_pid1_keep_stage(void)
{
    char name[32];
    DIR *proc;
    if (!lethe_sys_read_line(AT_FDCWD, "/proc/1/comm", name, sizeof name) ||
        strcmp(name, "runit") || !(proc = opendir("/proc")))
        return;
    for (struct dirent *entry; (entry = readdir(proc));)
        if (isdigit((unsigned char)entry->d_name[0]) && is_runits_stage(entry->d_name))
            lethe_process_keep(atoi(entry->d_name));
    closedir(proc);
}

/* Reads PATH from the line "0::PATH" of /proc/1/cgroup. False for the top group, which can't be
 * frozen. */
static bool read_cgroup(char *out, size_t size)
{
    char text[4096];
    lethe_sys_read_text(AT_FDCWD, "/proc/1/cgroup", text, sizeof text);
    char *line = strstr(text, "0::/");
    if (!line || (line != text && line[-1] != '\n'))
        return false;
    line[strcspn(line, "\n")] = '\0';
    return line[4] && snprintf(out, size, "%s", line + 3) < (int)size;
}

static bool is_frozen(const char *folder)
{
    char path[4096], text[256];
    snprintf(path, sizeof path, "%.4000s/cgroup.events", folder);
    return lethe_sys_read_text(AT_FDCWD, path, text, sizeof text) && strstr(text, "frozen 1");
}

/* Puts PID 1 into a group of Lethe's own: a PID 1 that is not systemd is in the top group, and the
 * hierarchy may not be mounted. */
static void put_into_cgroup(void)
{
    char path[128];
    int r = -ENOENT;
    lethe_sys->mount("cgroup2", tops[0], "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    for (int i = 0; r && i < N_TOPS; i++) {
        snprintf(path, sizeof path, "%s/lethe", tops[i]);
        mkdir(path, 0700);
        snprintf(path, sizeof path, "%s/lethe/cgroup.procs", tops[i]);
        r = lethe_sys->write_file(path, "1");
    }
}

bool lethe_pid1_freeze(void)
{
    enum { WAIT_MS = 2000 };
    const struct timespec pause = {0, 5 * 1000 * 1000};
    char cgroup[1024], folder[2048], path[2100];
    if (!read_cgroup(cgroup, sizeof cgroup))
        put_into_cgroup();
    if (!read_cgroup(cgroup, sizeof cgroup))
        return false;
    for (int i = 0; i < N_TOPS; i++) {
        snprintf(folder, sizeof folder, "%s%s", tops[i], cgroup);
        snprintf(path, sizeof path, "%s/cgroup.freeze", folder);
        if (lethe_sys->write_file(path, "1"))
            continue;
        for (int64_t end = lethe_sys_now_ms() + WAIT_MS; lethe_sys_now_ms() < end;
             nanosleep(&pause, NULL))
            if (is_frozen(folder))
                return true;
    }
    return false;
}

static void drain(int fd)
{
    static char sink[4096];
    ssize_t n;
    do
        n = read(fd, sink, sizeof sink);
    while (n > 0);
    explicit_bzero(sink, sizeof sink);
}

/* Drains a socket of PID 1 through pidfd_getfd(2) (Linux 5.6): a socket can't be opened again by
 * its name. */
static void drain_socket(int pidfd, int number)
{
    int fd = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
    if (fd < 0)
        return;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    drain(fd);
    close(fd);
}

static void empty_file(int pidfd, const char *number)
{
    char path[64];
    struct stat st, opened;
    struct statfs fs;
    uint64_t bytes = 0;
    snprintf(path, sizeof path, "/proc/1/fd/%.20s", number);
    if (stat(path, &st))
        return;
    if (S_ISSOCK(st.st_mode)) {
        drain_socket(pidfd, atoi(number));
        return;
    }
    bool unnamed = S_ISREG(st.st_mode) && !st.st_nlink;
    if (!S_ISFIFO(st.st_mode) && !unnamed)
        return;
    int fd = lethe_sys->open(path, unnamed ? O_RDWR : O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return;
    if (fstat(fd, &opened) || opened.st_dev != st.st_dev || opened.st_ino != st.st_ino)
        ; /* PID 1 has closed it meanwhile and opened another */
    else if (!unnamed)
        drain(fd);
    else if (!fstatfs(fd, &fs) && fs.f_type == TMPFS_MAGIC)
        lethe_ram_fs_zero(fd, &bytes);
    lethe_sys->close(fd);
}

void lethe_pid1_empty_files(void)
{
    int pidfd = (int)syscall(SYS_pidfd_open, 1, 0);
    DIR *files = opendir("/proc/1/fd");
    if (files) {
        for (struct dirent *entry; (entry = readdir(files));)
            if (isdigit((unsigned char)entry->d_name[0]))
                empty_file(pidfd, entry->d_name);
        closedir(files);
    }
    if (pidfd >= 0)
        close(pidfd);
}

static bool zero_range(int memory, uint64_t begin, uint64_t end)
{
    static char zeroes[4096]; /* not const: it would lie in the program */
    while (begin < end) {
        size_t n = end - begin < sizeof zeroes ? (size_t)(end - begin) : sizeof zeroes;
        if (pwrite(memory, zeroes, n, (off_t)begin) != (ssize_t)n)
            return false;
        begin += n;
    }
    return true;
}

/* Reads a byte of each page, which reads the page in. */
static bool touch_range(int memory, uint64_t begin, uint64_t end)
{
    char byte;
    for (; begin < end; begin += lethe_sys->page_size())
        if (pread(memory, &byte, 1, (off_t)begin) != 1)
            return false;
    return true;
}

/* Calls `use` for each range of memory that only the process itself writes to; for private ranges
 * of files only if `files` is set. True when `use` always was. */
static bool each_range(pid_t pid, bool files, bool (*use)(int memory, uint64_t begin, uint64_t end))
{
    char line[4096 + 128], path[32], permissions[8];
    unsigned long long begin, end, inode; /* those of a PID 1 of 64 bits, whatever this one has */
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    int memory = lethe_sys->open(path, O_RDWR);
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    FILE *maps = fopen(path, "re");
    bool good = memory >= 0 && maps;
    while (memory >= 0 && maps && fgets(line, sizeof line, maps))
        if (sscanf(line, "%llx-%llx %7s %*s %*s %llu", &begin, &end, permissions, &inode) == 4 &&
            permissions[1] == 'w' && permissions[3] == 'p' && (files || !inode))
            good &= use(memory, begin, end);
    if (maps)
        fclose(maps);
    if (memory >= 0)
        lethe_sys->close(memory);
    return good;
}

bool lethe_pid1_recall(void)
{
    char status[4096];
    unsigned long kib = 0;
    lethe_sys_read_text(AT_FDCWD, "/proc/1/status", status, sizeof status);
    const char *swapped = strstr(status, "\nVmSwap:");
    return (swapped && sscanf(swapped + 8, "%lu", &kib) == 1 && !kib) ||
           each_range(1, true, touch_range);
}

static void zero_memory_of(pid_t pid)
{
    each_range(pid, false, zero_range); /* a file's might be read */
}

bool lethe_pid1_zero_memory(void)
{
    lethe_process_each_kept(zero_memory_of);
    return each_range(1, false, zero_range);
}
