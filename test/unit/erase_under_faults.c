/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * erase-under-faults: what is in RAM file systems and System V segments is erased in namespaces of
 * its own, while one call fails (test/vm/faults.c, LETHE_FAULT). Exit status 0: all is gone, 1:
 * something is left and was told, 2: something is left and nothing was said of it, 3: the fault hit
 * the preparation or the look.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lethe/kernel/ipc.h"
#include "lethe/kernel/ram_fs.h"
#include "lethe/kernel/sys.h"

static const char secret[] = "a secret that is to go";
enum { FAULTY = 3, FIRST_FD = 10, N_FILES = 4, FAR = 3 << 20 };

/* The files stay open, for the look afterwards. */
static bool put_secret(const char *path, off_t at, int fd)
{
    int own = open(path, O_RDWR | O_CREAT, 0600);
    bool good =
        own >= 0 && pwrite(own, secret, sizeof secret, at) == sizeof secret && dup2(own, fd) == fd;
    close(own);
    return good;
}

static bool put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    bool good = fd >= 0 && write(fd, text, strlen(text)) > 0;
    close(fd);
    return good;
}

/* Who has no name in a user namespace makes no files there. */
static bool become_root(void)
{
    char users[32], groups[32];
    snprintf(users, sizeof users, "0 %u 1", geteuid());
    snprintf(groups, sizeof groups, "0 %u 1", getegid());
    return !unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC) &&
           put("/proc/self/uid_map", users) && put("/proc/self/setgroups", "deny") &&
           put("/proc/self/gid_map", groups);
}

static bool prepare(void)
{
    int segment;
    if (!become_root() || mount("x", "/tmp", "tmpfs", 0, NULL) || chdir("/tmp") ||
        mkdir("a", 0700) || mkdir("a/b", 0700) || !put_secret("plain", 0, FIRST_FD) ||
        !put_secret("far", FAR, FIRST_FD + 1) || !put_secret("a/in", 0, FIRST_FD + 2) ||
        !put_secret("a/b/deep", 5000, FIRST_FD + 3) ||
        (segment = shmget(IPC_PRIVATE, FAR, IPC_CREAT | 0600)) < 0)
        return false;
    char *at = shmat(segment, NULL, 0);
    memcpy(at, secret, sizeof secret);
    return !shmdt(at);
}

/* 1: it is there; -1: nobody can tell. A file that was truncated has nothing to be read. */
static int is_there(int fd)
{
    static const off_t places[] = {0, FAR, 0, 5000};
    char found[sizeof secret] = "";
    if (pread(fd, found, sizeof found, places[fd - FIRST_FD]) < 0)
        return -1;
    return !memcmp(found, secret, sizeof secret);
}

static int erase(void)
{
    struct stat st;
    struct lethe_ram_fs_erased files, segments;
    int left = 0;
    if (stat("/tmp", &st))
        return FAULTY;
    int r = lethe_ram_fs_erase("/tmp", st.st_dev, LETHE_RAM_FS_KEEPS_ALL, &files);
    lethe_ipc_erase(&segments);
    for (int fd = FIRST_FD; fd < FIRST_FD + N_FILES; fd++) {
        int there = is_there(fd);
        if (there < 0)
            return FAULTY;
        left += there;
    }
    bool told = r || files.failed;
    return !left ? 0 : told ? 1 : 2;
}

int main(int argc, char **argv)
{
    char erases[] = "erase", *again[] = {argv[0], erases, NULL};
    char fault[128], *environment[] = {fault, NULL};
    if (argc > 1)
        return erase();
    const char *asked = getenv("ERASE_FAULT");
    snprintf(fault, sizeof fault, "LETHE_FAULT=%s", asked ? asked : "0:0");
    if (!prepare())
        return FAULTY;
    execve("/proc/self/exe", again, environment);
    return FAULTY;
}
