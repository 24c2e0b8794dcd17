/* SPDX-License-Identifier: GPL-3.0-or-later */
/* now: the kill switch, as a person (now.c) or the watcher (watch.c) fires it. */
#ifndef LETHE_INIT_NOW_H
#define LETHE_INIT_NOW_H

#include <stdbool.h>
#include <stdint.h>

#include "lethe/plan/verb.h"

struct lethe_kill {
    enum lethe_verb verb;      /* poweroff, reboot or halt */
    int64_t triggered_ms;      /* lethe_sys_now_ms() when the reason for it came up */
    unsigned sync_seconds;     /* for so long data may be written back first; 0: not at all */
    unsigned deadline_seconds; /* when the machine is switched off in any case; 0: by its RAM */
    unsigned after_seconds;    /* `lethe now` first waits until no data have moved for so long */
    bool is_confined;          /* this process may do less than PID 1, and nobody has helped */
    const char *reason;        /* what the log says, such as "the medium sda is gone" */
};

/* Wipes the keys, ends every process, erases, and ends the machine. The caller is root in the first
 * pid namespace. It does not return. */
_Noreturn void lethe_now_fire(const struct lethe_kill *kill);

/* Take the value of --verb (poweroff, reboot or halt), --sync and --deadline (seconds) into a
 * struct lethe_kill, for struct lethe_option. False when it can't be used. */
bool lethe_now_take_verb(void *kill, const char *value);
bool lethe_now_take_sync(void *kill, const char *value);
bool lethe_now_take_deadline(void *kill, const char *value);

#endif
