/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/drm.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lethe/sys.h"

/* drm/drm_mode.h, which comes with no kernel headers of Debian's: struct drm_mode_fb_cmd2 and
 * struct drm_mode_map_dumb. */
struct frame_buffer {
    uint32_t id, width, height, format, flags;
    uint32_t handles[4], pitches[4], offsets[4];
    uint64_t modifiers[4];
};

struct mapping {
    uint32_t handle, pad;
    uint64_t offset;
};

#define GET_FRAME_BUFFER _IOWR('d', 0xCE, struct frame_buffer)
#define MAP_BUFFER _IOWR('d', 0xB3, struct mapping)

enum { CARDS_MAX = 16, IDS_MAX = 1024, BUFFERS_MAX = 64 };

struct look {
    int pagemap, flags;
    uint64_t first_pages[BUFFERS_MAX]; /* of the buffers seen: two ids may show one */
    size_t n;
    uint64_t pages;
};

static uint64_t number_at(int fd, uint64_t index)
{
    uint64_t value = 0;
    return pread(fd, &value, sizeof value, (off_t)(index * sizeof value)) == sizeof value ? value
                                                                                          : 0;
}

static uint64_t page_frame(const struct look *look, const char *at)
{
    const uint64_t entry = number_at(look->pagemap, (uintptr_t)at / 4096);
    return entry >> 63 ? entry & ((UINT64_C(1) << 55) - 1) : 0;
}

/* KPF_SWAPBACKED, and not KPF_ANON (linux/kernel-page-flags.h). */
static bool is_shmem(const struct look *look, uint64_t frame)
{
    const uint64_t flags = frame ? number_at(look->flags, frame) : 0;
    return flags >> 14 & 1 && !(flags >> 12 & 1);
}

static void count(struct look *look, const char *at, size_t size)
{
    const uint64_t first = page_frame(look, at);
    for (size_t i = 0; i < look->n; i++)
        if (look->first_pages[i] == first)
            return;
    if (!first || look->n == BUFFERS_MAX)
        return;
    look->first_pages[look->n++] = first;
    for (size_t n = 0; n < size; n += 4096)
        look->pages += is_shmem(look, page_frame(look, at + n));
}

static void clear(struct look *look, int card, const struct frame_buffer *buffer)
{
    struct mapping mapping = {.handle = buffer->handles[0]};
    const size_t bytes = buffer->offsets[0] + (size_t)buffer->pitches[0] * buffer->height,
                 size = (bytes + 4095) / 4096 * 4096;
    if (!mapping.handle || ioctl(card, (int)MAP_BUFFER, &mapping))
        return;
    char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, card, (off_t)mapping.offset);
    if (at == MAP_FAILED)
        return;
    memset(at, 0, size);
    count(look, at, size);
    munmap(at, size);
}

static void clear_card(struct look *look, int number)
{
    char path[32];
    snprintf(path, sizeof path, "/dev/dri/card%d", number);
    int card = lethe_sys->open(path, O_RDWR);
    for (uint32_t id = 1; card >= 0 && id <= IDS_MAX; id++) {
        struct frame_buffer buffer = {.id = id};
        if (!ioctl(card, (int)GET_FRAME_BUFFER, &buffer))
            clear(look, card, &buffer);
    }
    if (card >= 0)
        lethe_sys->close(card);
}

uint64_t lethe_drm_clear(void)
{
    struct look look = {.pagemap = lethe_sys->open("/proc/self/pagemap", O_RDONLY),
                        .flags = lethe_sys->open("/proc/kpageflags", O_RDONLY)};
    for (int i = 0; i < CARDS_MAX; i++)
        clear_card(&look, i);
    if (look.pagemap >= 0)
        lethe_sys->close(look.pagemap);
    if (look.flags >= 0)
        lethe_sys->close(look.flags);
    return look.pages * 4;
}
