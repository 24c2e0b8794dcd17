/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/network.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lethe/kernel/log.h"
#include "lethe/kernel/stop.h"
#include "lethe/kernel/sys.h"

/* With tcp_max_orphans below zero every orphaned socket is over the limit, so the kernel drops
 * it at once; so it does with those in TIME-WAIT, which keep the keys of TCP-MD5 and TCP-AO
 * (Documentation/networking/ip-sysctl.rst). */
void lethe_network_close_at_once(void)
{
    lethe_sys->write_file("/proc/sys/net/ipv4/tcp_max_orphans", "-1");
    lethe_sys->write_file("/proc/sys/net/ipv4/tcp_max_tw_buckets", "0");
}

static void write_back(const struct lethe_mount *m, const struct lethe_policy *policy,
                       struct lethe_progress *progress)
{
    const int64_t ms = progress->n_stuck ? policy->step_ms : policy->answer_ms;
    const uint64_t task = lethe_task_id_of_device(LETHE_TASK_WRITE_BACK_REMOTE, m->devno);
    if (lethe_task_is_finished(progress, task) ||
        !lethe_task_beginf(progress, task, ms, "write %.80s (%.20s) back", m->path, m->fstype))
        return;
    int fd = lethe_sys->open(m->path, O_RDONLY | O_NONBLOCK);
    if (fd >= 0) {
        lethe_sys->syncfs(fd);
        lethe_sys->close(fd);
    }
    lethe_task_done(progress);
    lethe_task_set_finished(progress, task);
}

/* Forces the mount in a mount namespace of a child: a copy there is never the last mount of the
 * file system, whose end would wait for the server. */
