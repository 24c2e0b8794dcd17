/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/modules.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lethe/kernel/log.h"

/* Modules whose exit frees buffers with content. btrfs: the workspaces of its compression
 * (btrfs_exit_compress(), fs/btrfs/compression.c). f2fs: pages and contexts for compression
 * (f2fs_destroy_compress_mempool(), fs/f2fs/compress.c). ubifs and jffs2: their compressors. cifs:
 * buffers of requests (cifs_destroy_request_bufs(), fs/smb/client/cifsfs.c). */
static const char *const modules[] = {"btrfs", "f2fs", "ubifs", "jffs2", "cifs"};

/* True for a loaded module; what is built into the kernel has no reference count. */
static bool is_loaded(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/sys/module/%s/refcnt", name);
    return !access(path, F_OK);
}

void lethe_modules_unload(const struct lethe_policy *policy, struct lethe_progress *progress)
{
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        if (!is_loaded(modules[i]) ||
            !lethe_task_beginf(progress, lethe_task_id(LETHE_TASK_UNLOAD_MODULE, i),
                               policy->step_ms, "unload the module %s", modules[i]))
            continue;
        syscall(SYS_delete_module, modules[i], O_NONBLOCK);
        lethe_task_done(progress);
    }
}

unsigned lethe_modules_report(void)
{
    unsigned left = 0;
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++)
        if (is_loaded(modules[i])) {
            left++;
            lethe_log(LETHE_LOG_ERROR, "left: what the buffers of the module %s hold", modules[i]);
        }
    return left;
}
