/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/release.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "lethe/kernel/claimed.h"
#include "lethe/kernel/stop.h"
#include "lethe/kernel/sys.h"
#include "lethe/kernel/tracing.h"

/* Thaws until the kernel refuses, since newer kernels count how often a file system was frozen. False
 * where the path leads to another file system, which covers this one. */
static bool thaw(const struct lethe_mount *m)
{
    enum { TIMES_MAX = 16 };
    struct stat st;
    int fd = lethe_sys->open(m->path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return false;
    for (int i = 0; i < TIMES_MAX && lethe_sys->ioctl(fd, FITHAW, NULL) >= 0; i++)
        ;
    bool covered =
        m->devno.major && !fstat(fd, &st) && st.st_dev != makedev(m->devno.major, m->devno.minor);
    lethe_sys->close(fd);
    return !covered;
}

/* True when nothing is in flight to the device. Thawing waits for writers, and a file system with
 * writers is not frozen. */
static bool is_idle(const struct lethe_block *block)
{
    char text[64];
    lethe_sys_read_block(block->name, "inflight", text, sizeof text);
    return !text[strspn(text, " 0")];
}

static void resume(const struct lethe_snapshot *s, const struct lethe_policy *policy,
                   struct lethe_progress *progress)
{
    for (size_t i = 0; i < s->n_blocks; i++) {
        const struct lethe_block *b = &s->blocks[i];
        if (!lethe_stop_is_suspended(b) ||
            !lethe_task_beginf(progress, lethe_task_id_of_device(LETHE_TASK_RESUME, b->devno),
                               policy->step_ms, "resume %.64s", b->name))
            continue;
        lethe_stop_resume(b);
        lethe_task_done(progress);
    }
}

/* Waits a little for what is in flight to a file system that lies on one that was just thawed. */
static bool becomes_idle(const struct lethe_block *block, int64_t end_ms)
{
    const struct timespec pause = {0, 20 * 1000 * 1000};
    while (!is_idle(block)) {
        if (lethe_sys_now_ms() >= end_ms)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

/* True where no path leads to a file system that may be frozen: it was detached, or another mount
 * namespace has it. */
static bool is_out_of_reach(const struct lethe_snapshot *s, size_t block)
{
    for (size_t i = 0; i < s->n_mounts; i++)
        if (s->mounts[i].device == block)
            return false;
    return lethe_claimed_by(&s->blocks[block]);
}

/* Has the kernel thaw all file systems (sysrq j), which it does in a thread of its own. */
static void thaw_everything(const struct lethe_policy *policy, struct lethe_progress *progress)
{
    const struct timespec while_it_does = {0, 100 * 1000 * 1000};
    if (!lethe_task_begin(progress, lethe_task_id(LETHE_TASK_THAW, 0), policy->step_ms,
                          "thaw what no path leads to"))
        return;
    lethe_sys->write_file("/proc/sysrq-trigger", "j");
    nanosleep(&while_it_does, NULL);
    lethe_task_done(progress);
}

/* Resumes devices first: that thaws what lies on them. */
void lethe_release_frozen(const struct lethe_snapshot *snapshot, const struct lethe_policy *policy,
                          struct lethe_progress *progress)
{
    enum { IDLE_MS = 500 };
    bool all = true;
    if (policy->writes_back)
        resume(snapshot, policy, progress);
    const int64_t end_ms = lethe_sys_now_ms() + IDLE_MS;
    for (size_t i = 0; i < snapshot->n_mounts; i++) {
        const struct lethe_mount *m = &snapshot->mounts[i];
        if (!lethe_mount_is_stored(m) || lethe_mount_is_answered_for(snapshot, i) ||
            !lethe_mount_is_writable(m) || !becomes_idle(&snapshot->blocks[m->device], end_ms) ||
            lethe_mount_find(snapshot, m->devno) != i ||
            !lethe_task_beginf(progress, lethe_task_id_of_device(LETHE_TASK_THAW, m->devno),
                               policy->step_ms, "thaw %.80s", m->path))
            continue;
        all &= thaw(m);
        lethe_task_done(progress);
    }
    for (size_t i = 0; i < snapshot->n_blocks; i++)
        all &= !is_out_of_reach(snapshot, i);
    if (!all)
        thaw_everything(policy, progress);
}

void lethe_release_probes(const struct lethe_policy *policy, struct lethe_progress *progress)
{
    if (!lethe_task_begin(progress, lethe_task_id(LETHE_TASK_REMOVE_PROBES, 0), policy->step_ms,
                          "remove uprobes"))
        return;
    if (lethe_tracing_open())
        lethe_tracing_remove_probes();
    lethe_task_done(progress);
}
