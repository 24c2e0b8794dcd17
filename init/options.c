/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "options.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "lethe/plan/text.h"

enum { GIVEN_MAX = 16 };

struct reading {
    const struct lethe_usage *usage;
    void *context;
    bool given[GIVEN_MAX], operand;
};

static int print_help(const struct lethe_usage *u)
{
    char left[64];
    printf("usage: lethe %s%s%s%s%s\n\n%s\n", u->command, u->n_options ? " [OPTION...]" : "",
           u->operand ? " [" : "", u->operand ? u->operand : "", u->operand ? "]" : "", u->summary);
    for (size_t i = 0; i < u->n_options; i++) {
        const struct lethe_option *o = &u->options[i];
        snprintf(left, sizeof left, "%s%s%s", o->name, o->value ? "=" : "",
                 o->value ? o->value : "");
        printf("%s  %-24s %s\n", i ? "" : "\n", left, o->help);
    }
    puts("\nSee lethe(8).");
    return lethe_command_flush(u->command) ? 2 : 0;
}

/* Refuses in one line, whatever the word holds; words that somebody has typed stand in quotes. */
static int refuse(const struct reading *r, const char *word, const char *why, const char *what)
{
    char shown[200];
    bool is_name = false;
    for (size_t i = 0; i < r->usage->n_options; i++)
        is_name |= word == r->usage->options[i].name;
    const char *quote = is_name ? "" : "'";
    fprintf(stderr, "lethe %s: %s%s%s%s%s; nothing was done. See lethe %s --help\n",
            r->usage->command, quote, lethe_text_printable(shown, sizeof shown, word), quote, why,
            what, r->usage->command);
    return 2;
}

static const struct lethe_option *find_option(const struct lethe_usage *u, const char *word)
{
    const size_t n = strcspn(word, "=");
    for (size_t i = 0; i < u->n_options; i++)
        if (!strncmp(u->options[i].name, word, n) && !u->options[i].name[n] &&
            (u->options[i].value || !word[n]))
            return &u->options[i];
    return NULL;
}

/* Writes what an option needs into text[size]: "a directory" for DIRECTORY. Returns text. */
static const char *needed(const struct lethe_option *o, char *text, size_t size)
{
    size_t n =
        (size_t)snprintf(text, size, "%s", strcmp(o->value, "SECONDS") ? "a " : "a number of ");
    for (const char *c = o->value; *c && n < size - 1; c++)
        text[n++] = (char)tolower((unsigned char)*c);
    text[n] = '\0';
    return text;
}

/* Takes an option and returns how many words it had; 0 with *status set when it can't be used. */
static int take_option(struct reading *r, const struct lethe_option *o, char **words, int *status)
{
    const char *equals = strchr(words[0], '='), *value = equals ? equals + 1 : "";
    const size_t place = (size_t)(o - r->usage->options);
    char text[64];
    int n = 1;
    if (o->value && !equals) {
        value = words[1];
        n = 2;
    }
    if (!value || (o->value && !value[0]))
        *status = refuse(r, o->name, " needs ", needed(o, text, sizeof text));
    else if (!o->many && r->given[place])
        *status = refuse(r, o->name, " is given twice", "");
    else if (!o->take(r->context, value))
        *status = equals ? refuse(r, words[0], " can't be used", "")
                  : o->value
                      ? refuse(r, value, " can't be used for ", o->name)
                      : refuse(r, o->name, " can't be used beside what was given before", "");
    else
        *status = -1;
    r->given[place] = true;
    return *status < 0 ? n : 0;
}

static bool take_operand(struct reading *r, const char *word, int *status)
{
    const struct lethe_usage *u = r->usage;
    if (!u->operand || word[0] == '-')
        *status = refuse(r, word, ": unknown argument", "");
    else if (r->operand)
        *status = refuse(r, word, ": one too many", "");
    else if (!u->take(r->context, word))
        *status = refuse(r, word, ": no ", u->operand);
    else
        return r->operand = true;
    return false;
}

bool lethe_options_read(const struct lethe_usage *usage, void *context, int argc, char **argv,
                        int *status)
{
    struct reading r = {.usage = usage, .context = context};
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            *status = print_help(usage);
            return false;
        }
    for (int i = 1, n; i < argc; i += n) {
        const struct lethe_option *o = find_option(usage, argv[i]);
        n = 1;
        if (o ? !(n = take_option(&r, o, argv + i, status)) : !take_operand(&r, argv[i], status))
            return false;
    }
    return true;
}

bool lethe_options_seconds(const char *value, unsigned *seconds)
{
    enum { DAY = 86400 };
    uint64_t n;
    if (lethe_text_number(lethe_span(value), DAY, &n))
        return false;
    *seconds = (unsigned)n;
    return true;
}
