/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/unmount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lethe/kernel/claimed.h"
#include "lethe/kernel/log.h"
#include "lethe/kernel/process.h"
#include "lethe/kernel/sys.h"

struct job {
    const struct lethe_snapshot *snapshot;
    const struct lethe_mount *mount;
    const struct lethe_policy *policy;
    struct lethe_progress *progress;
};

/* Detaches a mount with a descriptor held, which keeps the file system from being shut down: that
 * would wait for a dead device. A remote mount gets no descriptor, for opening it may ask its
 * server; MNT_FORCE fails what waits for an answer. */
static int detach_held(const struct lethe_mount *m)
{
    if (lethe_mount_is_remote(m))
        return lethe_sys->umount(m->path, UMOUNT_NOFOLLOW | MNT_FORCE | MNT_DETACH);
    int fd = lethe_sys->open(m->path, O_PATH);
    return fd < 0 ? fd : lethe_sys->umount(m->path, MNT_DETACH);
}

/* Where a FUSE daemon was killed and could not die, MNT_FORCE aborts the connection, as
 * /sys/fs/fuse/connections/N/abort does, so that nothing waits for an answer. A daemon that still
 * serves gets no MNT_FORCE, which would keep it from writing its data. */
static int flags_of(const struct job *j)
{
    bool serves = j->progress->n_daemons && !j->progress->cut_off;
    return UMOUNT_NOFOLLOW | (lethe_mount_is_fuse(j->mount) && !serves ? MNT_FORCE : 0);
}

/* Unmounts in a child, which is killed when it takes long: NFS 4 takes its leave of the server and
 * waits for the answer until it is killed. All pages of the mount are gone by then. */
static int unmount_silent(const struct lethe_mount *m, int flags)
{
    enum { LEAVE_MS = 500 };
    int status = 0;
    pid_t child = fork();
    if (child < 0)
        return lethe_sys->umount(m->path, flags);
    if (!child)
        _exit(-lethe_sys->umount(m->path, flags) & 127);
    if (!lethe_process_await(child, LEAVE_MS, &status))
        waitpid(child, &status, 0);
    return WIFEXITED(status) ? -WEXITSTATUS(status) : 0;
}

/* True where the unmount may have to wait for data to be written to a disk. */
static bool is_slow(const struct job *j)
{
    const struct lethe_mount *m = j->mount;
    return j->policy->writes_back && !j->progress->cut_off && lethe_mount_is_stored(m) &&
           lethe_mount_was_writable(m) && j->progress->n_aside < LETHE_SUPERVISE_ASIDE_MAX &&
           !lethe_block_is_ram(j->snapshot, m->device);
}

/* True for a file system that an error, or somebody, made read-only while it was mounted. An ext4
 * says itself which, and nothing is written to the others. */
static bool has_stopped_writing(const struct lethe_mount *m)
{
    static const char *const others[] = {"ext4", "squashfs", "iso9660", "udf", "erofs", "cramfs"};
    bool may_tell = !lethe_mount_is_writable(m) && lethe_mount_was_writable(m);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        may_tell &= strcmp(m->fstype, others[i]) != 0;
    return may_tell;
}

/* Unmounts, and tells whether data were lost, of which umount(2) says nothing. A copy of the mount
 * keeps the file system until it was asked. */
static int unmount_and_ask(const struct job *j, int flags)
{
    const char *path = j->mount->path;
    int copy = lethe_sys->copy(path), r = lethe_sys->umount(path, flags);
    int lost = copy >= 0 && !r ? lethe_sys->syncfs(copy) : 0;
    if (copy == -EIO) /* an XFS that was shut down opens nothing */
        lost = copy;
    if (lost)
        lethe_log(LETHE_LOG_ERROR, "not all that was written to %.64s is on it: %s",
                  j->snapshot->blocks[j->mount->device].name, strerror(-lost));
    else if (!r && has_stopped_writing(j->mount))
        lethe_log(LETHE_LOG_ERROR,
                  "%.64s had become read-only: what was written last may not be on it",
                  j->snapshot->blocks[j->mount->device].name);
    if (copy >= 0)
        lethe_sys->close(copy);
    return r;
}

/* Unmounts in a child that waits for its data. The mount is gone from the tree at once, so that the
 * work goes on with everything but the mount's devices. */
static int unmount_aside(const struct job *j, int flags)
{
    enum { AT_ONCE_MS = 1500 };
    const struct timespec pause = {0, 2 * 1000 * 1000};
    const struct lethe_block *b = &j->snapshot->blocks[j->mount->device];
    int status;
    pid_t child = fork();
    if (child < 0)
        return lethe_sys->umount(j->mount->path, flags);
    if (!child)
        _exit(-unmount_and_ask(j, flags) & 127);
    for (int64_t end = lethe_sys_now_ms() + AT_ONCE_MS; lethe_sys_now_ms() < end;
         nanosleep(&pause, NULL))
        if (waitpid(child, &status, WNOHANG) == child)
            return WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR;
    struct lethe_aside *a = &j->progress->aside[j->progress->n_aside];
    *a = (struct lethe_aside){.child = child, .devno = b->devno};
    snprintf(a->name, sizeof a->name, "%s", b->name);
    j->progress->n_aside++;
    return 0;
}

