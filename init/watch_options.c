/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The options of `lethe watch`. Those of the kill switch are taken by now.c: a struct lethe_watcher
 * begins with the struct lethe_kill that they fill. */
#include <stddef.h>
#include <stdint.h>

#include "lethe/plan/text.h"
#include "now.h"
#include "watch.h"

static bool add(const char **list, size_t *n, size_t max, const char *value)
{
    if (*n == max)
        return false;
    list[(*n)++] = value;
    return true;
}

static bool take_cord(void *context, const char *value)
{
    struct lethe_watcher *watch = context;
    return add(watch->cords, &watch->n_cords, LETHE_WATCH_CORDS_MAX, value);
}

static bool take_free(void *context, const char *value)
{
    struct lethe_watcher *watch = context;
    return add(watch->free, &watch->n_free, LETHE_WATCHED_FREE_MAX, value);
}

static bool take_freeze(void *context, const char *unused)
{
    (void)unused;
    return ((struct lethe_watcher *)context)->freeze = true;
}

static bool take_lid(void *context, const char *unused)
{
    (void)unused;
    return ((struct lethe_watcher *)context)->hotkey.lid = true;
}

static bool add_key(void *context, const char *value)
{
    return !lethe_hotkey_add(&((struct lethe_watcher *)context)->hotkey, value);
}

static bool take_hold(void *context, const char *value)
{
    enum { MINUTE = 60000 };
    uint64_t ms;
    if (lethe_text_number(lethe_span(value), MINUTE, &ms))
        return false;
    ((struct lethe_watcher *)context)->hotkey.hold_ms = (int64_t)ms;
    return true;
}

static bool take_grace(void *context, const char *value)
{
    return lethe_options_seconds(value, &((struct lethe_watcher *)context)->grace_seconds);
}

static bool take_early(void *context, const char *unused)
{
    (void)unused;
    return ((struct lethe_watcher *)context)->early = true;
}

static bool take_list(void *context, const char *unused)
{
    (void)unused;
    return ((struct lethe_watcher *)context)->list = true;
}

static const struct lethe_option options[] = {
    {"--list", NULL, "tell what would be watched and what can be a cord, and end", take_list,
     false},
    {"--cord", "usb:VVVV:PPPP[:SERIAL]|power", "fire when this is pulled out, too", take_cord,
     true},
    {"--freeze-usb", NULL, "fire when any USB device comes or goes", take_freeze, false},
    {"--free", "usb:VVVV:PPPP[:SERIAL]", "with --freeze-usb: this one may come and go", take_free,
     true},
    {"--lid", NULL, "fire when the lid is closed", take_lid, false},
    {"--key", "COMBINATION", "fire when these keys are held down together", add_key, true},
    {"--hold", "MS", "with --key: for so many milliseconds, 1000 by default", take_hold, false},
    {"--grace", "SECONDS", "with a persistence in use: count down so long before firing",
     take_grace, false},
    {"--early", NULL, "in the initramfs: until the system's own watcher has begun", take_early,
     false},
    {"--verb", "poweroff|reboot|halt", "how the machine is to end", lethe_now_take_verb, false},
    {"--sync", "SECONDS", "let what is still there be written back for so long",
     lethe_now_take_sync, false},
    {"--deadline", "SECONDS", "when the machine is switched off in any case",
     lethe_now_take_deadline, false},
};

_Static_assert(offsetof(struct lethe_watcher, kill) == 0, "the context of both kinds of options");

const struct lethe_usage lethe_watch_usage = {
    .command = "watch",
    .summary = "Stays in memory and fires the kill switch when the boot medium is pulled out.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
};
