/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/ram_fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

/* tmpfs is zeroed fastest by writes of 1 MiB (docs/facts.md, Zeroing). The block is never written,
 * so all of it is the kernel's one zero page. */
enum { BLOCK = 1 << 20, DEPTH_MAX = 200, ENTRIES = 4096, BUSY_MAX = 100, SEARCH_MS = 3000 };
enum { MAPPED = 1 << 30 };               /* a window: one hugetlb page of 1 GiB */
static const off_t file_max = INT64_MAX; /* MAX_LFS_FILESIZE, linux/fs.h */
static char zeroes[BLOCK];

struct walk {
    int top; /* the root of the file system: what lies too deep is moved there */
    dev_t device;
    enum lethe_ram_fs_keeps keeps;
    struct lethe_ram_fs_erased *erased;
    unsigned moved; /* numbers the new names of what was moved there */
    unsigned busy;  /* mount points met */
};

static void failed(struct walk *w, int error)
{
    if (!w->erased->failed++)
        w->erased->first_error = error;
}

/* Zeroes through a mapping, since hugetlbfs has no write(2). It is as large as zero_resident()'s
 * window, and fits into a 32-bit address space. */
static int zero_mapped(int fd, off_t from, off_t to)
{
    for (off_t n; from < to; from += n) {
        n = to - from < MAPPED ? to - from : MAPPED;
        void *map = mmap(NULL, (size_t)n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, from);
        if (map == MAP_FAILED)
            return -errno;
        memset(map, 0, (size_t)n);
        munmap(map, (size_t)n);
    }
    return 0;
}

static int zero_range(int fd, off_t from, off_t to)
{
    while (from < to) {
        size_t n = to - from < BLOCK ? (size_t)(to - from) : BLOCK;
        ssize_t w = pwrite(fd, zeroes, n, from);
        if (w < 0 && errno == EINVAL)
            return zero_mapped(fd, from, to);
        if (w <= 0)
            return w ? -errno : -EIO;
        from += w;
    }
    return 0;
}

/* Finds a file's resident pages with mincore(2), a window at a time, since ramfs answers SEEK_DATA
 * with the whole size. It begins at both ends in turn, where data lie. The kernel looks at each
 * page that there could be, so the search of a huge sparse file is bounded: -ETIMEDOUT. */
static int zero_resident(int fd, off_t size, off_t page, uint64_t *bytes)
{
    static unsigned char resident[MAPPED / 4096];
    const off_t small = (off_t)lethe_sys->page_size(), window = page > MAPPED ? page : MAPPED;
    off_t low = 0, high = size / window + (size % window != 0);
    int64_t searched_ms = 0;
    for (bool top = false; low < high; top = !top) {
        const off_t at = (top ? --high : low++) * window,
                    end = size - at < window ? size : at + window;
        void *map = mmap(NULL, (size_t)(end - at), PROT_READ, MAP_SHARED, fd, at);
        if (map == MAP_FAILED)
            return -errno;
        int64_t before = lethe_sys_now_ms();
        int r = lethe_sys->mincore(map, (size_t)(end - at), resident);
        searched_ms += lethe_sys_now_ms() - before;
        munmap(map, (size_t)(end - at));
        for (off_t p = at; !r && p < end; p += page)
            if (resident[(p - at) / small] & 1) {
                r = zero_range(fd, p, p + page);
                *bytes += (uint64_t)page;
            }
        if (r || searched_ms > SEARCH_MS)
            return r ? r : -ETIMEDOUT;
    }
    return 0;
}

/* Writes the last page of a file of the largest size as if it held data: there SEEK_DATA's offsets
 * overflow (mm/filemap.c), and nobody can map it. */
static int zero_last_page(int fd, off_t *size, off_t page, uint64_t *bytes)
{
    const off_t end = *size;
    *size -= end % page;
    *bytes += (uint64_t)(end - *size);
    return zero_range(fd, *size, end);
}

