/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cmdline: the kernel's command line, and the arguments on it that concern Lethe. */
#ifndef LETHE_PLAN_CMDLINE_H
#define LETHE_PLAN_CMDLINE_H

#include <stdbool.h>

#include "lethe/plan/text.h"

/* Whether free memory is filled at the end. */
enum lethe_cmdline_scrub {
    LETHE_CMDLINE_SCRUB_AUTO, /* unless the kernel is seen to zero what is freed */
    LETHE_CMDLINE_SCRUB_ON,
    LETHE_CMDLINE_SCRUB_OFF,
};

/* Whether free memory is read back after that. */
enum lethe_cmdline_verify {
    LETHE_CMDLINE_VERIFY_AUTO, /* all that was not filled; some of it where the kernel zeroes it */
    LETHE_CMDLINE_VERIFY_ON,
    LETHE_CMDLINE_VERIFY_OFF,
};

/* The kernel arguments that concern Lethe. */
struct lethe_cmdline {
    bool verbose;                     /* lethe.verbose */
    unsigned pause_seconds;           /* lethe.pause=SECONDS, 0 to 3600 */
    int show_seconds;                 /* lethe.show=SECONDS, 0 to 3600; -1: the policy's */
    enum lethe_cmdline_scrub scrub;   /* lethe.scrub=auto|on|off|SECONDS */
    unsigned scrub_seconds;           /* its limit, 0: the policy's */
    enum lethe_cmdline_verify verify; /* lethe.verify=auto|on|off|SECONDS */
    unsigned verify_seconds; /* the limit of reading and filling again, 0: none of its own */
    char bad[64];            /* the first lethe.* argument that could not be used, else "" */
};

/* Reads the text of /proc/cmdline. What stands behind " -- " is init's. */
void lethe_cmdline_parse(struct lethe_cmdline *cmdline, struct lethe_span text);

/* True when the kernel argument `name`, which has no '-' but '_', stands in the text; *value is then
 * what follows its '=', or an empty span. The last one counts, as it does for the kernel. */
bool lethe_cmdline_find(struct lethe_span text, const char *name, struct lethe_span *value);

#endif
