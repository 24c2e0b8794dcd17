/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * filler: takes all free memory, so that the kernel zeroes each page that it hands out, and holds
 * it.
 *
 * Fillers are processes: one on each processor for nearly all, each with an address space of its
 * own, and one for the rest. They hold what they have got until they are closed. What makes the
 * last pages hard to get (mm/page_alloc.c):
 * - Pages on a processor's own lists are no longer counted as free, and while nothing else is free
 *   not even that processor gets them. Only a reclaim that has freed something, and still not
 *   enough, gives all lists back. So the filler of the rest has a pool of pages that the kernel may
 *   take from it at any time (MADV_FREE).
 * - An allocation that movable pages will do for gets fragments of blocks of unmovable pages last.
 *   So the filler takes unmovable pages too, which are those of pipes.
 * - The kernel keeps reserves (Documentation/admin-guide/sysctl/vm.rst: min_free_kbytes,
 *   lowmem_reserve_ratio), which are lowered first.
 * - The OOM killer takes decoys first. One of them is left to it until all else has ended, for the
 *   kernel panics when there is no process that it may kill.
 */
#ifndef LETHE_KERNEL_FILLER_H
#define LETHE_KERNEL_FILLER_H

#include <stdint.h>

/* Lowers the reserves, starts decoys, silences the console. 0 or -errno. */
int lethe_filler_open(void);

/* Takes nearly all free memory with all processors. Returns at end_ms at the latest. */
void lethe_filler_take(int64_t end_ms);

/* Takes the rest, and at later calls what is free since. At end_ms the filler stops where it is,
 * and holds what it has. Each call uses up a pool; the filler that has none left is ended, and a
 * new one takes what it held. That frees pages of the kernel's that are not zero. */
void lethe_filler_take_rest(int64_t end_ms);

/* Returns how much the living fillers hold. */
uint64_t lethe_filler_held_kib(void);

/* Lets all memory go, and restores the console's level. */
void lethe_filler_close(void);

/* Returns MemFree of /proc/meminfo. */
uint64_t lethe_filler_free_kib(void);

#endif
