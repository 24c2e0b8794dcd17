/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/drm.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "lethe/kernel/kcore.h"
#include "lethe/kernel/sys.h"

/* struct drm_mode_fb_cmd2 and struct drm_mode_map_dumb of drm/drm_mode.h, which is not among
 * Debian's kernel headers. */
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
enum { KPF_ANON = 12, KPF_SWAPBACKED = 14 }; /* bits, linux/kernel-page-flags.h */

struct buffers {
    char mark[32]; /* at the beginning of each page of them, until all are zeroed */
    struct {
        char *at;
        size_t size;
    } maps[BUFFERS_MAX];
    size_t n;
};

static void map_buffer(struct buffers *buffers, int card, const struct frame_buffer *buffer)
{
    struct mapping mapping = {.handle = buffer->handles[0]};
    const size_t bytes = buffer->offsets[0] + (size_t)buffer->pitches[0] * buffer->height,
                 page = lethe_sys->page_size(), size = (bytes + page - 1) / page * page;
    if (buffers->n == BUFFERS_MAX || !mapping.handle || ioctl(card, (int)MAP_BUFFER, &mapping))
        return;
    char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, card, (off_t)mapping.offset);
    if (at == MAP_FAILED)
        return;
    for (size_t i = 0; i < size; i += page)
        memcpy(at + i, buffers->mark, sizeof buffers->mark);
    buffers->maps[buffers->n].at = at;
    buffers->maps[buffers->n++].size = size;
}

/* Maps the frame buffers of a card; the mapping keeps the card open. */
static void map_card(struct buffers *buffers, int number)
{
    char path[32];
    snprintf(path, sizeof path, "/dev/dri/card%d", number);
    int card = lethe_sys->open(path, O_RDWR);
    for (uint32_t id = 1; card >= 0 && id <= IDS_MAX; id++) {
        struct frame_buffer buffer = {.id = id};
        if (!ioctl(card, (int)GET_FRAME_BUFFER, &buffer))
            map_buffer(buffers, card, &buffer);
    }
    if (card >= 0)
        lethe_sys->close(card);
}

static bool is_marked(const struct lethe_kcore *kcore, const char *mark, uint64_t page,
                      uint64_t flags)
{
    char text[32];
    return flags >> KPF_SWAPBACKED & 1 && !(flags >> KPF_ANON & 1) &&
           lethe_kcore_read(kcore, page, text, sizeof text) && !memcmp(text, mark, sizeof text);
}

/* Counts the tmpfs pages that belong to the buffers. */
static uint64_t count_marked(const struct lethe_kcore *kcore, const char *mark)
{
    static uint64_t flags[4096];
    uint64_t found = 0, end;
    int fd = lethe_sys->open("/proc/kpageflags", O_RDONLY);
    for (uint64_t page = 0;
         fd >= 0 && (page = lethe_kcore_next(kcore, page, &end)) != UINT64_MAX;) {
        size_t n = end - page < 4096 ? (size_t)(end - page) : 4096;
        if (pread(fd, flags, n * sizeof *flags, (off_t)(page * sizeof *flags)) <= 0)
            break;
        for (size_t i = 0; i < n; i++)
            found += is_marked(kcore, mark, page + i, flags[i]);
        page += n;
    }
    if (fd >= 0)
        lethe_sys->close(fd);
    return found;
}

uint64_t lethe_drm_clear(void)
{
    static struct buffers buffers;
    struct lethe_kcore kcore;
    uint64_t pages = 0;
    buffers.n = 0;
    if (getrandom(buffers.mark, sizeof buffers.mark, GRND_NONBLOCK) != sizeof buffers.mark)
        return 0;
    for (int i = 0; i < CARDS_MAX; i++)
        map_card(&buffers, i);
    if (buffers.n && !lethe_kcore_open(&kcore)) {
        pages = count_marked(&kcore, buffers.mark);
        lethe_kcore_close(&kcore);
    }
    for (size_t i = 0; i < buffers.n; i++) {
        memset(buffers.maps[i].at, 0, buffers.maps[i].size);
        munmap(buffers.maps[i].at, buffers.maps[i].size);
    }
    return pages * (lethe_sys->page_size() / 1024);
}
