/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * scrub: clears free memory and freed objects under supervision, on a kernel that does not clear
 * them itself.
 *
 * Free memory is filled, and what the fillers have missed is read back while they hold the rest;
 * both again until nothing of it is left but zeroes. Where the kernel clears what is freed, some of
 * it is read as a proof. What is known is in progress->account.fill at any time.
 */
#ifndef LETHE_KERNEL_SCRUB_H
#define LETHE_KERNEL_SCRUB_H

#include "lethe/kernel/policy.h"
#include "lethe/kernel/supervise.h"
#include "lethe/plan/cmdline.h"

/* Looks whether the kernel clears what is freed. */
void lethe_scrub_look(const struct lethe_policy *policy, struct lethe_progress *progress);

/* Overwrites freed kernel objects, for at most `ms`, unless the kernel has cleared them. What is
 * not overwritten is told and counted the last time only. */
void lethe_scrub_objects(const struct lethe_policy *policy, const struct lethe_cmdline *cmdline,
                         int64_t ms, bool is_last, struct lethe_progress *progress);

/* Fills free memory and reads it back until end_ms (lethe_sys_now_ms()) at the latest. */
void lethe_scrub_memory(const struct lethe_policy *policy, const struct lethe_cmdline *cmdline,
                        int64_t end_ms, struct lethe_progress *progress);

#endif
