/* SPDX-License-Identifier: GPL-3.0-or-later */
/* By the first byte: the super options of an overlay, those of aufs, whose sysfs files hold the
 * same text, or the command line of a FUSE union's daemon. */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

#include "../unit/scene.h"
#include "lethe/plan/tree.h"
#include "lethe/plan/union.h"

static struct lethe_span read_text(void *context, const char *path)
{
    MUST(!strncmp(path, "sys/fs/aufs/si_", 15));
    MUST(!strchr(path + 15, '.'));
    MUST(strchr(path + 15, '/') == strrchr(path, '/'));
    return lethe_span(context);
}

static struct lethe_span text_of_daemon;

static struct lethe_span read_daemon(void *context, const struct lethe_mount *mount)
{
    (void)context;
    lethe_union_is_served_by(mount, text_of_daemon);
    return text_of_daemon;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lethe_tree tree;
    if (size < 2)
        return 0;
    struct lethe_arena arena = heap_arena(data[0] > 9 ? (size_t)data[0] << 4 : 1 << 16);
    char *options = malloc(size);
    memcpy(options, data + 1, size - 1);
    options[size - 1] = '\0';
    static const char *const types[] = {"overlay", "aufs", "fuse.fuse-overlayfs", "fuse.unionfs",
                                        "fuse.mergerfs"};
    text_of_daemon = (struct lethe_span){options, size - 1};
    struct lethe_mount mounts[] = {
        {1, 0, {8, 1}, "/", "/", "rw", "ext4", "x", "rw", LETHE_NONE},
        {2, 1, {0, 2}, "/", "/a", "rw", "tmpfs", "x", "rw", LETHE_NONE},
        {3, 1, {0, 3}, "/", "/u", "rw", types[data[0] % 5], options, options, LETHE_NONE},
    };
    struct lethe_snapshot snapshot = {.mounts = mounts, .n_mounts = 3};
    const struct lethe_union_reader reader = {
        .read = read_text, .daemon = read_daemon, .context = options};
    int r = lethe_tree_build(&tree, &snapshot, &arena);
    if (!r)
        r = lethe_union_find_all(&snapshot, &tree, &arena, &reader);
    MUST(!r || r == -ENOMEM);
    if (!r) {
        MUST(snapshot.n_unions == 1 && snapshot.unions[0].mount == 2);
        for (size_t i = 0; i < snapshot.unions[0].n_branches; i++) {
            const struct lethe_branch *b = &snapshot.unions[0].branches[i];
            MUST(b->mount < 3 || (b->mount == LETHE_NONE && b->path[0] != '/') ||
                 arena.size < 1 << 16);
        }
    }
    free(options);
    free(arena.base);
    return 0;
}
