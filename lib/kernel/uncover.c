/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/uncover.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lethe/kernel/ask.h"
#include "lethe/kernel/own_root.h"
#include "lethe/kernel/sys.h"

enum { OWN_MOUNTS = 5 }; /* "/", /proc, /sys, /dev, and a tracer's */

/* Returns how many mounts there are; more than Lethe's own where they are too many to be read. */
static int count_mounts(void)
{
    static char text[8192];
    int n = 0;
    ssize_t r = lethe_sys_read_file(AT_FDCWD, "/proc/self/mountinfo", text, sizeof text);
    for (ssize_t i = 0; i < r; i++)
        n += text[i] == '\n';
    return r == -EFBIG ? OWN_MOUNTS + 1 : n;
}

/* Leaves the mounts of this process with the root that is taken away. */
static int take_root_away(void)
{
    int mounts = lethe_sys->open("/proc/self/ns/mnt", O_RDONLY);
    int r = mounts < 0 ? mounts : 0;
    /* The kernel's threads share the directories of PID 1, which setns(2) does not take then. */
    if (!r && unshare(CLONE_FS))
        r = -errno;
    if (!r)
        r = lethe_sys->umount("/", MNT_DETACH);
    /* This leads to the root of all mounts, and to what is mounted over it. */
    if (!r && setns(mounts, CLONE_NEWNS))
        r = -errno;
    if (mounts >= 0)
        lethe_sys->close(mounts);
    return r;
}

int lethe_uncover(void)
{
    int r = take_root_away();
    if (!r)
        lethe_own_root_mount_api();
    return r;
}

/* Copies the mount of the RAM file system that the path leads into. */
static int copy_ram(const char *path)
{
    struct stat at, up;
    struct statfs fs;
    if (chdir(path) || stat(".", &at) || statfs(".", &fs))
        return -errno;
    if (fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC)
        return -EXDEV;
    while (!stat("..", &up) && up.st_dev == at.st_dev && up.st_ino != at.st_ino && !chdir(".."))
        at = up;
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, ".", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    return tree < 0 ? -errno : tree;
}

int lethe_uncover_copy(const char *path)
{
    int mounts = lethe_sys->open("/proc/self/ns/mnt", O_RDONLY);
    int r = mounts < 0 ? mounts : unshare(CLONE_NEWNS) ? -errno : 0;
    /* What is unmounted in a copy of shared mounts is unmounted in them, too. */
    if (!r)
        r = lethe_sys->mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    if (!r)
        r = take_root_away();
    if (!r)
        r = copy_ram(path);
    return setns(mounts, CLONE_NEWNS) ? -errno : r;
}

static int look(const void *unused)
{
    (void)unused;
    return !unshare(CLONE_NEWNS) && !lethe_uncover() && count_mounts() > OWN_MOUNTS - 1;
}

bool lethe_uncover_finds(int64_t ms)
{
    const int n = count_mounts();
    return n > 0 && n <= OWN_MOUNTS && lethe_ask_once(look, NULL, ms) == 1;
}