int lethe_ram_fs_zero(int fd, uint64_t *bytes)
{
    struct stat st;
    struct statfs fs;
    if (fstat(fd, &st) || fstatfs(fd, &fs))
        return -errno;
    const off_t page =
        (uint32_t)fs.f_type == HUGETLBFS_MAGIC ? (off_t)fs.f_bsize : (off_t)lethe_sys->page_size();
    off_t size = st.st_size;
    if (size > file_max - page) {
        int r = zero_last_page(fd, &size, page, bytes);
        if (r)
            return r;
    }
    size += (page - size % page) % page;
    if ((off_t)st.st_blocks * 512 >=
        size) { /* no holes: to look for them takes as long as to zero */
        int r = zero_range(fd, 0, size);
        *bytes += r ? 0 : (uint64_t)size;
        return r;
    }
    off_t at = lseek(fd, 0, SEEK_DATA), hole = at < 0 ? at : lseek(fd, at, SEEK_HOLE);
    if (at == 0 && hole == st.st_size)
        return zero_resident(fd, size, page, bytes);
    while (at >= 0 && at < size) {
        hole = lseek(fd, at, SEEK_HOLE);
        off_t end = hole < 0 || hole > size || hole == st.st_size ? size : hole;
        int r = zero_range(fd, at, end);
        if (r)
            return r;
        *bytes += (uint64_t)(end - at);
        at = lseek(fd, end, SEEK_DATA);
    }
    if (at >= 0) /* data behind `size`: the file has grown; at `size`: see zero_last_page() */
        return at > size ? -EBUSY : 0;
    return errno == ENXIO ? 0 : -errno; /* there are no more data (lseek(2)) */
}

/* Clears the immutable and append-only flags, which forbid writing and unlinking. */
static void clear_flags(const struct walk *w, int dir, const char *name)
{
    unsigned flags;
    struct stat st;
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    if (!fstat(fd, &st) && st.st_dev == w->device && !ioctl(fd, FS_IOC_GETFLAGS, &flags) &&
        flags & (FS_IMMUTABLE_FL | FS_APPEND_FL)) {
        flags &= ~(unsigned)(FS_IMMUTABLE_FL | FS_APPEND_FL);
        ioctl(fd, FS_IOC_SETFLAGS, &flags);
    }
    close(fd);
}

static int open_for_writing(const struct walk *w, int dir, const char *name)
{
    const int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOATIME | O_CLOEXEC;
    int fd = openat(dir, name, flags);
    if (fd < 0 && errno == EPERM) {
        clear_flags(w, dir, name);
        fd = openat(dir, name, flags);
    }
    return fd < 0 ? -errno : fd;
}

static void erase_open(struct walk *w, int fd)
{
    int r = lethe_ram_fs_zero(fd, &w->erased->bytes);
    if (r)
        failed(w, r);
    else
        w->erased->files++;
    if (ftruncate(fd, 0))
        failed(w, -errno);
}

/* False for another file system's file: where the walk goes without a clone, what is mounted on a
 * file is opened in its place. */
static bool is_ours(struct walk *w, int fd)
{
    struct stat st;
    if (!fstat(fd, &st))
        return st.st_dev == w->device && S_ISREG(st.st_mode);
    failed(w, -errno);
    return false;
}

/* True for the program that PID 1 runs, which nobody can write to: in the initramfs it lies in RAM,
 * as it came from the medium. */
static bool is_inits_program(int dir, const char *name)
{
    struct stat file, program;
    return !fstatat(dir, name, &file, AT_SYMLINK_NOFOLLOW) && !stat("/proc/1/exe", &program) &&
           file.st_dev == program.st_dev && file.st_ino == program.st_ino;
}

static void erase_file(struct walk *w, int dir, const char *name)
{
    int fd = open_for_writing(w, dir, name);
    if (fd < 0) {
        if (fd != -ETXTBSY || !is_inits_program(dir, name))
            failed(w, fd);
        return;
    }
    if (is_ours(w, fd))
        erase_open(w, fd);
    close(fd);
}

static void erase_dir(struct walk *w, int dir, int depth);

/* Moves a deep directory up to the root, which is read again afterwards. Names that are taken there
 * are passed over. */
static void move_up(struct walk *w, int dir, const char *name)
{
    char moved[32];
    for (int tries = 0; tries < 1000; tries++) {
        snprintf(moved, sizeof moved, "lethe-%u", w->moved++);
        if (!renameat(dir, name, w->top, moved))
            return;
    }
    failed(w, -errno);
}

static void erase_subdir(struct walk *w, int dir, const char *name, int depth)
{
    struct stat st;
    if (depth >= DEPTH_MAX) {
        move_up(w, dir, name);
        return;
    }
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
    if (fd < 0) {
        failed(w, -errno);
        return;
    }
    if (fstat(fd, &st))
        failed(w, -errno);
    else if (st.st_dev == w->device)
        erase_dir(w, fd, depth + 1);
    close(fd);
}

