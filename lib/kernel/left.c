/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/left.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/major.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/types.h>

#include "lethe/kernel/claimed.h"
#include "lethe/kernel/drm.h"
#include "lethe/kernel/face.h"
#include "lethe/kernel/interfaces.h"
#include "lethe/kernel/ipc.h"
#include "lethe/kernel/log.h"
#include "lethe/kernel/ram_device.h"
#include "lethe/kernel/screen.h"
#include "lethe/kernel/sys.h"

static void add_holders(char *text, size_t size, const struct lethe_block *block)
{
    char path[300];
    snprintf(path, sizeof path, "/sys/class/block/%.255s/holders", block->name);
    DIR *dir = opendir(path);
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.') {
            size_t n = strlen(text);
            snprintf(text + n, size - n, ", held by %.32s", entry->d_name);
        }
    closedir(dir);
}

static uint64_t number_of(const struct lethe_block *block)
{
    return makedev(block->devno.major, block->devno.minor);
}

/* True for a loop that can't be written to: it is a part of the medium, and what it shows is
 * nobody's secret. */
static bool is_medium(const struct lethe_block *block)
{
    char text[8];
    return block->kind == LETHE_BLOCK_LOOP &&
           lethe_sys_read_block(block->name, "ro", text, sizeof text) && !strcmp(text, "1");
}

unsigned lethe_left_report(const struct lethe_plan *plan, const struct lethe_snapshot *snapshot,
                           bool init_stays)
{
    enum { LINES_MAX = 20 };
    unsigned left = 0;
    char what[120], text[300];
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct lethe_step *step = &plan->steps[i];
        if (step->kind == LETHE_STEP_ERASE ||
            (step->kind == LETHE_STEP_ERASE_DEVICE &&
             lethe_ram_device_is_zero(&snapshot->blocks[step->index])))
            continue;
        if (init_stays && step->kind == LETHE_STEP_STOP &&
            is_medium(&snapshot->blocks[step->index]))
            continue;
        snprintf(text, sizeof text, "left: could not %s",
                 lethe_step_print(what, sizeof what, step, snapshot));
        if (step->kind == LETHE_STEP_STOP)
            add_holders(text, sizeof text, &snapshot->blocks[step->index]);
        if (left++ < LINES_MAX)
            lethe_log(LETHE_LOG_ERROR, "%s", text);
    }
    if (left > LINES_MAX)
        lethe_log(LETHE_LOG_ERROR, "left: %u more", left - LINES_MAX);
    return left;
}

void lethe_left_note_stores(const struct lethe_snapshot *snapshot, struct lethe_progress *progress)
{
    for (size_t i = 0; i < snapshot->n_mounts; i++) {
        const struct lethe_mount *m = &snapshot->mounts[i];
        if (lethe_mount_is_stored(m) && lethe_mount_was_writable(m))
            lethe_progress_add_store(progress, number_of(&snapshot->blocks[m->device]));
    }
}

/* True for a device with a user that the snapshot shows: that user is reported in its place. */
static bool is_seen_used(const struct lethe_snapshot *s, size_t block)
{
    for (size_t i = 0; i < s->n_blocks; i++)
        if (i != block && lethe_block_lies_on(s, i, block))
            return true;
    for (size_t i = 0; i < s->n_mounts; i++)
        if (s->mounts[i].device == block)
            return true;
    for (size_t i = 0; i < s->n_swaps; i++)
        if (s->swaps[i].device == block)
            return true;
    return false;
}

/* False for drives of discs and floppies: they are slow to answer, and nothing of a user's is
 * mounted from them for writing. */
static bool may_ask(const struct lethe_block *block)
{
    char size[32];
    return block->kind == LETHE_BLOCK_PLAIN && block->devno.major != SCSI_CDROM_MAJOR &&
           block->devno.major != FLOPPY_MAJOR &&
           lethe_sys_read_block(block->name, "size", size, sizeof size) && strcmp(size, "0") != 0;
}

static bool is_claimed(const struct lethe_block *b, const char **by,
                       const struct lethe_policy *policy, struct lethe_progress *progress)
{
    *by = lethe_claimed_by(b);
    if (*by || !policy->writes_back ||
        !lethe_task_beginf(progress, lethe_task_id_of_device(LETHE_TASK_LOOK_AT_STORE, b->devno),
                           policy->step_ms, "look whether %.64s is in use", b->name))
        return *by;
    bool held = lethe_claimed_is_held(b);
    lethe_task_done(progress);
    *by = "something";
    return held;
}

unsigned lethe_left_report_claimed(const struct lethe_snapshot *snapshot, bool init_stays,
                                   const struct lethe_policy *policy,
                                   struct lethe_progress *progress)
{
    unsigned left = 0;
    const char *by;
    for (size_t i = 0; i < snapshot->n_blocks; i++) {
        const struct lethe_block *b = &snapshot->blocks[i];
        if (!may_ask(b) || is_seen_used(snapshot, i) ||
            (init_stays && !lethe_progress_has_store(progress, number_of(b))) ||
            !is_claimed(b, &by, policy, progress))
            continue;
        lethe_log(LETHE_LOG_ERROR, "left: %.64s is still in use by %s that no mount shows", b->name,
                  by);
        left++;
    }
    return left;
}

