/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lethe/kernel/process.h"
#include "lethe/kernel/self.h"

/* In a child, which may change itself. */
static void assert_in_child(bool (*good)(void))
{
    int status;
    pid_t child = fork();
    if (!child)
        _exit(!good());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* As rtkit, a launcher and numactl(8) leave them. */
static bool sheds_what_it_inherits(void)
{
    const struct rlimit little = {200000, RLIM_INFINITY};
    struct rlimit limit;
    cpu_set_t one, mine;
    unsigned long nodes = 1;
    int parent_signal, policy,
        processors = CPU_COUNT((sched_getaffinity(0, sizeof mine, &mine), &mine));
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    setrlimit(RLIMIT_RTTIME, &little);
    setrlimit(RLIMIT_CPU, &little);
    sched_setaffinity(0, sizeof one, &one);
    syscall(SYS_set_mempolicy, MPOL_BIND, &nodes, 8 * sizeof nodes);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGHUP, SIG_IGN);
    lethe_self_harden();
    if (getrlimit(RLIMIT_RTTIME, &limit) || limit.rlim_cur != RLIM_INFINITY ||
        getrlimit(RLIMIT_CPU, &limit) || limit.rlim_cur != RLIM_INFINITY)
        return false;
    return !sched_getaffinity(0, sizeof mine, &mine) && CPU_COUNT(&mine) >= processors &&
           !prctl(PR_GET_PDEATHSIG, &parent_signal) && !parent_signal &&
           (syscall(SYS_get_mempolicy, &policy, NULL, 0, NULL, 0) || policy == MPOL_DEFAULT) &&
           signal(SIGHUP, SIG_DFL) == SIG_DFL;
}

static bool closes_all(void)
{
    int low = open("/dev/null", O_RDONLY), high = dup2(low, 900);
    lethe_self_close_all();
    return low > 2 && high == 900 && fcntl(low, F_GETFD) < 0 && fcntl(high, F_GETFD) < 0 &&
           fcntl(STDERR_FILENO, F_GETFD) >= 0;
}

static void nothing_of_its_parent_stays(void **unused)
{
    (void)unused;
    assert_in_child(sheds_what_it_inherits);
}

static void inherited_files_are_closed(void **unused)
{
    (void)unused;
    assert_in_child(closes_all);
}

/* It is dead when this returns. */
static pid_t fork_dead(void)
{
    siginfo_t info;
    pid_t child = fork();
    if (!child)
        _exit(0);
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    return child;
}

static void own_dead_are_not_waited_for(void **unused)
{
    (void)unused;
    pid_t child = fork_dead();
    lethe_process_wait_for_reaper(0);
    assert_int_equal(waitpid(child, NULL, 0), -1);
}

/* As a last script's child, in a pid namespace: the script stays, stopped, another process does
 * not. */
static void script(int result)
{
    if (!fork()) {
        lethe_process_keep_ancestors();
        bool good = !lethe_process_stop_all(0, 2000) && !lethe_process_wait_for_reaper(2000);
        _exit(write(result, &good, 1) != 1);
    }
    for (;;)
        pause();
}

static bool script_lives_on(void)
{
    int ends[2], status;
    char good = 0;
    pid_t other, waiting;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("proc", "/proc", "proc", 0, NULL) || pipe(ends))
        return false;
    if (!(other = fork()))
        for (;;)
            pause();
    if (!(waiting = fork()))
        script(ends[1]);
    return waitpid(other, &status, 0) == other && WTERMSIG(status) == SIGKILL &&
           waitpid(waiting, &status, WUNTRACED) == waiting && WIFSTOPPED(status) &&
           read(ends[0], &good, 1) == 1 && good;
}

static void who_waits_for_the_end_lives_on(void **unused)
{
    int status;
    (void)unused;
    pid_t child = fork();
    if (!child) {
        if (unshare(CLONE_NEWPID | CLONE_NEWNS))
            _exit(77);
        child = fork();
        if (!child)
            _exit(!script_lives_on());
        waitpid(child, &status, 0);
        _exit(WEXITSTATUS(status));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_of_its_parent_stays),
        cmocka_unit_test(inherited_files_are_closed),
        cmocka_unit_test(own_dead_are_not_waited_for),
        cmocka_unit_test(who_waits_for_the_end_lives_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
