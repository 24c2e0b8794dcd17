/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/kexec.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#ifndef OPEN_TREE_CLONE
#include <linux/mount.h>
#endif

#include "lethe/kernel/connections.h"
#include "lethe/plan/meminfo.h"

#define FUSE_CTL_SUPER_MAGIC 0x65735543 /* fs/fuse/control.c */
#define CONFIGFS_MAGIC 0x62656570       /* fs/configfs/mount.c */

static int result(long r)
{
    return r < 0 ? -errno : (int)r;
}

/* Moves the working directory down in pieces until the rest of the path is short enough: the kernel
 * takes no path of PATH_MAX bytes, but mounts can lie deeper. Returns the rest, or NULL when it
 * can't be followed. */
static const char *come_near(const char *path)
{
    char piece[PATH_MAX];
    for (size_t n; strlen(path) >= PATH_MAX; path += n + 1) {
        for (n = PATH_MAX - 1; n && path[n] != '/';)
            n--;
        memcpy(piece, path, n);
        piece[n] = '\0';
        if (!n || chdir(piece))
            return NULL;
    }
    return path;
}

/* Moves the working directory back, which would pin a mount, and keeps errno. */
static int leave(long r)
{
    int answer = result(r);
    (void)!chdir("/");
    return answer;
}

static int sys_open(const char *path, int flags)
{
    flags |= O_CLOEXEC | O_NOCTTY;
    if (strlen(path) < PATH_MAX)
        return result(open(path, flags));
    path = come_near(path);
    return leave(path ? open(path, flags) : -1);
}

static int sys_close(int fd)
{
    return result(close(fd));
}

static int sys_mount(const char *source, const char *path, const char *fstype, unsigned long flags,
                     const char *data)
{
    if (strlen(path) < PATH_MAX)
        return result(mount(source, path, fstype, flags, data));
    path = come_near(path);
    return leave(path ? mount(source, path, fstype, flags, data) : -1);
}

static int sys_umount(const char *path, int flags)
{
    if (strlen(path) < PATH_MAX)
        return result(umount2(path, flags));
    path = come_near(path);
    return leave(path ? umount2(path, flags) : -1);
}

static int sys_strip(const char *path)
{
    int copy = result(syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    if (copy < 0)
        return copy;
    int r = result(umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH));
    if (!r)
        r = result(syscall(SYS_move_mount, copy, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH));
    close(copy);
    return r;
}