/* Returns how much of the shared memory is Lethe's own: the program in its root, the armed one that
 * PID 1 was started from, and what the workers share. */
static uint64_t own_shmem_kib(void)
{
    struct stat st;
    return 1024 + (stat("/proc/self/exe", &st) ? 0 : (uint64_t)st.st_size / 1024 * 2);
}

unsigned lethe_left_report_shmem(const struct lethe_policy *policy, struct lethe_progress *progress)
{
    const uint64_t own = own_shmem_kib();
    uint64_t kib = lethe_sys_meminfo("Shmem"), frame_buffers = 0;
    if (kib > own && lethe_task_begin(progress, lethe_task_id(LETHE_TASK_LOOK_AT_DISPLAYS, 0),
                                      policy->step_ms, "clear frame buffers in shared memory")) {
        frame_buffers = lethe_drm_clear();
        lethe_face_redraw();
        lethe_task_done(progress);
    }
    kib -= frame_buffers < kib ? frame_buffers : kib;
    if (kib > own)
        lethe_log(LETHE_LOG_ERROR,
                  "left: %llu KiB of shared memory are held by something that no mount shows",
                  (unsigned long long)kib);
    return kib > own;
}

static unsigned tell(uint64_t n, const char *what)
{
    if (n)
        lethe_log(LETHE_LOG_ERROR, "left: %llu %s", (unsigned long long)n, what);
    return n != 0;
}

/* Counts the lines of a file of /proc/sysvipc after the first, which is a heading (sysvipc(7)). */
static uint64_t count_lines(const char *path)
{
    char line[512];
    uint64_t n = 0;
    FILE *list = fopen(path, "re");
    while (list && fgets(line, sizeof line, list))
        n++;
    if (list)
        fclose(list);
    return n ? n - 1 : 0;
}

/* Returns how much the files hold that were written into devtmpfs, which nobody can unmount. Where
 * it is no tmpfs the kernel does not count that. */
static uint64_t devtmpfs_kib(void)
{
    struct statfs fs;
    return statfs("/dev", &fs) || (uint32_t)fs.f_type != TMPFS_MAGIC
               ? 0
               : (uint64_t)(fs.f_blocks - fs.f_bfree) * (uint64_t)fs.f_bsize >> 10;
}

unsigned lethe_left_report_objects(void)
{
    return tell(count_lines("/proc/sysvipc/shm"), "segments of shared memory") +
           tell(count_lines("/proc/sysvipc/msg"), "queues of messages") +
           tell(lethe_ipc_count_posix_queues(), "POSIX message queues") +
           tell(lethe_ipc_count_keys(), "keys of users") +
           tell(devtmpfs_kib(), "KiB of files in /dev") +
           tell(lethe_screen_count_written(), "terminals that show something") +
           tell(lethe_interfaces_count_up(), "network interfaces that are up") +
           tell(lethe_sys_meminfo("Hugetlb"), "KiB of huge pages in their pool");
}

/* True for a task whose outcome a last look at the system, at objects or at free memory judges, or
 * on which no secret depends. */
static bool is_judged_elsewhere(enum lethe_task task)
{
    switch (task) {
    case LETHE_TASK_LOOK_AT_SYSTEM:
    case LETHE_TASK_LOOK_AT_PROC:
    case LETHE_TASK_LOOK_FOR_SERVERS:
    case LETHE_TASK_LOOK_AT_INIT:
    case LETHE_TASK_LOOK_AT_CLEARING:
    case LETHE_TASK_DETACH_OLD_ROOT:
    case LETHE_TASK_WRITE_BACK_REMOTE:
    case LETHE_TASK_CUT_OFF_REMOTE:
    case LETHE_TASK_CUT_OFF_NBD:
    case LETHE_TASK_START_WRITING:
    case LETHE_TASK_SYNC:
    case LETHE_TASK_RESUME:
    case LETHE_TASK_THAW:
    case LETHE_TASK_REMOVE_PROBES:
    case LETHE_TASK_FIND_DAEMONS:
    case LETHE_TASK_AWAIT_UNMOUNT:
    case LETHE_TASK_WIPE_KEY:
    case LETHE_TASK_UNMOUNT:
    case LETHE_TASK_UNMOUNT_TOGETHER:
    case LETHE_TASK_DETACH:
    case LETHE_TASK_SWAPOFF:
    case LETHE_TASK_STOP_DEVICE:
    case LETHE_TASK_DROP_PAGE_CACHE:
    case LETHE_TASK_FREE_HUGE_PAGES:
    case LETHE_TASK_REFILL_SLABS:
    case LETHE_TASK_FILL_MEMORY:
    case LETHE_TASK_FILL_REST:
    case LETHE_TASK_READ_BACK:
    case LETHE_TASK_ASK_FIRMWARE:
        return true;
    default:
        return false;
    }
}

unsigned lethe_left_report_stuck(const struct lethe_progress *progress)
{
    unsigned left = 0;
    for (unsigned i = 0; i < progress->n_stuck; i++)
        if (!is_judged_elsewhere((enum lethe_task)(progress->stuck[i] >> 56))) {
            lethe_log(LETHE_LOG_ERROR, "left: what %s was to clear",
                      lethe_task_word(progress->stuck[i]));
            left++;
        }
    return left;
}
