/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/cmdline.h"

#include <string.h>

static bool next_argument(struct lethe_span *rest, struct lethe_span *name,
                          struct lethe_span *value)
{
    while (rest->at) {
        struct lethe_span word = lethe_text_cut(rest, ' ');
        while (word.n && (word.at[word.n - 1] == '\n' || word.at[word.n - 1] == '"'))
            word.n--;
        if (lethe_span_is(word, "--"))
            return false;
        if (!word.n)
            continue;
        *value = word;
        *name = lethe_text_cut(value, '=');
        return true;
    }
    return false;
}

/* As parameq() in the kernel's kernel/params.c, for which '-' and '_' are one. */
static bool is_argument(struct lethe_span name, const char *wanted)
{
    for (size_t i = 0; i < name.n; i++)
        if (!wanted[i] || (name.at[i] != wanted[i] && !(name.at[i] == '-' && wanted[i] == '_')))
            return false;
    return !wanted[name.n];
}

bool lethe_cmdline_find(struct lethe_span text, const char *wanted, struct lethe_span *value)
{
    struct lethe_span name, given;
    bool found = false;
    while (next_argument(&text, &name, &given))
        if (is_argument(name, wanted)) {
            *value = given;
            found = true;
        }
    return found;
}

/* Reads "auto" (0), "on" (1), "off" (2), or a number of seconds, which means "on". False for
 * anything else. */
static bool parse_switch(struct lethe_span value, unsigned *which, unsigned *seconds)
{
    static const char *const words[] = {"auto", "on", "off"};
    uint64_t number = 0;
    for (*which = 0; *which < 3; ++*which)
        if (lethe_span_is(value, words[*which]))
            break;
    bool good = *which < 3 || (!lethe_text_number(value, 3600, &number) && number);
    if (*which == 3)
        *which = 1;
    *seconds = (unsigned)number;
    return good;
}

static bool parse_scrub(struct lethe_cmdline *cmdline, struct lethe_span value)
{
    unsigned which, seconds;
    if (!parse_switch(value, &which, &seconds))
        return false;
    cmdline->scrub = (enum lethe_cmdline_scrub)which;
    cmdline->scrub_seconds = seconds;
    return true;
}

static bool parse_verify(struct lethe_cmdline *cmdline, struct lethe_span value)
{
    unsigned which, seconds;
    if (!parse_switch(value, &which, &seconds))
        return false;
    cmdline->verify = (enum lethe_cmdline_verify)which;
    cmdline->verify_seconds = seconds;
    return true;
}

void lethe_cmdline_parse(struct lethe_cmdline *cmdline, struct lethe_span text)
{
    struct lethe_span name, value;
    *cmdline = (struct lethe_cmdline){.show_seconds = -1};
    while (next_argument(&text, &name, &value)) {
        uint64_t seconds;
        if (name.n < 6 || memcmp(name.at, "lethe.", 6))
            continue;
        if (lethe_span_is(name, "lethe.verbose") && !value.at) {
            cmdline->verbose = true;
        } else if (lethe_span_is(name, "lethe.pause") &&
                   !lethe_text_number(value, 3600, &seconds)) {
            cmdline->pause_seconds = (unsigned)seconds;
        } else if (lethe_span_is(name, "lethe.show") && !lethe_text_number(value, 3600, &seconds)) {
            cmdline->show_seconds = (int)seconds;
        } else if ((lethe_span_is(name, "lethe.scrub") && parse_scrub(cmdline, value)) ||
                   (lethe_span_is(name, "lethe.verify") && parse_verify(cmdline, value))) {
            continue;
        } else if (!cmdline->bad[0]) {
            size_t n = value.at ? name.n + 1 + value.n : name.n;
            n = n < sizeof cmdline->bad ? n : sizeof cmdline->bad - 1;
            memcpy(cmdline->bad, name.at, n);
        }
    }
}
