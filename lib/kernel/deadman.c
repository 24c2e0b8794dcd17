/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/deadman.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "lethe/kernel/keys.h"
#include "lethe/kernel/log.h"
#include "lethe/kernel/power.h"
#include "lethe/kernel/process.h"
#include "lethe/kernel/self.h"
#include "lethe/kernel/sys.h"

enum { KEYS_MS = 2000, TELL_MS = 500, POWER_MS = 4000 };

static const struct lethe_policy hurry = {.name = "deadman", .step_ms = 1000};

static int wipe_keys(struct lethe_progress *progress, void *unused)
{
    (void)unused;
    pid_t cutting = lethe_keys_cut_off(LETHE_KEYS_ALL, progress);
    lethe_keys_wipe(LETHE_KEYS_ALL, &hurry, progress);
    lethe_keys_stop_cutting(cutting);
    return 0;
}

/* Says what was under way, which stands in the memory that the workers share with the deadman. */
static int tell(struct lethe_progress *progress, void *context)
{
    const struct lethe_progress *work = context;
    char memory[160];
    (void)progress;
    lethe_log_to_kernel();
    lethe_log(LETHE_LOG_ERROR,
              "the work has not ended in time: the deadman ends the machine, NOT all is gone");
    if (!work)
        return 0;
    lethe_fill_print(memory, sizeof memory, &work->account.fill);
    lethe_log(
        LETHE_LOG_ERROR,
        "not done: %.*s, and all that comes after it; %llu MiB in %llu files of %u RAM file "
        "systems zeroed, %s, NOT all is gone",
        (int)sizeof work->what, work->what, (unsigned long long)(work->account.erased_bytes >> 20),
        (unsigned long long)work->account.erased_files, work->account.erased_file_systems, memory);
    return 0;
}

/* Waits until `dead_ms`, or, if that is 0, until the supervisor has pinged no watchdog for a minute.
 * False as soon as the parent has ended, if `looks`. */
static bool outwait(int64_t dead_ms, const struct lethe_progress *work, pid_t parent, bool looks)
{
    enum { LOOKS_MAX = 600 }; /* the machine may stand still meanwhile: no clock is looked at */
    const struct timespec pause = {0, 100 * 1000 * 1000};
    unsigned before = 0, same = 0;
    for (; dead_ms ? lethe_sys_now_ms() < dead_ms : same < LOOKS_MAX; nanosleep(&pause, NULL)) {
        if (looks && getppid() != parent)
            return false;
        same = work && work->beats && work->beats == before ? same + 1 : 0;
        before = work ? work->beats : 0;
    }
    return true;
}

pid_t lethe_deadman_start(int64_t dead_ms, enum lethe_verb verb, struct lethe_progress *work,
                          void (*go_on)(const void *context), const void *context)
{
    const pid_t parent = getpid();
    struct lethe_progress *progress = lethe_progress_new();
    pid_t deadman = lethe_supervise_fork();
    if (deadman)
        return deadman;
    lethe_self_harden();
    lethe_log_close();
    if (!outwait(dead_ms, work, parent, go_on))
        go_on(context);
    lethe_process_hurry(0, true);
    if (progress) {
        lethe_supervise(progress, wipe_keys, NULL, &(struct lethe_supervisor){.total_ms = KEYS_MS});
        lethe_supervise(progress, tell, work, &(struct lethe_supervisor){.total_ms = TELL_MS});
    }
    lethe_power_end(verb, NULL, POWER_MS);
    _exit(1);
}
