/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * faults: only in lethe-faults, which the tests build: fails one call of the program on purpose.
 *
 * The linker puts these in the place of the C library's functions (--wrap), for all that is in the
 * program, so no source knows of it. A call is known by its place, the address that it returns to,
 * which is the same in each run of one build. The environment, else the kernel's command line, says
 * LETHE_FAULT=PLACE:WHAT[:COUNT] (lethe.fault=…): PLACE is a hexadecimal number; WHAT an error's
 * number, "hang", "kill", which ends the process that calls, or "deadman" or "screen", which ends
 * that process of Lethe's; it happens when the call is reached for the COUNT-th time (1) in one
 * stage of the end, in whatever process. "list" tells each place in the kernel's log when it is
 * first reached by PID 1 ("init"), by a supervisor without a deadline ("supervisor") and by
 * another process ("place"), "show" on the standard error.
 * Of Lethe's own functions, the table of lethe_sys and the reads of sys.h are calls, too, so that
 * each of their callers is a place; and lethe_task_done, right behind the end of a step.
 */
/* The linker asks for these names. */
// NOLINTBEGIN(bugprone-macro-parentheses,bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,performance-no-int-to-ptr)
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

#include "lethe/kernel/deadman.h"
#include "lethe/kernel/face.h"
#include "lethe/kernel/supervise.h"
#include "lethe/kernel/sys.h"

enum { PLACES = 4096, HANG = -1, KILL = -2 };
enum role { WORKER, DEADMAN, SCREEN, ROLES };
static const char *const roles[ROLES] = {"kill", "deadman", "screen"};

/* What the processes of a stage share. */
struct shared {
    atomic_uint reached;
    _Atomic pid_t pids[ROLES];
};

long __real_syscall(long number, ...);

static bool ready, listing, shows;
static uintptr_t place;
static int what;
static unsigned count = 1;
enum who { OTHER, SUPERVISOR, INIT };
static pid_t supervisor; /* one without a deadline */
static enum role forked; /* the role of the next child */
static struct shared *shared;
static atomic_uintptr_t *listed; /* of all processes of a stage */

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
    if (!request || getenv("LETHE_AGAIN")) /* an end that goes on after its supervisor's (end.c) */
        return;
    shows = !strcmp(request, "show");
    listing = shows || !strcmp(request, "list");
    listed = listing ? share(PLACES * sizeof *listed) : NULL;
    shared = listing ? NULL : share(sizeof *shared);
    if (!shared)
        return;
    place = strtoul(request, &end, 16);
    if (*end++ != ':')
        return;
    what = !strncmp(end, "hang", 4) ? HANG : atoi(end);
    for (int role = 0; role < ROLES; role++)
        if (!strncmp(end, roles[role], strlen(roles[role])))
            what = KILL - role;
    const char *colon = strchr(end, ':');
    count = colon ? (unsigned)atoi(colon + 1) : 1;
}

/* Opens the log each time: Lethe closes all that it did not open. */
static void tell(const char *word, const char *name, uintptr_t where)
{
    char line[128];
    int n = snprintf(line, sizeof line, "<5>lethe-fault: %s 0x%lx %s\n", word, (unsigned long)where,
                     name);
    long log = shows ? STDERR_FILENO
                     : __real_syscall(SYS_openat, AT_FDCWD, "/dev/kmsg", O_WRONLY | O_CLOEXEC);
    __real_syscall(SYS_write, log, line, n);
    if (log > STDERR_FILENO)
        __real_syscall(SYS_close, log);
}

static enum who who_calls(void)
{
    const pid_t pid = (pid_t)__real_syscall(SYS_getpid);
    return pid == 1 ? INIT : pid == supervisor ? SUPERVISOR : OTHER;
}

static void list(const char *name, uintptr_t where, enum who who)
{
    static const char *const words[] = {"place", "supervisor", "init"};
    const uintptr_t key = where << 2 | who;
    for (size_t i = key % PLACES; listed; i = (i + 1) % PLACES) {
        uintptr_t free_slot = 0;
        if (listed[i] == key)
            return;
        if (!listed[i] && atomic_compare_exchange_strong(&listed[i], &free_slot, key)) {
            tell(words[who], name, where);
            return;
        }
    }
}

/* Ends the process that calls, or the one that is meant, if there is one. */
static void end_process(const char *name, uintptr_t where)
{
    pid_t pid = what == KILL ? (pid_t)__real_syscall(SYS_getpid) : shared->pids[KILL - what];
    if (!pid || __real_syscall(SYS_kill, pid, 0))
        return;
    tell(what == KILL ? "is killed" : roles[KILL - what], name, where);
    __real_syscall(SYS_kill, pid, SIGKILL);
}

/* True when the call is to fail, with errno set. The kernel never kills PID 1, and a supervisor is
 * never let hang. */