static int sys_copy(const char *path)
{
    int copy = result(syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    if (copy < 0)
        return copy;
    int r = result(openat(copy, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    close(copy);
    return r;
}

static int sys_swapoff(const char *path)
{
    return result(swapoff(path));
}

static int sys_ioctl(int fd, unsigned long request, void *argument)
{
    return result(ioctl(fd, (int)request, argument));
}

static int sys_syncfs(int fd)
{
    return result(syscall(SYS_syncfs, fd));
}

/* True for a file of the kernel's own. Where /proc or /sys is missing or covered, the path may lead
 * to somebody's file. */
static bool is_kernels_own(int fd)
{
    static const uint32_t types[] = {PROC_SUPER_MAGIC,     SYSFS_MAGIC,   CGROUP2_SUPER_MAGIC,
                                     CGROUP_SUPER_MAGIC,   DEBUGFS_MAGIC, TRACEFS_MAGIC,
                                     FUSE_CTL_SUPER_MAGIC, CONFIGFS_MAGIC};
    struct statfs fs;
    if (fstatfs(fd, &fs))
        return false;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if ((uint32_t)fs.f_type == types[i])
            return true;
    return false;
}

static int sys_write_file(const char *path, const char *text)
{
    int fd = sys_open(path, O_WRONLY);
    if (fd < 0)
        return fd;
    int r = is_kernels_own(fd) ? result(write(fd, text, strlen(text))) : -ESTALE;
    sys_close(fd);
    return r < 0 ? r : 0;
}

static int sys_kill(pid_t pid, int signal)
{
    return result(kill(pid, signal));
}

static int sys_reboot(int command, const char *argument)
{
    return result(syscall(SYS_reboot, 0xfee1dead, 0x28121969, command, argument));
}

static int sys_kexec_unload(bool crash)
{
    int r = -ENOSYS;
#ifdef SYS_kexec_file_load
    r = result(syscall(SYS_kexec_file_load, -1, -1, 0, NULL,
                       KEXEC_FILE_UNLOAD | (crash ? KEXEC_FILE_ON_CRASH : 0)));
#endif
    return r ? result(syscall(SYS_kexec_load, 0, 0, NULL, crash ? KEXEC_ON_CRASH : 0)) : 0;
}

static bool sys_is_device(int fd, mode_t kind, uint64_t number)
{
    struct stat st;
    return !fstat(fd, &st) && (st.st_mode & S_IFMT) == kind && (!number || st.st_rdev == number);
}

static size_t sys_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static int sys_mincore(void *at, size_t size, unsigned char *pages)
{
    return result(mincore(at, size, pages));
}

static const struct lethe_sys real = {
    .open = sys_open,
    .close = sys_close,
    .mount = sys_mount,
    .umount = sys_umount,
    .strip = sys_strip,
    .copy = sys_copy,
    .swapoff = sys_swapoff,
    .ioctl = sys_ioctl,
    .syncfs = sys_syncfs,
    .write_file = sys_write_file,
    .kill = sys_kill,
    .end_connections = lethe_connections_end,
    .reboot = sys_reboot,
    .kexec_unload = sys_kexec_unload,
    .is_device = sys_is_device,
    .page_size = sys_page_size,
    .mincore = sys_mincore,
};

const struct lethe_sys *lethe_sys = &real;

int lethe_sys_open_device(const char *path, int flags, mode_t kind, uint64_t number)
{
    int fd = lethe_sys->open(path, flags);
    if (fd < 0 || lethe_sys->is_device(fd, kind, number))
        return fd;
    lethe_sys->close(fd);
    return -ESTALE;
}

int64_t lethe_sys_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int lethe_sys_open_below(int root, const char *path, int flags)
{
    enum { TRIES_MAX = 1000 };
    flags |= O_CLOEXEC | (flags & O_PATH ? 0 : O_NOCTTY); /* openat2(2) takes no word too much */
    if (root == AT_FDCWD && path[0] == '/')               /* not below the working directory */
        return result(open(path, flags));
    struct open_how how = {.flags = (uint64_t)flags, .resolve = RESOLVE_IN_ROOT};
    /* The kernel gives up at a ".." when anybody has renamed or mounted anything meanwhile. */
    int fd = -EAGAIN;
    for (int tries = 0; fd == -EAGAIN && tries < TRIES_MAX; tries++)
        fd = result(syscall(SYS_openat2, root, path, &how, sizeof how));
    if (fd != -ENOSYS)
        return fd;
    return result(openat(root, path + strspn(path, "/"), flags));
}

ssize_t lethe_sys_read_file(int root, const char *path, char *out, size_t size)
{
    size_t used = 0;
    ssize_t r = 1;
    int fd =
        lethe_sys_open_below(root, path, O_RDONLY | O_NONBLOCK); /* a forged tree may hold a FIFO */
    if (fd < 0)
        return fd;
    while (r > 0 && used < size) {
        r = read(fd, out + used, size - used);
        used += r > 0 ? (size_t)r : 0;
    }
    int error = r < 0 ? -errno : 0;
    close(fd);
    if (error)
        return error;
    return used < size ? (ssize_t)used : -EFBIG;
}

struct lethe_span lethe_sys_read_span(const char *path, char *out, size_t size)
{
    ssize_t n = lethe_sys_read_file(AT_FDCWD, path, out, size);
    return (struct lethe_span){out, n > 0 ? (size_t)n : 0};
}

uint64_t lethe_sys_meminfo(const char *name)
{
    char text[4096];
    return lethe_meminfo(lethe_sys_read_span("/proc/meminfo", text, sizeof text), name);
}

bool lethe_sys_read_text(int root, const char *path, char *out, size_t size)
{
    ssize_t n = lethe_sys_read_file(root, path, out, size);
    out[n > 0 ? n : 0] = '\0';
    return n >= 0;
}

bool lethe_sys_read_line(int root, const char *path, char *out, size_t size)
{
    bool good = lethe_sys_read_text(root, path, out, size);
    out[strcspn(out, "\n")] = '\0';
    return good;
}

bool lethe_sys_read_link(int root, const char *path, char *out, size_t size)
{
    int fd = lethe_sys_open_below(root, path, O_PATH | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : readlinkat(fd, "", out, size - 1);
    if (fd >= 0)
        close(fd);
    out[n > 0 ? n : 0] = '\0';
    return n > 0;
}

bool lethe_sys_read_block(const char *name, const char *attribute, char *out, size_t size)
{
    char path[320];
    snprintf(path, sizeof path, "/sys/class/block/%.255s/%s", name, attribute);
    return lethe_sys_read_line(AT_FDCWD, path, out, size);
}

void lethe_sys_write_settings(const struct lethe_sys_setting *settings, size_t n)
{
    for (size_t i = 0; i < n; i++)
        lethe_sys->write_file(settings[i].path, settings[i].value);
}

void lethe_sys_on_each_processor(void (*work)(void *arg), void *arg)
{
    cpu_set_t ours, one;
    CPU_ZERO(&ours);
    sched_getaffinity(0, sizeof ours, &ours);
    for (int i = 0; i < CPU_SETSIZE; i++) {
        CPU_ZERO(&one);
        CPU_SET(i, &one);
        if (CPU_ISSET(i, &ours) && !sched_setaffinity(0, sizeof one, &one))
            work(arg);
    }
    sched_setaffinity(0, sizeof ours, &ours);
}
