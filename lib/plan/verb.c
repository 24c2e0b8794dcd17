/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/verb.h"

#include <string.h>

static const char *const names[] = {"none", "poweroff", "reboot", "halt", "kexec", "exit"};

enum lethe_verb lethe_verb_parse(const char *word)
{
    for (int v = LETHE_VERB_POWEROFF; v <= LETHE_VERB_EXIT; v++)
        if (!strcmp(word, names[v]))
            return (enum lethe_verb)v;
    return LETHE_VERB_NONE;
}

const char *lethe_verb_name(enum lethe_verb verb)
{
    return names[verb];
}