static bool fails(const char *name, void *from)
{
    const uintptr_t where = (uintptr_t)from;
    const enum who who = who_calls();
    const int before = errno;
    if (!ready)
        read_request();
    if (listing)
        list(name, where, who);
    errno = before;
    if (!shared || where != place || (what == HANG && who) || (what == KILL && who == INIT) ||
        atomic_fetch_add(&shared->reached, 1) + 1 != count)
        return false;
    if (what > 0) {
        tell("fails", name, where);
        errno = what;
        return true;
    }
    if (what == HANG) {
        tell("hangs", name, where);
        for (;;)
            __real_syscall(SYS_ppoll, 0, 0, 0, 0);
    }
    end_process(name, where);
    errno = before;
    return false;
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

/* One of Lethe's own, whose name the compiler has to know: the linker says nothing of one that is
 * not there. */
#define OWN(type, failure, name, parameters, arguments)                                            \
    extern __typeof__(name) name;                                                                  \
    WRAP(type, failure, name, parameters, arguments)

OWN(ssize_t, -what, lethe_sys_read_file, (int d, const char *p, char *o, size_t n), (d, p, o, n))
OWN(struct lethe_span, ((struct lethe_span){o, 0}), lethe_sys_read_span,
    (const char *p, char *o, size_t n), (p, o, n))
OWN(bool, *o = 0, lethe_sys_read_text, (int d, const char *p, char *o, size_t n), (d, p, o, n))
OWN(bool, *o = 0, lethe_sys_read_line, (int d, const char *p, char *o, size_t n), (d, p, o, n))
OWN(bool, *o = 0, lethe_sys_read_link, (int d, const char *p, char *o, size_t n), (d, p, o, n))
OWN(bool, *o = 0, lethe_sys_read_block, (const char *b, const char *p, char *o, size_t n),
    (b, p, o, n))
OWN(int, -what, lethe_sys_open_below, (int d, const char *p, int f), (d, p, f))
OWN(int, -what, lethe_sys_open_device, (const char *p, int f, mode_t k, uint64_t n), (p, f, k, n))

extern __typeof__(fork) __real_fork, __wrap_fork;
pid_t __wrap_fork(void)
{
    if (fails("fork", __builtin_return_address(0)))
        return -1;
    pid_t child = __real_fork();
    if (child > 0 && shared)
        shared->pids[forked] = child;
    return child;
}

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

extern __typeof__(lethe_deadman_start) __real_lethe_deadman_start, __wrap_lethe_deadman_start;
pid_t __wrap_lethe_deadman_start(int64_t dead_ms, enum lethe_verb verb, struct lethe_progress *work,
                                 void (*go_on)(const void *), const void *context)
{
    if (!dead_ms)
        supervisor = (pid_t)__real_syscall(SYS_getpid);
    forked = DEADMAN;
    pid_t deadman = __real_lethe_deadman_start(dead_ms, verb, work, go_on, context);
    forked = WORKER;
    if (listing)
        tell("deadman", "runs", 0);
    return deadman;
}

extern __typeof__(lethe_face_start) __real_lethe_face_start, __wrap_lethe_face_start;
void __wrap_lethe_face_start(const struct lethe_progress *progress)
{
    forked = SCREEN;
    __real_lethe_face_start(progress);
    forked = WORKER;
}

extern __typeof__(lethe_task_done) __real_lethe_task_done, __wrap_lethe_task_done;
void __wrap_lethe_task_done(struct lethe_progress *progress)
{
    __real_lethe_task_done(progress);
    (void)fails("lethe_task_done", __builtin_return_address(0));
}

/* -- the table of the calls that change the machine: the places are those that call them -------- */

static const struct lethe_sys *real;

#define TABLE(type, failure, name, parameters, arguments)                                          \
    static type table_##name parameters                                                            \
    {                                                                                              \
        return fails("sys_" #name, __builtin_return_address(0)) ? (failure)                        \
                                                                : real->name arguments;            \
    }

TABLE(int, -what, open, (const char *p, int f), (p, f))
TABLE(int, -what, mount,
      (const char *s, const char *p, const char *t, unsigned long f, const char *d),
      (s, p, t, f, d))
TABLE(int, -what, umount, (const char *p, int f), (p, f))
TABLE(int, -what, strip, (const char *p), (p))
TABLE(int, -what, swapoff, (const char *p), (p))
TABLE(int, -what, ioctl, (int f, unsigned long r, void *a), (f, r, a))
TABLE(int, -what, syncfs, (int f), (f))
TABLE(int, -what, write_file, (const char *p, const char *t), (p, t))
TABLE(int, -what, kill, (pid_t p, int s), (p, s))
TABLE(int, -what, end_connections, (bool a), (a))
TABLE(bool, false, is_device, (int f, mode_t k, uint64_t n), (f, k, n))
TABLE(int, -what, mincore, (void *a, size_t n, unsigned char *p), (a, n, p))
TABLE(int, -what, reboot, (int c, const char *a), (c, a))
TABLE(int, -what, kexec_unload, (bool c), (c))

__attribute__((constructor)) static void take_table(void)
{
    static struct lethe_sys table;
    real = lethe_sys;
    table = *real;
    table.open = table_open;
    table.mount = table_mount;
    table.umount = table_umount;
    table.strip = table_strip;
    table.swapoff = table_swapoff;
    table.ioctl = table_ioctl;
    table.syncfs = table_syncfs;
    table.write_file = table_write_file;
    table.kill = table_kill;
    table.end_connections = table_end_connections;
    table.is_device = table_is_device;
    table.mincore = table_mincore;
    table.reboot = table_reboot;
    table.kexec_unload = table_kexec_unload;
    lethe_sys = &table;
}
// NOLINTEND(bugprone-macro-parentheses,bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,performance-no-int-to-ptr)
