/* SPDX-License-Identifier: GPL-3.0-or-later */
/* huge_pages: the kernel's pools of huge pages (Documentation/admin-guide/mm/hugetlbpage.rst). A
 * page that a program gives back to its pool keeps its content, whatever the kernel does about
 * other freed pages, until it is used again. */
#ifndef LETHE_KERNEL_HUGE_PAGES_H
#define LETHE_KERNEL_HUGE_PAGES_H

/* Empties the pools: their pages become free memory like any other. */
void lethe_huge_pages_free(void);

#endif
