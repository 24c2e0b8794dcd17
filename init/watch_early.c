/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The watcher in the initramfs: it looks for the medium as often as something is mounted, goes along
 * when PID 1 leaves, and is ended by the system's own watcher. */
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lethe/kernel/own_root.h"
#include "lethe/kernel/pid1.h"
#include "lethe/kernel/sys.h"
#include "watch.h"

/* In the initramfs's /run, which becomes the system's. The kernel tells who holds the lock. */
#define LOCK "/run/lethe-early"

void lethe_watcher_begin_early(struct lethe_watcher *watch, char *program)
{
    const struct flock whole = {.l_type = F_WRLCK};
    program[0] = '@'; /* systemd ends all others before it leaves the initramfs */
    (void)setsid();
    lethe_pid1_leave_cgroup();
    int fd = open(LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0)
        fcntl(fd, F_SETLK, &whole);
    watch->mounts = lethe_sys->open("/proc/self/mountinfo", O_RDONLY);
}

/* True until the root is the system's; where that is RAM, too, always. */
static bool is_in_initramfs(void)
{
    struct statfs fs;
    return !statfs("/", &fs) && (fs.f_type == RAMFS_MAGIC || fs.f_type == TMPFS_MAGIC);
}

void lethe_watcher_follow(struct lethe_watcher *watch)
{
    lethe_own_root_follow();
    for (size_t i = 0; i < watch->n; i++)
        if (watch->watched[i].due_ms) /* its countdown would be lost */
            return;
    lethe_watcher_find_medium(watch);
    lethe_watcher_poll_drives(watch);
    if (is_in_initramfs())
        return;
    lethe_sys->close(watch->mounts);
    watch->mounts = -1;
}

void lethe_watcher_end_early(void)
{
    struct flock whole = {.l_type = F_WRLCK};
    int fd = open(LOCK, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    if (!fcntl(fd, F_GETLK, &whole) && whole.l_type != F_UNLCK && whole.l_pid > 1)
        lethe_sys->kill(whole.l_pid, SIGTERM);
    close(fd);
    unlink(LOCK);
}
