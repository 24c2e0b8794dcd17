/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lethe/kernel/cgroup.h"
#include "lethe/kernel/log.h"
#include "lethe/kernel/sys.h"

enum { TICK_MS = 200, DEATH_MS = 100, WORKERS_MAX = LETHE_SUPERVISE_STUCK_MAX, TRIES = 3 };

static const struct timespec while_refused = {0, 20 * 1000 * 1000};

struct lethe_progress *lethe_progress_new(void)
{
    struct lethe_progress *p = MAP_FAILED;
    for (int i = 0; p == MAP_FAILED && i < TRIES; i++) {
        if (i)
            nanosleep(&while_refused, NULL);
        p = mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE,
                 -1, 0);
    }
    return p == MAP_FAILED ? NULL : p;
}

pid_t lethe_supervise_fork(void)
{
    pid_t child = fork();
    for (int i = 1; child < 0 && i < TRIES; i++) {
        lethe_cgroup_leave(); /* the group may have a limit on processes */
        nanosleep(&while_refused, NULL);
        child = fork();
    }
    return child < 0 ? -errno : child;
}

static bool has(const uint64_t *set, unsigned n, uint64_t task)
{
    for (unsigned i = 0; i < n; i++)
        if (set[i] == task)
            return true;
    return false;
}

static void add(uint64_t *set, unsigned *n, uint64_t task)
{
    if (!has(set, *n, task) && *n < LETHE_SUPERVISE_STUCK_MAX)
        set[(*n)++] = task;
}

bool lethe_task_is_stuck(const struct lethe_progress *p, uint64_t task)
{
    return has(p->stuck, p->n_stuck, task);
}

void lethe_task_set_stuck(struct lethe_progress *p, uint64_t task)
{
    add(p->stuck, &p->n_stuck, task);
}

void lethe_progress_add_store(struct lethe_progress *p, uint64_t device)
{
    add(p->stores, &p->n_stores, device);
}

bool lethe_progress_has_store(const struct lethe_progress *p, uint64_t device)
{
    return has(p->stores, p->n_stores, device);
}

void lethe_task_set_finished(struct lethe_progress *p, uint64_t task)
{
    add(p->finished, &p->n_finished, task);
}

bool lethe_task_is_finished(const struct lethe_progress *p, uint64_t task)
{
    return has(p->finished, p->n_finished, task);
}

bool lethe_task_begin(struct lethe_progress *p, uint64_t task, int64_t ms, const char *what)
{
    if (lethe_task_is_stuck(p, task) || lethe_task_is_skipped(task))
        return false;
    size_t n = strnlen(what, sizeof p->what - 1);
    memcpy(p->what, what, n);
    p->what[n] = '\0';
    p->task = task;
    p->allowed_ms = ms;
    p->deadline_ms = lethe_sys_now_ms() + ms;
    lethe_log(LETHE_LOG_VERBOSE, "%s", p->what);
    return true;
}

bool lethe_task_beginf(struct lethe_progress *p, uint64_t task, int64_t ms, const char *format, ...)
{
    char what[sizeof p->what];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    return lethe_task_begin(p, task, ms, what);
}

void lethe_task_done(struct lethe_progress *p)
{
    p->deadline_ms = 0;
}

/* What shows that slow work makes headway: pages and sectors that were written to disks, pages that
 * were swapped in, and free memory. `data` never falls, free memory may. */
struct headway {
    uint64_t data, free_kib;
};

static uint64_t vmstat(const char *text, const char *name)
{
    const char *line = strstr(text, name);
    return line ? strtoull(line + strlen(name), NULL, 10) : 0;
}

/* Returns the sectors written to a device, which include a journal's; nr_written does not. */
static uint64_t sectors_written(uint64_t device)
{
    char path[64], text[512];
    unsigned long long sectors = 0;
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/stat", major(device), minor(device));
    if (lethe_sys_read_line(AT_FDCWD, path, text, sizeof text))
        sscanf(text, "%*u %*u %*u %*u %*u %*u %llu", &sectors);
    return sectors;
}

uint64_t lethe_supervise_data_moved(void)
{
    static char text[32768];
    lethe_sys_read_text(AT_FDCWD, "/proc/vmstat", text, sizeof text);
    return vmstat(text, "\nnr_written ") + vmstat(text, "\npswpin ");
}

static struct headway read_headway(const struct lethe_progress *p)
{
    struct headway now = {.free_kib = lethe_sys_meminfo("MemFree")};
    now.data = lethe_supervise_data_moved();
    for (unsigned i = 0; i < p->n_stores; i++)
        now.data += sectors_written(p->stores[i]);
    return now;
}

