/* SPDX-License-Identifier: GPL-3.0-or-later */
/* clearing: whether the kernel clears what is freed, by a look and not by its command line. */
#ifndef LETHE_KERNEL_CLEARING_H
#define LETHE_KERNEL_CLEARING_H

enum lethe_clearing {
    LETHE_CLEARING_UNKNOWN, /* it could not be seen: no /proc/kcore, or not allowed to read it */
    LETHE_CLEARING_NONE,    /* freed pages keep what was in them */
    LETHE_CLEARING_POISON,  /* freed pages are overwritten, but not with zeroes: freed slab objects
                               are not (page_poison) */
    LETHE_CLEARING_ZERO,    /* freed pages are zeroed (init_on_free), and slab objects by the same
                               switch */
};

/* Writes a known text into pages of its own, frees them and looks at the same physical pages
 * (kcore.h). Nothing but those pages is read. */
enum lethe_clearing lethe_clearing_look(void);

#endif