static int unmount_once(const struct job *j)
{
    const int flags = flags_of(j);
    if (j->progress->cut_off && lethe_mount_is_remote(j->mount))
        return unmount_silent(j->mount, flags);
    return is_slow(j) ? unmount_aside(j, flags) : lethe_sys->umount(j->mount->path, flags);
}

/* True while there are daemons or unmounts aside, which may still need what is in use. */
static bool is_gentle(const struct lethe_progress *progress)
{
    return progress->n_daemons || progress->n_aside;
}

/* Detaches what is still in use. Its data are written back first, since nobody waits for the last
 * user. It stays while those live who may need it, or the daemon that serves it. */
static int unmount_now(const struct job *j, bool lazy)
{
    const struct lethe_mount *m = j->mount;
    int r = lazy ? -EBUSY : unmount_once(j);
    if (r != -EBUSY || is_gentle(j->progress))
        return r;
    int fd = lethe_mount_is_stored(m) && j->policy->writes_back
                 ? lethe_sys->open(m->path, O_RDONLY | O_DIRECTORY)
                 : -1;
    if (fd >= 0) {
        lethe_sys->syncfs(fd);
        lethe_sys->close(fd);
    }
    return lethe_sys->umount(m->path, UMOUNT_NOFOLLOW | MNT_DETACH);
}

/* Tells when a file system was not closed clean. A device that another mount or a holder still has
 * is passed by, since umount(2) says nothing of those; the last look asks again. */
static void look_at_store(const struct lethe_block *b, const struct lethe_policy *policy,
                          struct lethe_progress *progress)
{
    if (!lethe_task_beginf(progress, lethe_task_id_of_device(LETHE_TASK_LOOK_AT_STORE, b->devno),
                           policy->step_ms, "look how %.64s was left", b->name))
        return;
    int r = lethe_claimed_by(b) || lethe_claimed_is_held(b) ? 0 : lethe_claimed_is_unclean(b);
    lethe_task_done(progress);
    progress->account.unclean += r > 0;
    if (r > 0)
        lethe_log(LETHE_LOG_ERROR, "the file system on %.64s was not closed clean", b->name);
    else if (r < 0) /* told alone: what has to be erased is not on it */
        lethe_log(LETHE_LOG_ERROR, "nobody knows whether the file system on %.64s is clean: %s",
                  b->name, strerror(-r));
}

static int64_t time_for(const struct job *j)
{
    if (j->progress->n_daemons && lethe_mount_is_remote(j->mount))
        return j->policy->answer_ms;
    return lethe_mount_is_stored(j->mount) ? lethe_policy_write_ms(j->policy, j->progress->n_stuck)
                                           : j->policy->step_ms;
}

int lethe_unmount(const struct lethe_snapshot *snapshot, const struct lethe_mount *m, bool lazy,
                  const char *text, const struct lethe_policy *policy,
                  struct lethe_progress *progress)
{
    const struct job j = {snapshot, m, policy, progress};
    int r;
    if (lethe_task_begin(progress, lethe_task_id(LETHE_TASK_UNMOUNT, m->id), time_for(&j), text))
        r = unmount_now(&j, lazy);
    else if (lethe_task_beginf(progress, lethe_task_id(LETHE_TASK_DETACH, m->id), policy->step_ms,
                               "%s, detached", text))
        r = detach_held(m);
    else
        return -EALREADY;
    lethe_task_done(progress);
    if (!r && policy->writes_back && lethe_mount_is_stored(m) && lethe_mount_was_writable(m) &&
        !lethe_block_is_ram(snapshot, m->device))
        look_at_store(&snapshot->blocks[m->device], policy, progress);
    return r;
}

/* True when the child has ended. Its parent may be a worker that ended too; then PID 1 reaps it. */
static bool has_ended(pid_t child)
{
    return waitpid(child, NULL, WNOHANG) == child || lethe_sys->kill(child, 0) == -ESRCH;
}

static void await(const struct lethe_aside *a, const struct lethe_policy *policy,
                  struct lethe_progress *progress)
{
    const struct timespec pause = {0, 20 * 1000 * 1000};
    if (!lethe_task_beginf(progress, lethe_task_id_of_device(LETHE_TASK_AWAIT_UNMOUNT, a->devno),
                           policy->write_ms, "wait until %s is written", a->name))
        return;
    while (!has_ended(a->child))
        nanosleep(&pause, NULL);
    lethe_task_done(progress);
    look_at_store(&(struct lethe_block){.name = a->name, .devno = a->devno}, policy, progress);
}

void lethe_unmount_await(const struct lethe_policy *policy, struct lethe_progress *progress)
{
    while (progress->n_aside) {
        await(&progress->aside[progress->n_aside - 1], policy, progress);
        progress->n_aside--;
    }
}
