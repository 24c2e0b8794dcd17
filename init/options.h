/* SPDX-License-Identifier: GPL-3.0-or-later */
/* options: reads the words behind a command's name, alike for all commands. A word that is unknown,
 * given twice, or lacks its value is refused before anything is done; --help and -h tell a
 * command's options. */
#ifndef LETHE_INIT_OPTIONS_H
#define LETHE_INIT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

struct lethe_option {
    const char *name;  /* "--root" */
    const char *value; /* what is to follow, as --root=VALUE or as the next word; NULL: nothing */
    const char *help;
    bool (*take)(void *context, const char *value); /* false: can't be used. Without a value "" */
    bool many;                                      /* may be given more than once */
};

struct lethe_usage {
    const char *command, *summary;
    const struct lethe_option *options;
    size_t n_options;
    const char *operand; /* what a word without dashes is; NULL: there is none */
    bool (*take)(void *context, const char *word);
};

/* True when all could be used; else *status is the command's exit status: 0 after --help, or 2. */
bool lethe_options_read(const struct lethe_usage *usage, void *context, int argc, char **argv,
                        int *status);

/* Reads whole seconds, a day at most. False for anything else. */
bool lethe_options_seconds(const char *value, unsigned *seconds);

#endif