/* True when the task's time or the time of the whole is over. A task that makes headway gets its
 * whole time again; while data move, the time of the whole stands still. */
static bool is_over(struct lethe_progress *p, struct headway *before, bool writes, int64_t *end_ms)
{
    enum { KIB_MIN = 1024 };
    int64_t deadline = p->deadline_ms, now = lethe_sys_now_ms();
    bool late = deadline && now >= deadline;
    if (!late && now < *end_ms)
        return false;
    struct headway after = read_headway(p);
    bool wrote = writes && deadline && after.data > before->data;
    bool moved = wrote || after.free_kib >= before->free_kib + KIB_MIN;
    *before = after;
    if (wrote)
        *end_ms += p->allowed_ms;
    if (late && moved)
        atomic_compare_exchange_strong(&p->deadline_ms, &deadline, now + p->allowed_ms);
    return now >= *end_ms || (late && !moved && p->deadline_ms == deadline);
}

/* Waits up to `ms` for the worker's end, ticks, and reaps every child that ends. True when the
 * worker ended; *status is its status then. */
static bool wait_for(pid_t worker, int64_t ms, int *status, const struct lethe_supervisor *s)
{
    struct timespec timeout = {(time_t)(ms / 1000), (long)(ms % 1000 * 1000000)};
    sigset_t set;
    bool ended = false;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    if (s->tick)
        s->tick(s->tick_context);
    for (int turn = 0; turn < 2 && !ended; turn++) {
        int one;
        for (pid_t pid; (pid = waitpid(-1, &one, WNOHANG)) > 0;)
            if (pid == worker) {
                *status = one;
                ended = true;
            }
        if (!ended && !turn)
            sigtimedwait(&set, NULL, &timeout);
    }
    return ended;
}

static void give_up_on(struct lethe_progress *p, pid_t worker, const struct lethe_supervisor *s)
{
    int status;
    lethe_log(LETHE_LOG_ERROR, "%s: not done after %lld ms, left behind", p->what,
              (long long)p->allowed_ms);
    lethe_sys->kill(worker, SIGKILL);
    for (int64_t end = lethe_sys_now_ms() + DEATH_MS; lethe_sys_now_ms() < end;)
        if (wait_for(worker, 10, &status, s))
            break;
}

/* Returns the worker's answer (0 to 127), -EINTR when it has to be started again, or -ETIMEDOUT. */
static int watch(struct lethe_progress *p, pid_t worker, int64_t end_ms,
                 const struct lethe_supervisor *s)
{
    struct headway headway = read_headway(p);
    uint64_t task = 0;
    bool again = false;
    for (int status;;) {
        int64_t now = lethe_sys_now_ms(), deadline = p->deadline_ms, next = TICK_MS;
        if (p->task != task)
            headway = read_headway(p);
        task = p->task;
        if (deadline && deadline - now < next)
            next = deadline > now ? deadline - now : 1;
        if (wait_for(worker, next, &status, s)) {
            if (WIFEXITED(status))
                return WEXITSTATUS(status);
            lethe_log(LETHE_LOG_ERROR, "%s: the worker ended by signal %d", p->what,
                      WTERMSIG(status));
            again = p->task != p->crashed;
            p->crashed = p->task;
            break;
        }
        if (is_over(p, &headway, s->writes, &end_ms)) {
            give_up_on(p, worker, s);
            if (lethe_sys_now_ms() >= end_ms)
                return -ETIMEDOUT;
            break;
        }
    }
    /* A task at which a worker was ended by a signal for the first time is tried again, for the
     * cause may be gone by then. A worker that ended between two tasks blames none. */
    if (p->deadline_ms && !again)
        lethe_task_set_stuck(p, p->task);
    p->deadline_ms = 0;
    return -EINTR;
}

int lethe_supervise(struct lethe_progress *p, int (*work)(struct lethe_progress *, void *),
                    void *context, const struct lethe_supervisor *s)
{
    int64_t end_ms = lethe_sys_now_ms() + s->total_ms;
    int r = -EINTR;
    for (int i = 0; r == -EINTR && i < WORKERS_MAX; i++) {
        p->deadline_ms = 0;
        pid_t worker = lethe_supervise_fork();
        if (worker < 0)
            return worker;
        if (!worker)
            _exit(work(p, context));
        r = watch(p, worker, end_ms, s);
    }
    return r == -EINTR ? -ETIMEDOUT : r;
}
