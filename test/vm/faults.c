/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * faults: only in lethe-faults, which the tests build: fails one call of the program on purpose.
 *
 * The linker puts these in the place of the C library's functions (--wrap), for all that is in the
 * program, so no source knows of it. A call is known by its place, the address that it returns to,
 * which is the same in each run of one build. The environment, else the kernel's command line, says
 * LETHE_FAULT=PLACE:WHAT[:COUNT] (lethe.fault=…): PLACE is a hexadecimal number; WHAT an error's
 * number, "hang" or "kill"; it happens when the call is reached for the COUNT-th time (1) in one
 * stage of the end, in whatever process. "list" tells each place in the
 * kernel's log when it is first reached, "show" on the standard error.
 */
/* The linker asks for these names. */
// NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,performance-no-int-to-ptr)
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PLACES = 4096, HANG = -1, KILL = -2 };

long __real_syscall(long number, ...);

static bool ready, listing;
static uintptr_t place;
static int what;
static unsigned count = 1;
static atomic_uint *reached;     /* shared by all processes of a stage */
static atomic_uintptr_t *listed; /* of all processes of a stage */
static int told = -1;

static const char *find_request(char *cmdline, size_t size)
{
    const char *request = getenv("LETHE_FAULT");
    if (request)
        return request;
    long fd = __real_syscall(SYS_openat, AT_FDCWD, "/proc/cmdline", O_RDONLY | O_CLOEXEC);
    long n = fd < 0 ? 0 : __real_syscall(SYS_read, fd, cmdline, size - 1);
    if (fd >= 0)
        __real_syscall(SYS_close, fd);
    cmdline[n > 0 ? n : 0] = '\0';
    char *found = strstr(cmdline, "lethe.fault=");
    if (!found)
        return NULL;
    found += strlen("lethe.fault=");
    found[strcspn(found, " \n")] = '\0';
    return found;
}

static void *share(size_t size)
{
    long at = __real_syscall(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                             -1, 0);
    return at == -1 ? NULL : (void *)at;
}

static void read_request(void)
{
    static char cmdline[8192];
    const char *request = find_request(cmdline, sizeof cmdline);
    char *end;
    ready = true;
    if (!request)
        return;
    bool shows = !strcmp(request, "show");
    told = shows ? STDERR_FILENO
                 : (int)__real_syscall(SYS_openat, AT_FDCWD, "/dev/kmsg", O_WRONLY | O_CLOEXEC);
    listing = shows || !strcmp(request, "list");
    listed = listing ? share(PLACES * sizeof *listed) : NULL;
    reached = listing ? NULL : share(sizeof *reached);
    if (!reached)
        return;
    place = strtoul(request, &end, 16);
    if (*end++ != ':')
        return;
    what = !strncmp(end, "hang", 4) ? HANG : !strncmp(end, "kill", 4) ? KILL : atoi(end);
    const char *colon = strchr(end, ':');
    count = colon ? (unsigned)atoi(colon + 1) : 1;
}

static void tell(const char *word, const char *name, uintptr_t where)
{
    char line[128];
    int n = snprintf(line, sizeof line, "<5>lethe-fault: %s 0x%lx %s\n", word, (unsigned long)where,
                     name);
    __real_syscall(SYS_write, told, line, n);
}

static void list(const char *name, uintptr_t where)
{
    for (size_t i = where % PLACES; listed; i = (i + 1) % PLACES) {
        uintptr_t free_slot = 0;
        if (listed[i] == where)
            return;
        if (!listed[i] && atomic_compare_exchange_strong(&listed[i], &free_slot, where)) {
            tell("place", name, where);
            return;
        }
    }
}

/* True when the call is to fail, with errno set. */
static bool fails(const char *name, void *from)
{
    uintptr_t where = (uintptr_t)from;
    int before = errno;
    if (!ready)
        read_request();
    if (listing)
        list(name, where);
    errno = before;
    long pid = __real_syscall(SYS_getpid);
    if (!reached || where != place || (what < 0 && pid == 1))
        return false; /* PID 1 the kernel never kills, and Lethe never lets hang */
    if (atomic_fetch_add(reached, 1) + 1 != count)
        return false;
    tell(what == HANG ? "hangs" : what == KILL ? "is killed" : "fails", name, where);
    if (what > 0) {
        errno = what;
        return true;
    }
    if (what == KILL)
        __real_syscall(SYS_kill, pid, SIGKILL);
    for (;;)
        __real_syscall(SYS_ppoll, 0, 0, 0, 0);
}

#define WRAP(type, failure, name, parameters, arguments)                                           \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        return fails(#name, __builtin_return_address(0)) ? (failure) : __real_##name arguments;    \
    }

