/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/pools.h"

#include <fcntl.h>
#include <glob.h>
#include <stdbool.h>
#include <string.h>

#include "lethe/links.h"
#include "lethe/log.h"
#include "lethe/modules.h"
#include "lethe/sys.h"
#include "lethe/zswap.h"

/* What was recorded or played last lies in the buffer of each stream until its device is removed.
 * None is kept when this size is written (snd_pcm_lib_preallocate_proc_write(),
 * sound/core/pcm_memory.c); a stream in use is refused. */
static unsigned free_sound(void)
{
    unsigned left = 0;
    glob_t files;
    char now[32];
    if (glob("/proc/asound/card*/pcm*/sub*/prealloc", 0, NULL, &files))
        return 0;
    for (size_t i = 0; i < files.gl_pathc; i++) {
        lethe_sys->write_file(files.gl_pathv[i], "0\n");
        left += lethe_read_line(AT_FDCWD, files.gl_pathv[i], now, sizeof now) && strcmp(now, "0");
    }
    globfree(&files);
    if (left)
        lethe_log(LETHE_LOG_ERROR, "left: the buffers of %u streams of sound", left);
    return left;
}

/* A thing that hangs is known as stuck, and counts so. */
static void take(struct lethe_progress *p, int64_t ms, enum lethe_task task, const char *what,
                 unsigned (*act)(void))
{
    if (!lethe_task_begin(p, lethe_task_id(task, 0), ms, what))
        return;
    unsigned left = act();
    lethe_task_done(p);
    p->kept += left;
}

void lethe_pools_clear(const struct lethe_policy *policy, struct lethe_progress *progress)
{
    progress->kept = 0;
    take(progress, policy->step_ms, LETHE_TASK_DELETE_LINKS, "delete network links",
         lethe_links_delete);
    take(progress, policy->step_ms, LETHE_TASK_FREE_SOUND, "free the buffers of sound", free_sound);
    take(progress, policy->erase_ms, LETHE_TASK_OVERWRITE_ZSWAP, "overwrite the buffers of zswap",
         lethe_zswap_overwrite);
    progress->kept += lethe_modules_unload(policy, progress);
}
