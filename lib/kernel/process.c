/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lethe/kernel/log.h"
#include "lethe/kernel/self.h"
#include "lethe/kernel/sys.h"
#include "lethe/kernel/watchdog.h"
#include "lethe/plan/text.h"

enum { KEPT_MAX = 32 };
static pid_t kept[KEPT_MAX];
static size_t n_kept;

static bool is_kept(pid_t pid)
{
    for (size_t i = 0; i < n_kept; i++)
        if (kept[i] == pid)
            return true;
    return false;
}

/* Reads the state, parent and name of a process of user space, dead ones included. Kernel threads
 * have no memory map and so an empty cmdline, but so have zombies: a thread is known by PF_KTHREAD
 * among the flags of /proc/PID/stat (0x00200000, linux/sched.h). */
static bool read_process(const char *pid, char *name, size_t size, char *state, pid_t *parent)
{
    char path[64], text[512];
    unsigned flags;
    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    if (!lethe_sys_read_line(AT_FDCWD, path, text, sizeof text))
        return false;
    char *open = strchr(text, '('), *close = strrchr(text, ')');
    if (!open || !close || close < open ||
        sscanf(close + 1, " %c %d %*d %*d %*d %*d %u", state, parent, &flags) != 3)
        return false;
    *close = '\0';
    lethe_text_printable(name, size, open + 1);
    return !(flags & 0x00200000);
}

/* True for Lethe's own workers and deadman, which run the same program, but not for one in state D:
 * that is reported like any other. */
static bool is_own(const char *pid, char state)
{
    char path[64], program[PATH_MAX];
    snprintf(path, sizeof path, "/proc/%.20s/exe", pid);
    ssize_t n = state == 'D' ? -1 : readlink(path, program, sizeof program - 1);
    if (n <= 0)
        return false;
    program[n] = '\0';
    return lethe_self_runs(program);
}

enum which { LIVING, DEAD };

/* Calls `tell`, which may be NULL, for each process, and returns how many there are; it stops
 * looking at `enough`. */
static unsigned each_process(enum which which, unsigned enough,
                             void (*tell)(unsigned n, const char *pid, const char *name,
                                          char state))
{
    unsigned n = 0;
    char name[64], state;
    pid_t parent;
    DIR *proc = opendir("/proc");
    if (!proc)
        return 0;
    for (struct dirent *entry; n < enough && (entry = readdir(proc));) {
        const char *pid = entry->d_name;
        if (!isdigit((unsigned char)pid[0]) || atoi(pid) == getpid() || atoi(pid) == 1 ||
            !read_process(pid, name, sizeof name, &state, &parent) ||
            (state == 'Z') != (which == DEAD) || is_kept(which == DEAD ? parent : atoi(pid)) ||
            is_own(pid, state))
            continue;
        if (tell)
            tell(n, pid, name, state);
        n++;
    }
    closedir(proc);
    return n;
}

static void tell_process(unsigned n, const char *pid, const char *name, char state)
{
    enum { LINES_MAX = 10 };
    if (n < LINES_MAX)
        lethe_log(LETHE_LOG_ERROR, "process %.20s (%s) is still there, in state %c", pid, name,
                  state);
}

unsigned lethe_process_report(void)
{
    return each_process(LIVING, UINT_MAX, tell_process);
}

/* Reaps, and returns 0 when no process is left to be killed, else a number that falls with each
 * that ends. PID 1 becomes the parent of all orphans, so it knows whether there are any, but not
 * how many; anybody else has to look. */
static unsigned reap_and_count(unsigned *reaped, pid_t spared)
{
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        ++*reaped;
    if (getpid() == 1 && !spared)
        return pid < 0 && errno == ECHILD ? 0 : UINT_MAX - *reaped;
    return each_process(LIVING, UINT_MAX, NULL);
}

void lethe_process_keep(pid_t pid)
{
    if (pid <= 1 || n_kept == KEPT_MAX || is_kept(pid))
        return;
    lethe_sys->kill(pid, SIGSTOP);
    kept[n_kept++] = pid;
}

void lethe_process_keep_ancestors(void)
{
    char number[16], name[64], state;
    for (pid_t pid = getppid(); pid > 1 && n_kept < KEPT_MAX;) {
        lethe_process_keep(pid);
        snprintf(number, sizeof number, "%d", pid);
        if (!read_process(number, name, sizeof name, &state, &pid))
            return;
    }
}

