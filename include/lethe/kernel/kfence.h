/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * kfence: where the kernel samples its allocations for errors (CONFIG_KFENCE), one now and then lies
 * in a page of a pool that is never freed, and keeps its content after it was freed unless
 * init_on_free is set (mm/kfence/core.c: kfence_guarded_free()). Freed pages are used again in the
 * order in which they were freed, and are overwritten then.
 */
#ifndef LETHE_KERNEL_KFENCE_H
#define LETHE_KERNEL_KFENCE_H

#include <stdbool.h>
#include <stdint.h>

/* True when the kernel samples its allocations. */
bool lethe_kfence_samples(void);

/* Has allocations sampled as fast as can be, until each page of the pool was used anew, which the
 * kernel's count of them shows. False when that was not seen by end_ms (lethe_sys_now_ms()). */
bool lethe_kfence_overwrite(int64_t end_ms);

#endif
