/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/scrub.h"

#include <string.h>
#include <unistd.h>

#include "lethe/kernel/clearing.h"
#include "lethe/kernel/filler.h"
#include "lethe/kernel/log.h"
#include "lethe/kernel/read_back.h"
#include "lethe/kernel/slab.h"
#include "lethe/kernel/sys.h"

void lethe_scrub_look(const struct lethe_policy *policy, struct lethe_progress *progress)
{
    const uint64_t task = lethe_task_id(LETHE_TASK_LOOK_AT_CLEARING, 0);
    progress->account.fill.kernel_clears = lethe_task_is_skipped(task);
    if (!lethe_task_begin(progress, task, policy->step_ms,
                          "look whether the kernel zeroes what is freed"))
        return;
    progress->account.fill.kernel_clears = lethe_clearing_look() == LETHE_CLEARING_ZERO;
    lethe_task_done(progress);
}

static bool is_wanted(const struct lethe_cmdline *cmdline, const struct lethe_progress *progress)
{
    return cmdline->scrub == LETHE_CMDLINE_SCRUB_ON ||
           (cmdline->scrub == LETHE_CMDLINE_SCRUB_AUTO && !progress->account.fill.kernel_clears);
}

/* Has a time of its own: what the kernel frees late may keep a busy machine waiting, and nothing of
 * the overwriting is to be lost by that. */
static void settle(const struct lethe_policy *policy, struct lethe_progress *progress)
{
    enum { WAITING = 1 };
    if (!lethe_task_begin(progress, lethe_task_id(LETHE_TASK_REFILL_SLABS, WAITING),
                          policy->step_ms, "have freed kernel objects given back"))
        return;
    lethe_slab_settle();
    lethe_task_done(progress);
}

static void overwrite_objects(const struct lethe_policy *policy, int64_t ms,
                              enum lethe_log_level level, struct lethe_progress *progress)
{
    struct lethe_slab_refilled refill;
    progress->account.slabs_refilled = false;
    if (!lethe_task_begin(progress, lethe_task_id(LETHE_TASK_REFILL_SLABS, 0), ms + policy->step_ms,
                          "overwrite freed kernel objects"))
        return;
    int r = lethe_slab_refill(lethe_sys_now_ms() + ms, &refill);
    lethe_task_done(progress);
    progress->account.slabs_refilled = !r && !refill.left;
    if (r)
        lethe_log(level, "freed kernel objects are not overwritten: %s", strerror(-r));
    else if (refill.left)
        lethe_log(level, "freed kernel objects: %llu are not overwritten (%s), %llu are",
                  (unsigned long long)refill.left, refill.cache,
                  (unsigned long long)refill.objects);
}

/* Where the kernel clears what is freed it leaves out the objects of caches that have a constructor,
 * such as ext4's inodes, where the targets of short links lie; and some empty slabs are kept: these
 * are given back at the last. */
void lethe_scrub_objects(const struct lethe_policy *policy, const struct lethe_cmdline *cmdline,
                         int64_t ms, bool is_last, struct lethe_progress *progress)
{
    if (is_wanted(cmdline, progress)) {
        settle(policy, progress);
        overwrite_objects(policy, ms, is_last ? LETHE_LOG_ERROR : LETHE_LOG_VERBOSE, progress);
        settle(policy, progress);
    } else if (is_last) {
        settle(policy, progress);
    }
}

/* What the log tells of the time so far: milliseconds, and how many rounds. */
struct account {
    int64_t filling, looking;
    int rounds;
};

static void tell(const struct lethe_fill *fill, const struct account *account)
{
    lethe_log(
        LETHE_LOG_VERBOSE,
        "free memory: %llu KiB held, %llu free, %llu kept by processors, %llu read back, %llu "
        "pages not zero; filled in %lld ms, read back in %lld ms, %d rounds",
        (unsigned long long)fill->held_kib, (unsigned long long)fill->free_kib,
        (unsigned long long)fill->kept_kib, (unsigned long long)fill->read_kib,
        (unsigned long long)fill->not_zero, (long long)account->filling,
        (long long)account->looking, account->rounds);
}

/* Fills by `take`, and counts what is held and what is still free then. */
static void fill(enum lethe_task task, const char *what, void (*take)(int64_t end_ms),
                 int64_t end_ms, int64_t hangs_ms, struct lethe_progress *p)
{
    if (!lethe_task_begin(p, lethe_task_id(task, 0), hangs_ms, what))
        return;
    take(end_ms);
    lethe_task_done(p);
    p->account.fill.held_kib = lethe_filler_held_kib();
    p->account.fill.free_kib = lethe_filler_free_kib();
    p->account.fill.kept_kib = lethe_read_back_kept_kib();
    p->account.fill.is_filled = true;
}

