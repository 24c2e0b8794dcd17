/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/ask.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lethe/kernel/process.h"
#include "lethe/kernel/sys.h"

void *lethe_ask_memory(size_t size)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static pid_t begin(void (*ask)(void *context, size_t i), void *context, atomic_size_t *at, size_t n)
{
    pid_t child = fork();
    if (child)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (size_t i; (i = atomic_load(at)) < n; atomic_store(at, i + 1))
        ask(context, i);
    _exit(0);
}

static int64_t all_ms = INT64_MAX; /* what is left for all questions that are not answered */

void lethe_ask_limit(int64_t ms)
{
    all_ms = ms;
}

/* Returns how long one question may take that would have `ms` by itself. */
static int64_t patience(int64_t ms)
{
    enum { LEAST_MS = 100 };
    return ms <= all_ms ? ms : all_ms > LEAST_MS ? all_ms : LEAST_MS;
}

static void note_hang(int64_t ms)
{
    if (all_ms != INT64_MAX)
        all_ms -= ms;
}

/* Waits until the child has ended, or has been at one question for `ms`. True when it has ended. */
static bool await(pid_t child, const atomic_size_t *at, int64_t ms)
{
    const struct timespec pause = {0, 1000 * 1000};
    size_t last = atomic_load(at);
    for (int64_t due = lethe_sys_now_ms() + ms; lethe_sys_now_ms() < due; nanosleep(&pause, NULL)) {
        if (waitpid(child, NULL, WNOHANG) == child)
            return true;
        if (atomic_load(at) != last) {
            last = atomic_load(at);
            due = lethe_sys_now_ms() + ms;
        }
    }
    kill(child, SIGKILL); /* it ends when it is answered after all */
    note_hang(ms);
    return false;
}

size_t lethe_ask(void (*ask)(void *context, size_t i), void *context, size_t n, int64_t ms,
                 unsigned hangs)
{
    atomic_size_t *at = n ? lethe_ask_memory(sizeof *at) : NULL;
    size_t missed = 0;
    if (!at)
        return n;
    while (atomic_load(at) < n) {
        pid_t child = missed < hangs ? begin(ask, context, at, n) : -1;
        const size_t from = atomic_load(at);
        if (child < 0)
            return missed + n - from;
        if (!await(child, at, patience(ms)) || atomic_load(at) < n) { /* it hangs, or has crashed */
            atomic_fetch_add(at, 1);
            missed++;
        }
    }
    munmap(at, sizeof *at);
    return missed;
}

int lethe_ask_once(int (*ask)(const void *context), const void *context, int64_t ms)
{
    int status;
    pid_t child = fork();
    if (!child)
        _exit(ask(context));
    ms = patience(ms);
    const bool ended = child > 0 && lethe_process_await(child, ms, &status);
    if (!ended)
        note_hang(ms);
    const bool answered = ended && WIFEXITED(status);
    return answered ? (signed char)WEXITSTATUS(status) : -1;
}
