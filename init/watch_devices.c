/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which devices the watcher watches, and how it tells them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "command.h"
#include "lethe/kernel/snapshot.h"
#include "lethe/kernel/sys.h"
#include "lethe/plan/roles.h"
#include "watch.h"

/* Has the kernel poll a drive or a card reader for what is in it, unless somebody has told it to,
 * as udev does (Documentation/ABI/stable/sysfs-block). */
static void poll_drive(const struct lethe_watched *drive)
{
    char path[128], text[16];
    snprintf(path, sizeof path, "/sys/block/%s/events_poll_msecs", drive->name);
    if (lethe_sys_read_line(AT_FDCWD, path, text, sizeof text) && !strcmp(text, "-1"))
        lethe_sys->write_file(path, "2000");
}

void lethe_watcher_poll_drives(const struct lethe_watcher *watch)
{
    for (size_t i = 0; i < watch->n; i++)
        if (watch->watched[i].device.is_removable)
            poll_drive(&watch->watched[i].device);
}

static bool is_whole_disk(const struct lethe_block *block)
{
    return block->kind == LETHE_BLOCK_PLAIN && block->disk == LETHE_NONE;
}

static void add_disk(struct lethe_watcher *watch, const char *name)
{
    struct lethe_watcher_device *w = &watch->watched[watch->n];
    w->role = "medium";
    w->lost = "is gone";
    if (lethe_watched_disk(&w->device, name))
        watch->is_late = true; /* it has gone since the snapshot was taken */
    else
        watch->n++;
}

int lethe_watcher_find_medium(struct lethe_watcher *watch)
{
    struct lethe_snapshot snapshot;
    struct lethe_arena arena;
    watch->n = watch->n_named;
    int r = lethe_command_snapshot("watch", NULL, &snapshot, &arena);
    if (r)
        return r;
    enum lethe_role *roles = lethe_arena_take(&arena, snapshot.n_blocks, sizeof *roles);
    if (roles)
        watch->is_late = lethe_roles_find(&snapshot, false, roles) == LETHE_ORIGIN_GONE;
    if (roles && watch->early)
        lethe_roles_add_layers_to_be(&snapshot, roles);
    for (size_t i = 0; roles && i < snapshot.n_blocks && watch->n < LETHE_WATCH_DEVICES_MAX; i++)
        if (roles[i] & LETHE_ROLE_MEDIUM && is_whole_disk(&snapshot.blocks[i]))
            add_disk(watch, snapshot.blocks[i].name);
    munmap(arena.base, arena.size);
    return roles ? 0 : -ENOMEM;
}

int lethe_watcher_add_cords(struct lethe_watcher *watch)
{
    for (size_t i = 0; i < watch->n_cords; i++) {
        struct lethe_watcher_device *w = &watch->watched[watch->n++];
        w->role = "cord";
        w->lost = "is gone";
        if (!strcmp(watch->cords[i], "power"))
            lethe_watched_mains(&w->device);
        else if (lethe_watched_usb(&w->device, watch->cords[i]) == -EINVAL)
            return -EINVAL;
    }
    return 0;
}

int lethe_watcher_add_rest(struct lethe_watcher *watch)
{
    if (watch->hotkey.lid)
        watch->watched[watch->n++] = (struct lethe_watcher_device){
            .device = {.kind = LETHE_WATCHED_LID, .name = "lid", .identity = "lid"},
            .role = "laptop's",
            .lost = "is closed"};
    watch->n_named = watch->n + watch->freeze;
    if (!watch->freeze)
        return 0;
    struct lethe_watcher_device *w = &watch->watched[watch->n++];
    w->role = "set of";
    w->lost = "has changed";
    return lethe_watched_freeze(&w->device, watch->free, watch->n_free);
}

/* Serial numbers come from the device, so they may hold anything: only what is harmless on a
 * terminal is shown. */
static void print_usb(const char *name, const char *identity)
{
    char shown[512];
    printf("%s %s\n", lethe_text_printable(shown, sizeof shown, identity), name);
}

int lethe_watcher_list(const struct lethe_watcher *watch)
{
    char shown[512];
    for (size_t i = 0; i < watch->n; i++) {
        const struct lethe_watched *d = &watch->watched[i].device;
        if (strcmp(watch->watched[i].role, "medium") != 0)
            continue;
        printf("medium: %s %s\n", d->name, lethe_text_printable(shown, sizeof shown, d->identity));
    }
    lethe_watched_list_usb(print_usb);
    return lethe_command_flush("watch") ? 2 : 0;
}

void lethe_watcher_tell(const struct lethe_watcher *watch)
{
    char shown[512];
    for (size_t i = 0; i < watch->n; i++) {
        const struct lethe_watcher_device *w = &watch->watched[i];
        printf("lethe watch: the %s %s%s%s\n", w->role,
               lethe_text_printable(shown, sizeof shown, w->device.identity),
               w->device.is_there ? " is watched: " : " is not there: watched from when it is",
               w->device.name);
    }
    fflush(stdout);
}