static void fail_requests(const char *path)
{
    pid_t child = fork();
    if (!child) {
        if (unshare(CLONE_NEWNS) ||
            lethe_sys->mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
            _exit(1);
        _exit(lethe_sys->umount(path, UMOUNT_NOFOLLOW | MNT_FORCE) != 0);
    }
    if (child > 0)
        waitpid(child, NULL, 0);
}

static bool is_stuck(const struct lethe_mount *m, const struct lethe_progress *progress)
{
    return lethe_task_is_stuck(progress,
                               lethe_task_id_of_device(LETHE_TASK_WRITE_BACK_REMOTE, m->devno));
}

static bool carries_silent(const struct lethe_snapshot *s, size_t block,
                           enum lethe_network_which which, const struct lethe_progress *progress)
{
    for (size_t i = 0; which == LETHE_NETWORK_GIVEN_UP && i < s->n_mounts; i++)
        if (s->mounts[i].device != LETHE_NONE && is_stuck(&s->mounts[i], progress) &&
            lethe_block_lies_on(s, s->mounts[i].device, block))
            return true;
    return which == LETHE_NETWORK_ALL;
}

static bool is_loop_in(const struct lethe_block *b, const struct lethe_mount *m)
{
    return b->kind == LETHE_BLOCK_LOOP && lethe_devno_is(b->file_devno, m->devno);
}

/* True when a mount's server is silent. A loop that goes past the page cache waits by itself, while
 * its file system has nothing to write back; so the loops count too. */
static bool is_silent(const struct lethe_snapshot *s, const struct lethe_mount *m,
                      enum lethe_network_which which, const struct lethe_progress *progress)
{
    bool silent = which == LETHE_NETWORK_ALL || is_stuck(m, progress);
    for (size_t i = 0; !silent && i < s->n_blocks; i++)
        silent = is_loop_in(&s->blocks[i], m) && carries_silent(s, i, which, progress);
    return silent && lethe_mount_is_remote(m);
}

static bool is_silent_host(const struct lethe_snapshot *s, const struct lethe_mount *m,
                           enum lethe_network_which which, const struct lethe_progress *progress)
{
    size_t i = 0;
    while (i < s->n_blocks && !is_loop_in(&s->blocks[i], m))
        i++;
    return i < s->n_blocks && is_silent(s, m, which, progress);
}

/* Ends the connections that nobody answers on, now or, where the kernel can't
 * (CONFIG_INET_DIAG_DESTROY), at their next time-out: their senders hold what the cutting waits
 * for. */
static void give_up_on(const char *what, uint64_t task, const struct lethe_policy *policy,
                       struct lethe_progress *progress)
{
    if (!progress->cut_off)
        lethe_sys->write_file("/proc/sys/net/ipv4/tcp_retries2", "0");
    progress->cut_off = true;
    lethe_sys->end_connections(!policy->is_patient);
    if (policy->is_patient && !lethe_task_is_finished(progress, task))
        lethe_log(LETHE_LOG_ERROR, "%.80s: nobody answers; what was not written is lost", what);
    lethe_task_set_finished(progress, task);
}

static void cut_mount(const struct lethe_mount *m, const struct lethe_policy *policy,
                      struct lethe_progress *progress)
{
    const uint64_t task = lethe_task_id_of_device(LETHE_TASK_CUT_OFF_REMOTE, m->devno);
    if (!lethe_task_beginf(progress, task, policy->step_ms, "cut %.80s (%.20s) off", m->path,
                           m->fstype))
        return;
    give_up_on(m->path, task, policy, progress);
    fail_requests(m->path);
    lethe_task_done(progress);
}

static void cut_device(const struct lethe_block *b, const struct lethe_policy *policy,
                       struct lethe_progress *progress)
{
    const uint64_t task = lethe_task_id_of_device(LETHE_TASK_CUT_OFF_NBD, b->devno);
    if (lethe_task_is_finished(progress, task) ||
        !lethe_task_beginf(progress, task, policy->step_ms, "cut %.64s (nbd) off", b->name))
        return;
    give_up_on(b->name, task, policy, progress);
    lethe_stop_cut_off(b);
    lethe_task_done(progress);
}

void lethe_network_write_or_cut(const struct lethe_snapshot *snapshot,
                                const struct lethe_policy *policy, struct lethe_progress *progress)
{
    const struct lethe_snapshot *s = snapshot;
    const enum lethe_network_which which =
        policy->is_patient ? LETHE_NETWORK_GIVEN_UP : LETHE_NETWORK_ALL;
    for (size_t i = s->n_mounts; policy->is_patient && i--;)
        if (lethe_mount_is_answered_for(s, i))
            write_back(&s->mounts[i], policy, progress);
    for (size_t i = 0; i < s->n_blocks; i++)
        if (s->blocks[i].kind == LETHE_BLOCK_NBD && carries_silent(s, i, which, progress))
            cut_device(&s->blocks[i], policy, progress);
    for (size_t i = s->n_mounts; i--;)
        if (is_silent(s, &s->mounts[i], which, progress))
            cut_mount(&s->mounts[i], policy, progress);
}

/* A mount that holds a loop's file stays, as often as it is forced. */
pid_t lethe_network_keep_failing(const struct lethe_snapshot *snapshot,
                                 enum lethe_network_which which,
                                 const struct lethe_progress *progress)
{
    const struct timespec pause = {0, 5 * 1000 * 1000};
    const struct lethe_snapshot *s = snapshot;
    size_t i = 0;
    while (i < s->n_mounts && !is_silent_host(s, &s->mounts[i], which, progress))
        i++;
    pid_t child = i < s->n_mounts ? fork() : -1;
    if (child)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;; nanosleep(&pause, NULL))
        for (i = 0; i < s->n_mounts; i++)
            if (is_silent_host(s, &s->mounts[i], which, progress))
                lethe_sys->umount(s->mounts[i].path, UMOUNT_NOFOLLOW | MNT_FORCE);
}

void lethe_network_stop_failing(pid_t child)
{
    if (child > 0)
        lethe_sys->kill(child, SIGKILL);
}
