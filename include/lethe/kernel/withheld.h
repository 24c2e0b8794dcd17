/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * withheld: memory that the kernel has taken out of use: blocks that were set offline
 * (Documentation/admin-guide/mm/memory-hotplug.rst), and pages that had errors
 * (mm/memory-failure.c). It is no free memory: no filler gets it, and the kernel does not clear it
 * either (free_pages_prepare(), mm/page_alloc.c).
 */
#ifndef LETHE_KERNEL_WITHHELD_H
#define LETHE_KERNEL_WITHHELD_H

#include <stdint.h>

/* Returns the KiB of pages that had errors. Reading memory back gives up some more (read_back.h). */
uint64_t lethe_withheld_bad_kib(void);

/* Takes all blocks into use again: their pages become free memory like any other. */
void lethe_withheld_put_online(void);

/* Tells what is out of use yet, of bad pages so many KiB. Returns how many things that were. */
unsigned lethe_withheld_report(uint64_t bad_kib);

#endif