static void open_reader(const struct lethe_policy *policy, struct lethe_progress *p)
{
    if (!lethe_task_begin(p, lethe_task_id(LETHE_TASK_READ_BACK, 0), policy->step_ms,
                          "see how free memory can be read back"))
        return;
    lethe_read_back_open();
    lethe_task_done(p);
}

static void look(uint64_t pages_max, int64_t end_ms, int64_t hangs_ms, struct lethe_progress *p)
{
    if (!lethe_task_begin(p, lethe_task_id(LETHE_TASK_READ_BACK, 0), hangs_ms,
                          "read free memory back"))
        return;
    lethe_read_back(pages_max, end_ms, &p->account.fill);
    lethe_task_done(p);
}

static void drain_and_take_rest(int64_t end_ms)
{
    lethe_read_back_drain(end_ms);
    lethe_filler_take_rest(end_ms);
}

/* False while processors keep much on their own lists, which grow to some MiB since 6.7: 22 MiB
 * with 59 pages of a user's were seen. */
static bool is_enough(const struct lethe_fill *fill)
{
    enum { KEPT_KIB_EACH = 256 };
    return !fill->not_zero && fill->kept_kib <= LETHE_FILL_UNKNOWN_KIB_MAX &&
           fill->kept_kib <= KEPT_KIB_EACH * (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
}

/* Returns when reading and filling again have to end. */
static int64_t verify_end(const struct lethe_cmdline *cmdline, int64_t end_ms)
{
    int64_t asked = lethe_sys_now_ms() + 1000 * (int64_t)cmdline->verify_seconds;
    return cmdline->verify_seconds && asked < end_ms ? asked : end_ms;
}

/* Fills and looks, in rounds. What the kernel gives back meanwhile is another page in each round, on
 * a busy machine for more than eight of them; some pages may never be zero. So the rounds are
 * limited, and the rest is reported. */
static void fill_and_look(const struct lethe_policy *policy, const struct lethe_cmdline *cmdline,
                          int64_t end_ms, struct lethe_progress *p, struct account *account)
{
    enum { ROUNDS_MIN = 8, SETTLE_MS = 15000 };
    const bool looks = cmdline->verify != LETHE_CMDLINE_VERIFY_OFF;
    int64_t at = lethe_sys_now_ms(), hangs_ms = (end_ms > at ? end_ms - at : 0) + policy->step_ms;
    fill(LETHE_TASK_FILL_MEMORY, "fill free memory", lethe_filler_take, end_ms, hangs_ms, p);
    end_ms = verify_end(cmdline, end_ms);
    const int64_t settled_ms = lethe_sys_now_ms() + SETTLE_MS;
    do {
        fill(LETHE_TASK_FILL_REST, "fill the rest of free memory",
             looks ? drain_and_take_rest : lethe_filler_take_rest, end_ms, hangs_ms, p);
        account->filling += lethe_sys_now_ms() - at;
        at = lethe_sys_now_ms();
        if (looks)
            look(0, end_ms, hangs_ms, p);
        account->looking += lethe_sys_now_ms() - at;
        at = lethe_sys_now_ms();
        account->rounds++;
        tell(&p->account.fill, account);
    } while (!is_enough(&p->account.fill) && at < end_ms &&
             (account->rounds < ROUNDS_MIN || (p->account.fill.not_zero && at < settled_ms)));
}

/* Reads 256 MiB of what the kernel has cleared, which takes well under a second. */
static void look_at_some(const struct lethe_policy *policy, const struct lethe_cmdline *cmdline,
                         int64_t end_ms, struct lethe_progress *p)
{
    enum { PAGES_MAX = 65536 };
    if (!p->account.fill.kernel_clears || cmdline->verify == LETHE_CMDLINE_VERIFY_OFF)
        return;
    open_reader(policy, p);
    look(cmdline->verify == LETHE_CMDLINE_VERIFY_ON ? 0 : PAGES_MAX, verify_end(cmdline, end_ms),
         policy->memory_ms, p);
    lethe_read_back_close();
}

void lethe_scrub_memory(const struct lethe_policy *policy, const struct lethe_cmdline *cmdline,
                        int64_t end_ms, struct lethe_progress *progress)
{
    struct account account = {0};
    /* What an earlier sweep has seen is no longer so, should this one hang. */
    progress->account.fill =
        (struct lethe_fill){.kernel_clears = progress->account.fill.kernel_clears};
    if (!is_wanted(cmdline, progress)) {
        look_at_some(policy, cmdline, end_ms, progress);
        return;
    }
    open_reader(policy, progress);
    int r = lethe_filler_open();
    if (r)
        lethe_log(LETHE_LOG_ERROR, "free memory could not be filled: %s", strerror(-r));
    else
        fill_and_look(policy, cmdline, end_ms, progress, &account);
    lethe_filler_close();
    lethe_read_back_close();
}
