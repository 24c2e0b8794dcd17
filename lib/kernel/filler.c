/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/filler.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"
#include "lethe/kernel/taker.h"

enum { DECOYS = 8, TAKERS_MAX = 4 * CPU_SETSIZE, POLL_MS = 2 };

static struct {
    cpu_set_t processors;
    int n_processors;
    struct lethe_taker *takers; /* shared with them; the first is that of the rest */
    int n_takers;
    pid_t decoys[DECOYS];
    char printk[64]; /* what was set before */
} filler;

uint64_t lethe_filler_free_kib(void)
{
    return lethe_taker_free_bytes() >> 10;
}

static void lower_reserves(void)
{
    static const struct lethe_sys_setting settings[] = {
        {"/proc/sys/vm/panic_on_oom", "0"},
        {"/proc/sys/vm/oom_kill_allocating_task", "0"},
        {"/proc/sys/vm/overcommit_memory", "1"},
        {"/proc/sys/vm/min_free_kbytes", "0"},
        {"/proc/sys/vm/enable_soft_offline", "1"}, /* read_back.h gives pages up (Linux 6.11) */
        {"/proc/sys/vm/oom_dump_tasks", "0"},
        {"/proc/sys/vm/watermark_scale_factor", "1"},
        {"/proc/sys/vm/watermark_boost_factor", "0"},
        {"/proc/sys/vm/admin_reserve_kbytes", "0"},
        {"/proc/sys/vm/user_reserve_kbytes", "0"},
        {"/proc/sys/vm/lowmem_reserve_ratio", "0 0 0 0 0"},
    };
    lethe_sys_write_settings(settings, sizeof settings / sizeof *settings);
}

static void wait_to_be_killed(void)
{
    for (;;)
        pause();
}

static pid_t start(const char *oom_score)
{
    pid_t child = fork();
    if (child)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    lethe_sys->write_file("/proc/self/oom_score_adj", oom_score);
    munlockall();
    return 0;
}

/* Leaves one decoy until everything else has ended: without a process that may be killed the kernel
 * panics. */
static void start_decoys(void)
{
    for (int i = 0; i < DECOYS; i++) {
        filler.decoys[i] = start(i ? "1000" : "-999");
        if (!filler.decoys[i])
            wait_to_be_killed();
    }
}

static void end_child(pid_t *pid)
{
    if (*pid > 0) {
        lethe_sys->kill(*pid, SIGKILL);
        waitpid(*pid, NULL, 0);
    }
    *pid = 0;
}

/* Takes all processors: whoever started this process may have left it one. */
static void find_processors(void)
{
    memset(&filler.processors, 0xff, sizeof filler.processors);
    sched_setaffinity(0, sizeof filler.processors, &filler.processors);
    CPU_ZERO(&filler.processors);
    sched_getaffinity(0, sizeof filler.processors, &filler.processors);
    filler.n_processors = CPU_COUNT(&filler.processors);
}

int lethe_filler_open(void)
{
    if (!filler.takers) {
        void *shared = mmap(NULL, TAKERS_MAX * sizeof *filler.takers, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (shared == MAP_FAILED)
            return -errno;
        filler.takers = shared;
    }
    filler.n_takers = 1;
    lower_reserves();
    find_processors();
    lethe_sys_read_line(AT_FDCWD, "/proc/sys/kernel/printk", filler.printk, sizeof filler.printk);
    /* The OOM killer's reports, a page or two each, stay off the console. */
    lethe_sys->write_file("/proc/sys/kernel/printk", "1");
    start_decoys();
    return 0;
}

void lethe_filler_close(void)
{
    for (int i = 0; i < filler.n_takers; i++)
        if (filler.takers[i].pid > 0)
            lethe_sys->kill(filler.takers[i].pid, SIGKILL);
    for (int i = 0; i < filler.n_takers; i++)
        end_child(&filler.takers[i].pid);
    for (int i = 0; i < DECOYS; i++)
        end_child(&filler.decoys[i]);
    filler.n_takers = 1;
    lethe_sys->write_file("/proc/sys/kernel/printk", filler.printk);
}

static void pin(int processor)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    sched_setaffinity(0, sizeof one, &one);
}

static void take_share(struct lethe_taker *t)
{
    lethe_taker_take_share(t, filler.n_processors);
}

static void start_taker(struct lethe_taker *t, const char *oom_score, int processor,
                        void (*work)(struct lethe_taker *))
{
    t->holds = false;
    t->turn = t->n_turns = 0;
    t->pages = 0;
    pid_t child = start(oom_score);
    if (child) {
        t->pid = child;
        return;
    }
    pin(processor);
    work(t);
    t->holds = true;
    wait_to_be_killed();
}

/* A filler that was killed holds nothing, and is not busy. */
static bool is_busy(struct lethe_taker *t)
{
    if (t->pid > 0 && waitpid(t->pid, NULL, WNOHANG) == t->pid)
        t->pid = 0;
    return t->pid > 0 && !t->holds;
}

static void wait_for_all(struct lethe_taker *takers, int n, int64_t end_ms)
{
    const struct timespec pause = {0, POLL_MS * 1000000};
    for (int i = 0; i < n && lethe_sys_now_ms() < end_ms;)
        if (is_busy(&takers[i]))
            nanosleep(&pause, NULL);
        else
            i++;
}

/* Stops the fillers that still take when the time is over. They hold what they have. */
static void stop_busy(struct lethe_taker *takers, int n)
{
    for (int i = 0; i < n; i++)
        if (is_busy(&takers[i]))
            lethe_sys->kill(takers[i].pid, SIGSTOP);
}

/* Starts a filler on each processor, and again as long as that gets more: an address space may be
 * smaller than the memory. */
void lethe_filler_take(int64_t end_ms)
{
    enum { MORE = 16 << 20 };
    const uint64_t floor = lethe_taker_floor(filler.n_processors);
    uint64_t before, after = lethe_taker_free_bytes();
    do {
        struct lethe_taker *first = &filler.takers[filler.n_takers];
        before = after;
        for (int i = 0; i < CPU_SETSIZE && filler.n_takers < TAKERS_MAX; i++)
            if (CPU_ISSET(i, &filler.processors))
                start_taker(&filler.takers[filler.n_takers++], "0", i, take_share);
        int n = (int)(&filler.takers[filler.n_takers] - first);
        wait_for_all(first, n, end_ms);
        stop_busy(first, n);
        after = lethe_taker_free_bytes();
    } while (after > 2 * floor && after + MORE < before && lethe_sys_now_ms() < end_ms);
}

/* Gives this filler a score at which the OOM killer takes it before those of the processors. */
static void start_rest(struct lethe_taker *t)
{
    int processor = 0;
    while (processor < CPU_SETSIZE - 1 && !CPU_ISSET(processor, &filler.processors))
        processor++;
    end_child(&t->pid);
    start_taker(t, "500", processor, lethe_taker_take_rest);
}

void lethe_filler_take_rest(int64_t end_ms)
{
    struct lethe_taker *t = &filler.takers[0];
    is_busy(t);
    if (t->pid <= 0 || !lethe_taker_go_on(t))
        start_rest(t);
    wait_for_all(t, 1, end_ms);
    stop_busy(t, 1);
}

uint64_t lethe_filler_held_kib(void)
{
    uint64_t pages = 0;
    for (int i = 0; i < filler.n_takers; i++) {
        is_busy(&filler.takers[i]);
        pages += filler.takers[i].pid > 0 ? filler.takers[i].pages : 0;
    }
    return pages * (lethe_sys->page_size() / 1024);
}