WRAP(int, -1, close, (int fd), (fd))
WRAP(int, -1, mount, (const char *s, const char *p, const char *t, unsigned long f, const void *d),
     (s, p, t, f, d))
WRAP(int, -1, umount2, (const char *p, int f), (p, f))
WRAP(int, -1, swapoff, (const char *p), (p))
WRAP(int, -1, kill, (pid_t p, int s), (p, s))
WRAP(int, -1, chdir, (const char *p), (p))
WRAP(int, -1, chroot, (const char *p), (p))
WRAP(int, -1, mkdir, (const char *p, mode_t m), (p, m))
WRAP(int, -1, mkdirat, (int d, const char *p, mode_t m), (d, p, m))
WRAP(int, -1, rename, (const char *a, const char *b), (a, b))
WRAP(int, -1, renameat, (int a, const char *b, int c, const char *d), (a, b, c, d))
WRAP(int, -1, unlink, (const char *p), (p))
WRAP(int, -1, unlinkat, (int d, const char *p, int f), (d, p, f))
WRAP(int, -1, ftruncate, (int f, off_t n), (f, n))
WRAP(int, -1, execve, (const char *p, char *const *a, char *const *e), (p, a, e))
WRAP(pid_t, -1, fork, (void), ())
WRAP(pid_t, -1, waitpid, (pid_t p, int *s, int o), (p, s, o))
WRAP(void *, MAP_FAILED, mmap, (void *a, size_t n, int p, int f, int d, off_t o),
     (a, n, p, f, d, o))
WRAP(int, -1, mincore, (void *a, size_t n, unsigned char *v), (a, n, v))
WRAP(int, -1, madvise, (void *a, size_t n, int v), (a, n, v))
WRAP(int, -1, mlockall, (int f), (f))
WRAP(int, -1, setns, (int f, int t), (f, t))
WRAP(int, -1, unshare, (int f), (f))
WRAP(int, -1, socket, (int a, int b, int c), (a, b, c))
WRAP(void *, (void *)-1, shmat, (int i, const void *a, int f), (i, a, f))
WRAP(int, -1, msgget, (int k, int f), (k, f))
WRAP(ssize_t, -1, write, (int f, const void *p, size_t n), (f, p, n))
WRAP(ssize_t, -1, pwrite, (int f, const void *p, size_t n, off_t o), (f, p, n, o))
WRAP(ssize_t, -1, read, (int f, void *p, size_t n), (f, p, n))
WRAP(ssize_t, -1, pread, (int f, void *p, size_t n, off_t o), (f, p, n, o))
WRAP(off_t, -1, lseek, (int f, off_t o, int w), (f, o, w))
WRAP(int, -1, stat, (const char *p, struct stat *s), (p, s))
WRAP(int, -1, lstat, (const char *p, struct stat *s), (p, s))
WRAP(int, -1, fstat, (int f, struct stat *s), (f, s))
WRAP(int, -1, fstatat, (int d, const char *p, struct stat *s, int f), (d, p, s, f))
WRAP(int, -1, statfs, (const char *p, struct statfs *s), (p, s))
WRAP(int, -1, fstatfs, (int f, struct statfs *s), (f, s))
WRAP(int, -1, access, (const char *p, int m), (p, m))
WRAP(ssize_t, -1, readlink, (const char *p, char *o, size_t n), (p, o, n))
WRAP(ssize_t, -1, readlinkat, (int d, const char *p, char *o, size_t n), (d, p, o, n))
WRAP(DIR *, NULL, opendir, (const char *p), (p))
WRAP(DIR *, NULL, fdopendir, (int f), (f))
WRAP(struct dirent *, NULL, readdir, (DIR * d), (d))
WRAP(FILE *, NULL, fopen, (const char *p, const char *m), (p, m))
WRAP(char *, NULL, fgets, (char *o, int n, FILE *f), (o, n, f))
WRAP(void *, NULL, malloc, (size_t n), (n))
WRAP(void *, NULL, calloc, (size_t n, size_t m), (n, m))
WRAP(void *, NULL, realloc, (void *p, size_t n), (p, n))

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
    va_end(list);
    return fails("open", __builtin_return_address(0)) ? -1 : __real_open(path, flags, mode);
}

int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
    va_end(list);
    return fails("openat", __builtin_return_address(0)) ? -1
                                                        : __real_openat(dir, path, flags, mode);
}

int __real_ioctl(int fd, int request, ...);
int __wrap_ioctl(int fd, int request, ...);
int __wrap_ioctl(int fd, int request, ...)
{
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    return fails("ioctl", __builtin_return_address(0)) ? -1 : __real_ioctl(fd, request, argument);
}

long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
    long a[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (fails("syscall", __builtin_return_address(0)))
        return -1;
    return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
// NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,performance-no-int-to-ptr)
