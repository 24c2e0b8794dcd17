/* SPDX-License-Identifier: GPL-3.0-or-later */
/* zswap: the buffers in which each processor compresses pages. They live as long as a pool of
 * zswap, which is as long as the kernel (zswap_dstmem, in later kernels acomp_ctx->buffer,
 * mm/zswap.c; scomp_scratch, crypto/scompress.c). When no swap is left, pages that can't be
 * compressed are swapped out to a loop device on a file in RAM, by each processor in turn: their
 * bytes overwrite all that any other page has left there. */
#ifndef LETHE_KERNEL_ZSWAP_H
#define LETHE_KERNEL_ZSWAP_H

#include <stdbool.h>

/* True where zswap has ever taken a page (zswpout in /proc/vmstat). */
bool lethe_zswap_was_used(void);

/* Overwrites the buffers and switches zswap off. True when each processor was seen to compress. */
bool lethe_zswap_overwrite(void);

#endif
