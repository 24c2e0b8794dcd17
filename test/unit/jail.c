/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "jail.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { DONE, BROKEN, REFUSED = 77 };

static bool write_to(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return good;
}

/* Whoever has no number in the namespace could make no file. */
static bool enter(void)
{
    char users[32], groups[32];
    snprintf(users, sizeof users, "0 %u 1", geteuid());
    snprintf(groups, sizeof groups, "0 %u 1", getegid());
    return !unshare(CLONE_NEWUSER | CLONE_NEWNS) && write_to("/proc/self/setgroups", "deny") &&
           write_to("/proc/self/uid_map", users) && write_to("/proc/self/gid_map", groups) &&
           !mount("x", "/tmp", "tmpfs", 0, NULL) && !chroot("/tmp") && !chdir("/");
}

void jail_run(void (*run)(const void *context), const void *context)
{
    int status;
    pid_t child = fork();
    if (!child) {
        if (!enter())
            _exit(REFUSED);
        run(context);
        _exit(DONE);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == REFUSED)
        skip();
    assert_int_equal(WEXITSTATUS(status), DONE);
}

void *jail_share(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(at != MAP_FAILED);
    return at;
}

static void make_parents(const char *path)
{
    char folder[256];
    snprintf(folder, sizeof folder, "%s", path);
    for (char *at = folder + 1; (at = strchr(at, '/')); *at++ = '/') {
        *at = '\0';
        mkdir(folder, 0700);
    }
}

void jail_put(const char *path, const char *text)
{
    make_parents(path);
    if (!write_to(path, text))
        _exit(BROKEN);
}

void jail_link(const char *path, const char *target)
{
    make_parents(path);
    unlink(path);
    if (symlink(target, path))
        _exit(BROKEN);
}
