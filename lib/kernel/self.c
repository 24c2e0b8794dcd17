/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/self.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

#ifndef MCL_ONFAULT
#define MCL_ONFAULT 4 /* linux/mman.h */
#endif

void lethe_self_spare(void)
{
    lethe_sys->write_file("/proc/self/oom_score_adj", "-1000");
}

/* The ends of the initialized data and of all data (end(3)). The program's headers are in its first
 * page. */
extern char edata[], end[];

/* Locks the end of the program's file, which no segment maps: the second stage is a copy of the
 * whole file. */
static void lock_rest_of_program(size_t page)
{
    struct stat st;
    int fd = lethe_sys->open("/proc/self/exe", O_RDONLY);
    if (fd < 0)
        return;
    off_t from =
        fstat(fd, &st) || st.st_size <= (off_t)page ? 0 : (st.st_size - (off_t)page) & -(off_t)page;
    void *at = mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, fd, from);
    if (at != MAP_FAILED)
        (void)!mlock(at, (size_t)(st.st_size - from));
    lethe_sys->close(fd);
}

void lethe_self_load(void)
{
    static bool has_rest;
    const size_t page = lethe_sys->page_size();
    uintptr_t begin = getauxval(AT_PHDR) & ~(uintptr_t)(page - 1);
    size_t n = (uintptr_t)edata - begin;
    if (begin)
        (void)!mlock(edata - n, n);
    if (!has_rest)
        lock_rest_of_program(page);
    has_rest = true;
}

void lethe_self_lock(void)
{
    /* Without MCL_ONFAULT the arenas would be filled, which takes all memory there is. */
    const int as_touched = MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT;
    if (mlockall(as_touched))
        mlockall(as_touched);
    lethe_self_load();
}

void lethe_self_unlock_unused(void)
{
    const size_t size = lethe_sys->page_size();
    unsigned char touched;
    char *page = edata + (-(uintptr_t)edata & (size - 1));
    for (; page < end; page += size)
        if (!lethe_sys->mincore(page, size, &touched) && !(touched & 1))
            munlock(page, size);
}

/* Sheds what the starter of this process may have left to it: a limit on real-time processor time
 * would end it, and so may its parent's end; from one processor or memory node not all free memory
 * can be reached. */
static void shed_inheritance(void)
{
    const struct rlimit endless = {RLIM_INFINITY, RLIM_INFINITY}, many = {65536, 65536};
    cpu_set_t everywhere;
    for (int limit = 0; limit < RLIM_NLIMITS; limit++)
        if (limit != RLIMIT_CORE)
            setrlimit(limit, limit == RLIMIT_NOFILE ? &many : &endless);
    prctl(PR_SET_PDEATHSIG, 0);
    memset(&everywhere, 0xff, sizeof everywhere);
    sched_setaffinity(0, sizeof everywhere, &everywhere);
    syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0);
}

void lethe_self_shield(void)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_DUMPABLE, 0);
    shed_inheritance();
    lethe_self_spare();
}

void lethe_self_harden(void)
{
    lethe_self_shield();
    lethe_self_lock();
}

void lethe_self_close_all(void)
{
    enum { FIRST = STDERR_FILENO + 1, MANY = 65536 };
    if (!syscall(SYS_close_range, FIRST, ~0U, 0))
        return;
    for (int fd = FIRST; fd < MANY; fd++)
        close(fd);
}

void lethe_self_take_stdio(void)
{
    int fd = lethe_sys->open("/dev/null", O_RDWR);
    for (int i = 0; fd >= 0 && i < 3; i++)
        dup2(fd, i);
    if (fd > 2)
        close(fd);
}

bool lethe_self_runs(const char *path)
{
    char own[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", own, sizeof own);
    return n > 0 && (size_t)n == strlen(path) && !memcmp(own, path, (size_t)n);
}
