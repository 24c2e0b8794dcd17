/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/own_root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lethe/kernel/snapshot.h"
#include "lethe/kernel/sys.h"

static void mount_if_missing(const char *type, const char *path, const char *probe)
{
    if (!access(probe, F_OK))
        return;
    mkdir(path, 0755);
    lethe_sys->mount(type, path, type, MS_NOSUID, NULL);
}

void lethe_own_root_mount_api(void)
{
    mount_if_missing("proc", "/proc", "/proc/self");
    mount_if_missing("sysfs", "/sys", "/sys/class");
    mount_if_missing("devtmpfs", "/dev", "/dev/null");
}

/* tmpfs has noswap since Linux 6.4 (Documentation/filesystems/tmpfs.rst), and ramfs never swaps, but
 * has no limit. What was swapped out may not come back: the stick has gone, or swap on a loop lies
 * on what was swapped out to it. */
static bool kernel_is_at_least(unsigned major, unsigned minor)
{
    struct utsname name;
    unsigned have_major = 0, have_minor = 0;
    uname(&name);
    sscanf(name.release, "%u.%u", &have_major, &have_minor);
    return have_major > major || (have_major == major && have_minor >= minor);
}

int lethe_own_root_mount_ram(const char *path)
{
    const bool limited = kernel_is_at_least(6, 4);
    return lethe_sys->mount("lethe", path, limited ? "tmpfs" : "ramfs", MS_NOSUID | MS_NODEV,
                            limited ? "size=4m,mode=700,noswap" : "mode=700");
}

static int copy_bytes(int to, int from)
{
    static char block[65536];
    for (ssize_t n; (n = read(from, block, sizeof block));) {
        if (n < 0)
            return -errno;
        for (ssize_t done = 0, w; done < n; done += w) {
            w = write(to, block + done, (size_t)(n - done));
            if (w <= 0)
                return w ? -errno : -EIO;
        }
    }
    return 0;
}

int lethe_own_root_copy_program(const char *path)
{
    char fresh[PATH_MAX];
    if (snprintf(fresh, sizeof fresh, "%s.new", path) >= (int)sizeof fresh)
        return -ENAMETOOLONG;
    int from = lethe_sys->open("/proc/self/exe", O_RDONLY);
    if (from < 0)
        return from;
    unlink(fresh); /* never into a file that is there, which may be bound from elsewhere */
    int to = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    int r = to < 0 ? -errno : copy_bytes(to, from);
    if (to >= 0)
        close(to);
    close(from);
    if (!r && rename(fresh, path))
        r = -errno;
    if (r)
        unlink(fresh);
    return r;
}

static int make_dir(const char *path)
{
    return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

/* Makes the directories and mounts of the new root, which is the working directory. */
static int furnish(void)
{
    static const char *const dirs[] = {"proc", "sys", "dev", "oldroot"};
    int r = lethe_own_root_copy_program("." LETHE_OWN_ROOT_PROGRAM);
    for (size_t i = 0; !r && i < sizeof dirs / sizeof *dirs; i++)
        r = make_dir(dirs[i]);
    if (r ||
        (r = lethe_sys->mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL)) ||
        (r = lethe_sys->mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL)))
        return r;
    return lethe_sys->mount("devtmpfs", "dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, NULL);
}

/* Moves what is mounted on the old root, the working directory, below the new one. */
static int move_mounts(const struct lethe_snapshot *s)
{
    char path[PATH_MAX];
    const struct lethe_mount *root = NULL;
    int r = 0;
    for (size_t i = 0; i < s->n_mounts; i++) {
        const struct lethe_mount *m = &s->mounts[i];
        if (!strcmp(m->path, "/")) {
            root = m;
            continue;
        }
        snprintf(path, sizeof path, "/oldroot%s", m->path);
        int moved = root && m->parent == root->id
                        ? lethe_sys->mount(m->path + 1, path, NULL, MS_MOVE, NULL)
                        : 0;
        if (moved != -EINVAL) /* the new root's own place is no mount any more */
            r = r ? r : moved;
    }
    return r;
}

/* Moves the new root, the working directory, over the initramfs's, and that with its mounts below
 * the new one: hidden, none of them could be erased. */
static int cover_root(void)
{
    struct lethe_snapshot s;
    struct lethe_arena arena;
    int old = lethe_sys->open("/", O_RDONLY | O_DIRECTORY);
    lethe_snapshot_take_mounts(&s, &arena);
    int r = old < 0 ? old : lethe_sys->mount(".", "/", NULL, MS_MOVE, NULL);
    if (!r && (chroot(".") || fchdir(old)))
        r = -errno;
    if (!r && !(r = lethe_sys->mount(".", "/oldroot", NULL, MS_BIND, NULL)))
        r = move_mounts(&s);
    if (arena.base)
        munmap(arena.base, arena.size);
    return r;
}

static int change_root(void)
{
    int r = syscall(SYS_pivot_root, ".", "oldroot") ? -errno : 0;
    if (r == -EINVAL)
        r = cover_root();
    return r ? r : chdir("/") ? -errno : 0;
}

void lethe_own_root_follow(void)
{
    (void)(chdir("/..") || chroot("."));
}

/* Mounts the new root on any directory that there is; after
 * the pivot the directory is as it was. */
static const char *mount_somewhere(int *r)
{
    static const char *const places[] = {"/run", "/tmp", "/mnt", "/proc"};
    const char *place = NULL;
    *r = -ENOENT;
    for (size_t i = 0; *r && i < sizeof places / sizeof *places; i++) {
        place = places[i];
        *r = lethe_own_root_mount_ram(place);
    }
    return place;
}

int lethe_own_root_enter(void)
{
    int r = lethe_sys->mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    if (r)
        return r;
    int self = lethe_sys->open("/proc/self/exe", O_RDONLY);
    if (self < 0)
        return self;
    close(self);
    const char *place = mount_somewhere(&r);
    if (r)
        return r;
    if (chdir(place))
        r = -errno;
    if (!r && !(r = furnish()))
        r = change_root();
    if (r) {
        if (!chdir("/"))
            lethe_sys->umount(place, MNT_DETACH);
    }
    return r;
}
