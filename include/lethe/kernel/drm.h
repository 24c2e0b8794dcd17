/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * drm: frame buffers of graphics cards whose memory is the machine's own.
 *
 * Drivers without video memory (virtio-gpu, udl, ast and mgag200 in later kernels) keep a frame
 * buffer in pages of tmpfs that no mount shows: /proc/meminfo counts them as Shmem. They are no
 * user's file, but they hold what was on the screen.
 *
 * The ids of frame buffers, all of which drm-kms(7)'s DRM_IOCTL_MODE_GETFB2 shows to root (Linux
 * 5.7), are small numbers, so that each is asked for. Whether the pages behind one are tmpfs' own
 * is seen by a mark: pages that /proc/kpageflags calls tmpfs' are looked for it through
 * /proc/kcore, since /proc/self/pagemap shows nothing of such a mapping. Where they can't be read
 * none are.
 */
#ifndef LETHE_KERNEL_DRM_H
#define LETHE_KERNEL_DRM_H

#include <stdint.h>

/* Zeroes all frame buffers of all cards. Returns how many KiB of tmpfs pages were among them. The
 * first opening and the last closing of a card may set its mode, and hang with it: call it inside a
 * worker only. */
uint64_t lethe_drm_clear(void);

#endif
