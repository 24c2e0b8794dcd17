/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * zswap: the buffers in which each processor has compressed pages, before and after.
 *
 * They live as long as a pool of zswap's does, which is as long as the kernel (zswap_dstmem, in
 * later kernels acomp_ctx->buffer, mm/zswap.c; scomp_scratch, crypto/scompress.c). No swap being
 * left, pages that can't be compressed are swapped out to a loop device on a file in RAM, by each
 * processor in turn: their bytes take the place of all that any other page has left there.
 */
#ifndef LETHE_ZSWAP_H
#define LETHE_ZSWAP_H

/* Does so where zswap was ever used, and switches it off. 0 when that was not so or each processor
 * was seen to compress (zswpout in /proc/vmstat), else 1, which is logged. */
unsigned lethe_zswap_overwrite(void);

#endif
