/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mock_sys.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "lethe/kernel/sys.h"

enum { CALLS_MAX = 64, FIRST_FD = 1000 };

struct state {
    struct mock_call calls[CALLS_MAX];
    size_t n, next;
    bool open[CALLS_MAX]; /* by the place of the open() in the script */
    char trouble[256];    /* the first thing that was not as written */
};

static struct state *state;
static const struct lethe_sys *real;

static const char *const names[] = {"open",    "mount",           "umount", "strip",
                                    "swapoff", "ioctl",           "syncfs", "write_file",
                                    "kill",    "end_connections", "reboot", "kexec_unload"};

static void __attribute__((format(printf, 1, 2))) trouble(const char *format, ...)
{
    va_list list;
    if (state->trouble[0])
        return;
    va_start(list, format);
    vsnprintf(state->trouble, sizeof state->trouble, format, list);
    va_end(list);
}

void mock_check(bool good, const char *what)
{
    if (!good)
        trouble("call %zu: %s", state->next, what);
}

static bool same(const char *expected, const char *given)
{
    return !expected || (given && !strcmp(expected, given));
}

/* The next call of the script when it is the one made, else NULL. */
static const struct mock_call *take(enum mock_kind kind, const char *path, const char *text,
                                    unsigned long number)
{
    const struct mock_call *c = &state->calls[state->next];
    if (state->next == state->n || c->kind != kind || !same(c->path, path) ||
        !same(c->text, text) || c->number != number) {
        trouble("call %zu is %s(%s, %s, 0x%lx), not %s(%s, %s, 0x%lx)", state->next, names[kind],
                path ? path : "", text ? text : "", number,
                state->next < state->n ? names[c->kind] : "the end",
                state->next < state->n && c->path ? c->path : "",
                state->next < state->n && c->text ? c->text : "",
                state->next < state->n ? c->number : 0);
        return NULL;
    }
    state->next++;
    return c;
}

static int answer(const struct mock_call *c)
{
    return c ? c->answer : -EIO;
}

static const char *path_of(int fd)
{
    size_t i = (size_t)(fd - FIRST_FD);
    return fd >= FIRST_FD && i < state->n && state->open[i] ? state->calls[i].path : "(not open)";
}

static int mock_open(const char *path, int flags)
{
    const struct mock_call *c = take(MOCK_OPEN, path, NULL, (unsigned long)flags);
    if (!c || c->answer)
        return answer(c);
    size_t i = (size_t)(c - state->calls);
    state->open[i] = true;
    return FIRST_FD + (int)i;
}

static int mock_close(int fd)
{
    size_t i = (size_t)(fd - FIRST_FD);
    if (fd < FIRST_FD || i >= state->n || !state->open[i]) {
        trouble("close(%d) of what is not open", fd);
        return -EBADF;
    }
    state->open[i] = false;
    return 0;
}

static int mock_mount(const char *source, const char *path, const char *fstype, unsigned long flags,
                      const char *data)
{
    (void)fstype;
    (void)data;
    return answer(take(MOCK_MOUNT, path, source, flags));
}

static int mock_umount(const char *path, int flags)
{
    return answer(take(MOCK_UMOUNT, path, NULL, (unsigned long)flags));
}

static int mock_strip(const char *path)
{
    return answer(take(MOCK_STRIP, path, NULL, 0));
}

static int mock_swapoff(const char *path)
{
    return answer(take(MOCK_SWAPOFF, path, NULL, 0));
}

static int mock_ioctl(int fd, unsigned long request, void *argument)
{
    const struct mock_call *c = take(MOCK_IOCTL, path_of(fd), NULL, request);
    if (c && c->look)
        c->look(argument);
    return answer(c);
}

static int mock_syncfs(int fd)
{
    return answer(take(MOCK_SYNCFS, path_of(fd), NULL, 0));
}

static int mock_write_file(const char *path, const char *text)
{
    return answer(take(MOCK_WRITE_FILE, path, text, 0));
}

static int mock_kill(pid_t pid, int signal)
{
    (void)pid;
    return answer(take(MOCK_KILL, NULL, NULL, (unsigned long)signal));
}

static int mock_end_connections(bool all)
{
    return answer(take(MOCK_END_CONNECTIONS, NULL, NULL, all));
}

static int mock_reboot(int command, const char *argument)
{
    return answer(take(MOCK_REBOOT, NULL, argument, (unsigned)command));
}

static int mock_kexec_unload(bool crash)
{
    return answer(take(MOCK_KEXEC_UNLOAD, NULL, NULL, crash));
}

/* Where the script does not say otherwise a node is the one that is meant. */
static bool mock_is_device(int fd, mode_t kind, uint64_t number)
{
    size_t i = (size_t)(fd - FIRST_FD);
    (void)kind;
    (void)number;
    return fd < FIRST_FD || i >= state->n || !state->calls[i].other;
}

/* Is in no script: a kernel before 5.2 can't either. */
static int mock_copy(const char *path)
{
    (void)path;
    return -ENOSYS;
}

static struct lethe_sys mock = {
    .open = mock_open,
    .close = mock_close,
    .mount = mock_mount,
    .umount = mock_umount,
    .strip = mock_strip,
    .copy = mock_copy,
    .swapoff = mock_swapoff,
    .ioctl = mock_ioctl,
    .syncfs = mock_syncfs,
    .write_file = mock_write_file,
    .kill = mock_kill,
    .end_connections = mock_end_connections,
    .reboot = mock_reboot,
    .kexec_unload = mock_kexec_unload,
    .is_device = mock_is_device,
};

void mock_expect(const struct mock_call *calls, size_t n)
{
    if (!state)
        state =
            mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (state == MAP_FAILED || n > CALLS_MAX)
        abort();
    memset(state, 0, sizeof *state);
    if (n)
        memcpy(state->calls, calls, n * sizeof *calls);
    state->n = n;
    real = real ? real : lethe_sys;
    mock.page_size = real->page_size;
    mock.mincore = real->mincore;
    lethe_sys = &mock;
}

void mock_finish(void)
{
    lethe_sys = real;
    if (state->next < state->n)
        trouble("call %zu, %s(%s), was not made", state->next,
                names[state->calls[state->next].kind],
                state->calls[state->next].path ? state->calls[state->next].path : "");
    for (size_t i = 0; i < state->n; i++)
        if (state->open[i] && !state->calls[i].kept)
            trouble("%s was not closed", state->calls[i].path);
    if (state->trouble[0])
        fail_msg("%s", state->trouble);
}