void lethe_process_each_kept(void (*use)(pid_t pid))
{
    for (size_t i = 0; i < n_kept; i++)
        use(kept[i]);
}

static bool is_among(pid_t pid, const pid_t *list, unsigned n)
{
    while (n && list[n - 1] != pid)
        n--;
    return n;
}

/* Kills all others one by one, since kill(2) of -1 would not spare those that are kept. Returns how
 * many there were. */
static unsigned kill_others(const pid_t *spared, unsigned n_spared)
{
    unsigned n = 0;
    char name[64], state;
    pid_t parent;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; proc && (entry = readdir(proc));) {
        pid_t pid = atoi(entry->d_name);
        if (!isdigit((unsigned char)entry->d_name[0]) || pid == getpid() || pid == 1 ||
            is_kept(pid) || is_among(pid, spared, n_spared) ||
            !read_process(entry->d_name, name, sizeof name, &state, &parent) || state == 'Z')
            continue;
        lethe_sys->kill(pid, SIGKILL);
        n += !is_own(entry->d_name, state);
    }
    if (proc)
        closedir(proc);
    return n;
}

void lethe_process_kill_all(void)
{
    if (n_kept)
        kill_others(NULL, 0);
    else
        lethe_sys->kill(-1, SIGKILL);
}

unsigned lethe_process_stop_all(pid_t spared, int64_t ms)
{
    enum { LONGEST = 10 };
    const struct timespec pause = {0, 10 * 1000 * 1000};
    unsigned reaped = 0, before = UINT_MAX, left;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    int64_t end = lethe_sys_now_ms() + ms, limit = end + (LONGEST - 1) * ms;
    do {
        if (spared)
            kill_others(&spared, 1);
        else
            lethe_process_kill_all();
        lethe_watchdog_ping(NULL); /* whoever served it is dead */
        left = reap_and_count(&reaped, spared);
        if (left && left < before && end < limit)
            end = lethe_sys_now_ms() + ms;
        before = left;
        if (left)
            sigtimedwait(&set, NULL, &pause);
    } while (left && lethe_sys_now_ms() < end);
    return left ? each_process(LIVING, UINT_MAX, NULL) : 0;
}

unsigned lethe_process_stop_others(const pid_t *spared, unsigned n, int64_t ms)
{
    const struct timespec pause = {0, 10 * 1000 * 1000};
    unsigned left;
    for (int64_t end = lethe_sys_now_ms() + ms;; nanosleep(&pause, NULL)) {
        lethe_sys->kill(-1, SIGSTOP);
        lethe_watchdog_ping(NULL);
        left = kill_others(spared, n);
        for (unsigned i = 0; i < n; i++)
            lethe_sys->kill(spared[i], SIGCONT);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        if (!left || lethe_sys_now_ms() >= end)
            return left;
    }
}

static unsigned count_dead(void)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    return each_process(DEAD, UINT_MAX, NULL);
}

unsigned lethe_process_wait_for_reaper(int64_t ms)
{
    const struct timespec pause = {0, 10 * 1000 * 1000};
    unsigned before = UINT_MAX, now;
    for (int64_t end = lethe_sys_now_ms() + ms; (now = count_dead()) && lethe_sys_now_ms() < end;
         before = now) {
        if (now < before)
            end = lethe_sys_now_ms() + ms;
        lethe_watchdog_ping(NULL);
        nanosleep(&pause, NULL);
    }
    return now;
}

bool lethe_process_await(pid_t child, int64_t ms, int *status)
{
    const struct timespec pause = {0, 10 * 1000 * 1000};
    for (int64_t end = lethe_sys_now_ms() + ms; lethe_sys_now_ms() < end; nanosleep(&pause, NULL))
        if (waitpid(child, status, WNOHANG) == child)
            return true;
    lethe_sys->kill(child, SIGKILL);
    return false;
}

void lethe_process_hurry(pid_t pid, bool on)
{
    const struct sched_param priority = {.sched_priority = on ? 10 : 0};
    syscall(SYS_sched_setscheduler, pid, on ? SCHED_RR : SCHED_OTHER, &priority);
}
