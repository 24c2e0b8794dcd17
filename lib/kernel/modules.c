/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/modules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lethe/log.h"

/* btrfs: the workspaces of its compression (btrfs_exit_compress(), fs/btrfs/compression.c). f2fs:
 * pages and contexts for compression (f2fs_destroy_compress_mempool(), fs/f2fs/compress.c). ubifs
 * and jffs2: their compressors. cifs: buffers of requests (cifs_destroy_request_bufs(),
 * fs/smb/client/cifsfs.c). */
static const char *const modules[] = {"btrfs", "f2fs", "ubifs", "jffs2", "cifs"};

/* What is built into the kernel has no reference count. */
static bool is_loaded(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/sys/module/%s/refcnt", name);
    return !access(path, F_OK);
}

unsigned lethe_modules_unload(const struct lethe_policy *policy, struct lethe_progress *progress)
{
    unsigned left = 0;
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        if (!is_loaded(modules[i]))
            continue;
        int error = ETIMEDOUT;
        if (lethe_task_beginf(progress, lethe_task_id(LETHE_TASK_UNLOAD_MODULE, i), policy->step_ms,
                              "unload the module %s", modules[i])) {
            error = syscall(SYS_delete_module, modules[i], O_NONBLOCK) ? errno : 0;
            lethe_task_done(progress);
        }
        if (!is_loaded(modules[i]))
            continue;
        left++;
        lethe_log(LETHE_LOG_ERROR, "left: what the buffers of the module %s hold: %s", modules[i],
                  strerror(error));
    }
    return left;
}
