/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/power.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lethe/kernel/kexec.h"
#include "lethe/kernel/log.h"
#include "lethe/kernel/sys.h"
#include "lethe/kernel/watchdog.h"

enum { FALLBACK_MS = 3000 };

void lethe_power_prepare(void)
{
    static const struct lethe_sys_setting settings[] = {
        {"/proc/sys/kernel/panic", "10"},
        {"/proc/sys/kernel/panic_on_warn", "0"},
        {"/proc/sys/kernel/panic_on_oops", "0"}, /* it costs a worker; a panic, all that is left */
        {"/proc/sys/kernel/hung_task_panic", "0"},
        {"/proc/sys/kernel/softlockup_panic", "0"},
        {"/proc/sys/kernel/hardlockup_panic", "0"},
        {"/proc/sys/kernel/panic_on_rcu_stall", "0"},
        {"/proc/sys/kernel/oops_limit", "0"}, /* 0: as many as there are (Linux 6.2) */
        {"/proc/sys/kernel/warn_limit", "0"},
        {"/proc/sys/vm/panic_on_oom", "0"},
        {"/proc/sys/vm/overcommit_memory",
         "1"}, /* a worker's fork() is not refused for its arena */
        {"/proc/sys/kernel/printk_devkmsg", "on"},
        {"/sys/kernel/rcu_expedited", "1"}, /* device-mapper waits for RCU several times a device */
        {"/proc/sys/kernel/pid_max", "4194304"}, /* a fork bomb may have used up all numbers */
        {"/proc/sys/kernel/threads-max", "1000000"},
        {"/proc/sys/vm/max_map_count", "1000000"},
        {"/proc/sys/fs/mount-max", "1000000"},
    };
    lethe_sys_write_settings(settings, sizeof settings / sizeof *settings);
    /* Otherwise a panic starts the kernel for a crash dump (kdump), with RAM as it is. */
    lethe_kexec_unload_crash();
}

/* A dump begins where the log was last cleared (kmsg_dump_rewind(), kernel/printk/printk.c). */
void lethe_power_keep_log(void)
{
    enum { SYSLOG_ACTION_CLEAR = 5 };
    if (klogctl(SYSLOG_ACTION_CLEAR, NULL, 0))
        return;
    lethe_sys->write_file("/sys/module/printk/parameters/always_kmsg_dump", "Y");
}

int lethe_power_call(enum lethe_verb verb, const char *argument)
{
    switch (verb) {
    case LETHE_VERB_HALT:
        return lethe_sys->reboot(LINUX_REBOOT_CMD_HALT, NULL);
    case LETHE_VERB_KEXEC:
        if (lethe_kexec_is_loaded())
            return lethe_sys->reboot((int)LINUX_REBOOT_CMD_KEXEC, NULL);
        lethe_log(LETHE_LOG_ERROR, "kexec: no kernel is loaded, rebooting");
        return lethe_sys->reboot(LINUX_REBOOT_CMD_RESTART, NULL);
    case LETHE_VERB_REBOOT:
        if (argument && argument[0] && !lethe_sys->reboot((int)LINUX_REBOOT_CMD_RESTART2, argument))
            return 0;
        return lethe_sys->reboot(LINUX_REBOOT_CMD_RESTART, NULL);
    case LETHE_VERB_NONE:
    case LETHE_VERB_POWEROFF:
    case LETHE_VERB_EXIT:
        break;
    }
    return lethe_sys->reboot(LINUX_REBOOT_CMD_POWER_OFF, NULL);
}

/* Gives a child `ms` for the call. A failure is known at once and without a timer;
 * stay_on_first_processor() says why. */
static int try_reboot(enum lethe_verb verb, const char *argument, int64_t ms)
{
    const struct timespec tick = {0, 200 * 1000 * 1000};
    int status;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    pid_t child = fork();
    if (!child)
        _exit(-lethe_power_call(verb, argument) & 127);
    if (child < 0)
        return lethe_power_call(verb, argument);
    for (int64_t end = lethe_sys_now_ms() + ms; lethe_sys_now_ms() < end;) {
        lethe_watchdog_ping(NULL);
        if (waitpid(child, &status, WNOHANG) == child)
            return WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR;
        sigtimedwait(&set, NULL, &tick);
    }
    return -ETIMEDOUT;
}

/* A power-off that comes back has stopped all processors but the first, and the timers with them
 * (native_machine_shutdown(); seen after a suspend in QEMU). So the process that tries the next way
 * has to be on the first processor, and be woken by the end of the child that tried. */
static void stay_on_first_processor(void)
{
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    sched_setaffinity(0, sizeof first, &first);
}

static void wait_without_timer(int64_t ms)
{
    for (int64_t end = lethe_sys_now_ms() + ms; lethe_sys_now_ms() < end;)
        sched_yield();
}

int lethe_power_end(enum lethe_verb verb, const char *argument, int64_t ms)
{
    stay_on_first_processor();
    int r = try_reboot(verb, argument, ms);
    lethe_log(LETHE_LOG_ERROR, "%s: reboot(2) did not end the machine: %s; trying all other ways",
              lethe_verb_name(verb), r ? strerror(-r) : "it came back");
    /* A call that hangs, or came back with the machine half stopped, keeps reboot(2) locked. */
    bool refused = r && r != -ETIMEDOUT;
    if (refused && verb != LETHE_VERB_REBOOT && verb != LETHE_VERB_KEXEC)
        try_reboot(LETHE_VERB_POWEROFF, NULL, FALLBACK_MS);
    if (refused)
        try_reboot(LETHE_VERB_REBOOT, NULL, FALLBACK_MS);
    if (r) {
        lethe_sys->write_file("/proc/sysrq-trigger", "o");
        wait_without_timer(FALLBACK_MS);
    }
    lethe_sys->write_file("/proc/sysrq-trigger", "b");
    return r;
}
