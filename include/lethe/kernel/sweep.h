/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * sweep: supervised work that is no step of a plan: what is written back and erased before, between
 * and after the steps. Runs inside a worker of supervise.h; the erasers themselves know no clock.
 */
#ifndef LETHE_KERNEL_SWEEP_H
#define LETHE_KERNEL_SWEEP_H

#include "lethe/kernel/policy.h"
#include "lethe/kernel/supervise.h"
#include "lethe/plan/cmdline.h"

/* Erases what is neither a file nor a process: System V and POSIX IPC objects, users' keys. */
void lethe_sweep_ipc(const struct lethe_policy *policy, struct lethe_progress *progress);

/* Gives back what is clean of the page cache, once, so that the unmounts have less to free. */
void lethe_sweep_page_cache(const struct lethe_policy *policy, struct lethe_progress *progress);

/* Has the kernel begin to write all that there is to write, where the policy has data written back,
 * and gives it a moment. */
void lethe_sweep_start_writing(const struct lethe_policy *policy, struct lethe_progress *progress);

/* Writes back what there is to write, where the policy has data written back. */
void lethe_sweep_sync(const struct lethe_policy *policy, struct lethe_progress *progress);
uint64_t lethe_sweep_sync_task(void); /* the id of that task */

/* Drops the page cache and the slabs that can be dropped, which may wait for writes to end. */
void lethe_sweep_caches(const struct lethe_policy *policy, struct lethe_progress *progress);

/* Clears screens, network buffers and huge pages, then freed kernel objects as far as the kernel
 * does not and the command line wants it. By end_ms (lethe_sys_now_ms()) this and
 * lethe_sweep_memory_again() have to be done. */
void lethe_sweep_memory(const struct lethe_policy *policy, const struct lethe_cmdline *cmdline,
                        int64_t end_ms, struct lethe_progress *progress);

/* Clears freed kernel objects once more, for the first time frees some, and then free memory. Asks
 * the firmware to clear RAM at the next start. */
void lethe_sweep_memory_again(const struct lethe_policy *policy,
                              const struct lethe_cmdline *cmdline, int64_t end_ms,
                              struct lethe_progress *progress);

#endif
