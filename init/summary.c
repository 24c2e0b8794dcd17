/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "summary.h"

#include <stdio.h>
#include <string.h>

#include "lethe/kernel/left.h"
#include "lethe/kernel/log.h"
#include "lethe/kernel/power.h"
#include "lethe/kernel/sys.h"
#include "lethe/plan/page.h"

/* Prints what an emergency adds: how long each kind of secret has lasted. */
static void print_emergency(char *out, size_t size, const struct lethe_end *end,
                            const struct lethe_progress *p)
{
    out[0] = '\0';
    if (end->policy->tells_times)
        snprintf(out, size,
                 " (emergency %s PID 1: %lld keys %lld ms, processes %lld ms, files %lld ms)",
                 end->init_stays ? "beside" : "as", (long long)end->keys, (long long)end->keys_ms,
                 (long long)end->stopped_ms,
                 (long long)(p->account.erased_ms ? p->account.erased_ms - end->started_ms : 0));
}

static bool is_cleared(const struct lethe_end *end, const struct lethe_progress *p)
{
    return end->cmdline.scrub == LETHE_CMDLINE_SCRUB_OFF ||
           (lethe_fill_is_clean(&p->account.fill) &&
            (p->account.fill.kernel_clears || p->account.slabs_refilled));
}

void lethe_summary_print(const struct lethe_end *end, const struct lethe_progress *p, bool clean)
{
    int64_t ms = lethe_sys_now_ms() - end->started_ms;
    enum lethe_verb verb = end->verb == LETHE_VERB_NONE ? LETHE_VERB_POWEROFF : end->verb;
    /* A filler can't reach objects in slabs that stay in use. */
    const char *verdict = !clean                      ? "NOT all is gone, see above"
                          : p->account.fill.is_filled ? "nothing else is known to be left"
                                                      : "nothing is left";
    char memory[160], emergency[120];
    lethe_fill_print(memory, sizeof memory, &p->account.fill);
    print_emergency(emergency, sizeof emergency, end, p);
    lethe_log(clean ? LETHE_LOG_SUMMARY : LETHE_LOG_ERROR,
              "%s after %lld.%03lld s%s: %llu MiB in %llu files of %u RAM file systems zeroed, %u "
              "mounts and %u devices taken "
              "apart, %s, %s",
              lethe_verb_name(verb), (long long)(ms / 1000), (long long)(ms % 1000), emergency,
              (unsigned long long)(p->account.erased_bytes >> 20),
              (unsigned long long)p->account.erased_files, p->account.erased_file_systems,
              p->account.unmounted, p->account.stopped, memory, verdict);
}

unsigned lethe_summary_left(const struct lethe_end *end, const struct lethe_progress *p, bool clean)
{
    if (clean)
        return 0;
    unsigned left = (p->account.not_erased ? LETHE_PAGE_LEFT_FILES : 0) |
                    (is_cleared(end, p) ? 0 : LETHE_PAGE_LEFT_MEMORY);
    return left ? left : LETHE_PAGE_LEFT_PARTS;
}

bool lethe_summary_is_clean(const struct lethe_end *end, const struct lethe_progress *p)
{
    return !lethe_left_report_stuck(p) && is_cleared(end, p) && !p->account.not_erased &&
           !p->account.kept;
}

void lethe_summary_keep(const struct lethe_progress *progress)
{
    char stuck[300] = "";
    lethe_power_keep_log();
    for (unsigned i = 0; progress && i < progress->n_stuck; i++) {
        size_t n = strlen(stuck);
        snprintf(stuck + n, sizeof stuck - n, " %s", lethe_task_word(progress->stuck[i]));
    }
    if (progress)
        lethe_log(LETHE_LOG_KEPT,
                  "NOT all is gone: %u things left, %u failures, %u not erased, %u buffers kept, "
                  "memory %s, stuck:%s",
                  progress->account.left, progress->account.failed, progress->account.not_erased,
                  progress->account.kept,
                  lethe_fill_is_clean(&progress->account.fill) ? "cleared" : "not cleared",
                  stuck[0] ? stuck : " nothing");
}
