/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/devices.h"

#include <errno.h>
#include <string.h>

static bool numbered(const char *name, const char *prefix)
{
    size_t n = strlen(prefix);
    return !strncmp(name, prefix, n) && name[n] && !name[n + strspn(name + n, "0123456789")];
}

/* True unless cryptsetup's device holds no volume key: verity, and integrity, alone or below a
 * crypt device, hold none (cryptsetup lib/libdevmapper.c, lib/internal.h). */
static bool has_key(const char *dm_uuid)
{
    static const char *const without[] = {"VERITY-", "INTEGRITY-", "SUBDEV-"};
    if (strncmp(dm_uuid, "CRYPT-", 6))
        return false;
    for (size_t i = 0; i < sizeof without / sizeof *without; i++)
        if (!strncmp(dm_uuid + 6, without[i], strlen(without[i])))
            return false;
    return true;
}

enum lethe_block_kind lethe_devices_kind(const char *name, const char *dm_uuid, bool md)
{
    if (numbered(name, "dm-"))
        return has_key(dm_uuid) ? LETHE_BLOCK_CRYPT : LETHE_BLOCK_DM;
    if (numbered(name, "loop")) /* loop0p1 is a partition */
        return LETHE_BLOCK_LOOP;
    if (md || numbered(name, "md"))
        return LETHE_BLOCK_MD;
    if (numbered(name, "zram"))
        return LETHE_BLOCK_ZRAM;
    if (numbered(name, "nbd"))
        return LETHE_BLOCK_NBD;
    if (numbered(name, "bcache"))
        return LETHE_BLOCK_BCACHE;
    return numbered(name, "ram") ? LETHE_BLOCK_BRD : LETHE_BLOCK_PLAIN;
}

int lethe_devices_add_beside(const struct lethe_snapshot *snapshot, size_t device, size_t other,
                             struct lethe_arena *arena)
{
    enum { BESIDE_MAX = 32 };
    struct lethe_block *b = &snapshot->blocks[device];
    for (size_t i = 0; i < b->n_beside; i++)
        if (b->beside[i] == other)
            return 0;
    if (other == device || b->n_beside == BESIDE_MAX)
        return 0;
    size_t *list =
        b->n_beside ? (size_t *)b->beside : lethe_arena_take(arena, BESIDE_MAX, sizeof *list);
    if (!list)
        return -ENOMEM;
    list[b->n_beside++] = other;
    b->beside = list;
    return 0;
}

/* Reads the options as xfs_fs_show_options() in the kernel's fs/xfs/xfs_super.c writes them. */
static int tie_xfs(const struct lethe_snapshot *snapshot, const struct lethe_mount *m,
                   struct lethe_devno (*resolve)(void *context, const char *path), void *context,
                   struct lethe_arena *arena)
{
    int r = 0;
    for (struct lethe_span rest = lethe_span(m->super_options); !r && rest.at;) {
        struct lethe_span path = lethe_text_cut(&rest, ','), name = lethe_text_cut(&path, '=');
        if (!path.n || (!lethe_span_is(name, "logdev") && !lethe_span_is(name, "rtdev")))
            continue;
        const char *text = lethe_text_unescape(arena, path);
        if (!text)
            return -ENOMEM;
        size_t other = lethe_block_find(snapshot, resolve(context, text));
        if (other != LETHE_NONE)
            r = lethe_devices_add_beside(snapshot, m->device, other, arena);
    }
    return r;
}

/* A bcachefs names all of its devices as its source, with colons between them; the first is the
 * mount's. */
static int tie_bcachefs(const struct lethe_snapshot *snapshot, struct lethe_mount *m,
                        struct lethe_devno (*resolve)(void *context, const char *path),
                        void *context, struct lethe_arena *arena)
{
    int r = 0;
    for (struct lethe_span rest = lethe_span(m->source); !r && rest.at;) {
        struct lethe_span path = lethe_text_cut(&rest, ':');
        const char *text = lethe_arena_text(arena, path.n ? path.at : "", path.n);
        if (!text)
            return -ENOMEM;
        size_t device = lethe_block_find(snapshot, resolve(context, text));
        if (device == LETHE_NONE)
            continue;
        if (m->device == LETHE_NONE)
            m->device = device;
        else
            r = lethe_devices_add_beside(snapshot, m->device, device, arena);
    }
    return r;
}

int lethe_devices_tie(struct lethe_snapshot *snapshot,
                      struct lethe_devno (*resolve)(void *context, const char *path), void *context,
                      struct lethe_arena *arena)
{
    const struct lethe_devno none = {0, 0};
    int r = 0;
    for (size_t i = 0; i < snapshot->n_mounts; i++) {
        struct lethe_mount *m = &snapshot->mounts[i];
        struct lethe_devno devno = m->devno;
        if (!devno.major && m->source[0] == '/' && !lethe_mount_is_ram(m))
            devno = resolve(context, m->source);
        m->device = lethe_devno_is(devno, none) ? LETHE_NONE : lethe_block_find(snapshot, devno);
        if (!r && m->device != LETHE_NONE && !strcmp(m->fstype, "xfs"))
            r = tie_xfs(snapshot, m, resolve, context, arena);
        if (!r && !strcmp(m->fstype, "bcachefs"))
            r = tie_bcachefs(snapshot, m, resolve, context, arena);
    }
    for (size_t i = 0; i < snapshot->n_swaps; i++) {
        struct lethe_devno devno = resolve(context, snapshot->swaps[i].path);
        if (!snapshot->swaps[i].is_file && !lethe_devno_is(devno, none))
            snapshot->swaps[i].device = lethe_block_find(snapshot, devno);
    }
    return r;
}
