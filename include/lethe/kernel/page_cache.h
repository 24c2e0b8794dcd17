/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * page_cache: gives back the page cache of what lies on disks.
 *
 * With init_on_free much of an end's time is the zeroing of freed pages, and an unmount frees its
 * pages one after the other. Several processes that write to /proc/sys/vm/drop_caches at once share
 * that work, for each passes over the pages that another has locked (invalidate_mapping_pages() in
 * mm/truncate.c). Only clean pages go, so no device is asked for anything.
 */
#ifndef LETHE_KERNEL_PAGE_CACHE_H
#define LETHE_KERNEL_PAGE_CACHE_H

/* Drops the page cache with one process on each processor, and waits for them. */
void lethe_page_cache_drop(void);

#endif