static bool is_kept(const struct walk *w, mode_t mode)
{
    return w->keeps == LETHE_RAM_FS_KEEPS_ALL ||
           (w->keeps == LETHE_RAM_FS_KEEPS_NODES &&
            (S_ISCHR(mode) || S_ISBLK(mode) || S_ISLNK(mode)));
}

/* Erases what one name stands for, and removes the name. After many mount points no directory is
 * removed any more: one that is a mount point can't be, and to find that out the kernel looks at
 * each mount (__is_local_mountpoint(), fs/namespace.c). Directories go with the file system. */
static void erase_entry(struct walk *w, int dir, const char *name, int depth)
{
    struct stat st;
    if (!strcmp(name, ".") || !strcmp(name, ".."))
        return;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW)) {
        if (errno != ENOENT) /* a device's node goes when its device does */
            failed(w, -errno);
        return;
    }
    if (st.st_dev != w->device)
        return;
    if (S_ISREG(st.st_mode))
        erase_file(w, dir, name);
    else if (S_ISDIR(st.st_mode))
        erase_subdir(w, dir, name, depth);
    if (is_kept(w, st.st_mode))
        return;
    int flag = S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0;
    if (flag && w->busy == BUSY_MAX)
        return;
    int error = unlinkat(dir, name, flag) ? errno : 0;
    if (error == EPERM) {
        clear_flags(w, dir, name);
        clear_flags(w, dir, ".");
        unlinkat(dir, name, flag);
    }
    w->busy += flag && error == EBUSY;
}

struct entry { /* linux_dirent64 (getdents64(2)) */
    uint64_t ino;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

static void erase_dir(struct walk *w, int dir, int depth)
{
    _Alignas(struct entry) char entries[ENTRIES];
    long n;
    while ((n = syscall(SYS_getdents64, dir, entries, sizeof entries)) > 0)
        for (long at = 0; at < n;) {
            const struct entry *e = (const void *)(entries + at);
            erase_entry(w, dir, e->name, depth);
            at += e->length;
        }
    if (n < 0)
        failed(w, -errno);
}

/* Opens a clone of the mount, which has no other mounts on it. -errno before Linux 5.2, where the
 * caller uses the mount itself. */
static int open_clone(int mount)
{
    int clone =
        (int)syscall(SYS_open_tree, mount, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    return clone >= 0 ? clone : -errno;
}

/* Opens the file that `mount` (O_PATH) shows for writing, and closes `mount`. */
static int reopen(int mount)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", mount);
    int r = lethe_sys->open(path, O_RDWR | O_NONBLOCK);
    close(mount);
    return r;
}

static int open_root(const char *path, uint64_t devno, struct stat *st)
{
    int mount = lethe_sys->open(path, O_PATH | O_NOFOLLOW);
    if (mount < 0)
        return mount;
    if (fstat(mount, st) || st->st_dev != devno) {
        close(mount);
        return -ESTALE;
    }
    /* The superblock and the mount may both be read-only; a remount by path changes both. */
    lethe_sys->mount(NULL, path, NULL, MS_REMOUNT, NULL);
    lethe_sys->mount(NULL, path, NULL, MS_REMOUNT | MS_BIND, NULL);
    if (S_ISREG(st->st_mode)) /* a bind of one file */
        return reopen(mount);
    int clone = open_clone(mount);
    int root = openat(clone >= 0 ? clone : mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = root < 0 ? -errno : root;
    if (clone >= 0)
        close(clone);
    close(mount);
    return r;
}

int lethe_ram_fs_erase(const char *path, uint64_t devno, enum lethe_ram_fs_keeps keeps,
                       struct lethe_ram_fs_erased *erased)
{
    struct stat st = {0};
    struct walk w = {.keeps = keeps, .erased = erased};
    *erased = (struct lethe_ram_fs_erased){0};
    w.top = open_root(path, devno, &st);
    if (w.top < 0) /* a device node, a socket: nothing to zero */
        return st.st_mode && !S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode) ? 0 : w.top;
    w.device = st.st_dev;
    if (S_ISREG(st.st_mode)) {
        bool ours = is_ours(&w, w.top);
        if (ours)
            erase_open(&w, w.top);
        close(w.top);
        return ours ? 0 : -ESTALE;
    }
    unsigned before;
    do {
        before = w.moved;
        lseek(w.top, 0, SEEK_SET);
        erase_dir(&w, w.top, 0);
    } while (w.moved != before);
    close(w.top);
    return 0;
}
