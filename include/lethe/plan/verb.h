/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * verb: what systemd-shutdown asks for. It execs /shutdown VERB [options] (docs/facts.md, How
 * systemd hands over). A missing or unknown verb is left to the caller.
 */
#ifndef LETHE_PLAN_VERB_H
#define LETHE_PLAN_VERB_H

enum lethe_verb {
    LETHE_VERB_NONE,
    LETHE_VERB_POWEROFF,
    LETHE_VERB_REBOOT,
    LETHE_VERB_HALT,
    LETHE_VERB_KEXEC,
    LETHE_VERB_EXIT,
};

/* Returns the verb that a word names, LETHE_VERB_NONE for any other word. */
enum lethe_verb lethe_verb_parse(const char *word);
const char *lethe_verb_name(enum lethe_verb verb);

#endif
