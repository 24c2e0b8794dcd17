/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * words: the sentences for the person in front of the screen, in that person's language.
 *
 * A file of words has lines "name=sentence" in UTF-8; empty lines and those that begin with '#' are
 * passed over. What it does not have is said in English. init/words/ holds those that are
 * installed.
 */
#ifndef LETHE_PLAN_WORDS_H
#define LETHE_PLAN_WORDS_H

#include "lethe/plan/mountinfo.h"

enum lethe_word {
    LETHE_WORD_WORKING,     /* the headline while everything is being erased */
    LETHE_WORD_HANDS,       /* what not to do meanwhile */
    LETHE_WORD_FILES,       /* the label of the bar while files are zeroed */
    LETHE_WORD_MEMORY,      /* the label of the bar while free memory is filled */
    LETHE_WORD_DONE,        /* all is erased, and the medium may be taken out */
    LETHE_WORD_LEFT,        /* the headline when something is left */
    LETHE_WORD_LEFT_FILES,  /* left in RAM file systems */
    LETHE_WORD_LEFT_MEMORY, /* left in free memory */
    LETHE_WORD_LEFT_PARTS,  /* left with a disk or process that did not let go */
    LETHE_WORD_MEANS,       /* what that means */
    LETHE_WORD_ADVICE,      /* what to do */
    LETHE_WORDS
};

enum { LETHE_WORD_BYTES = 200, LETHE_WORDS_BYTES = 4096 };

struct lethe_words {
    char text[LETHE_WORDS][LETHE_WORD_BYTES + 1]; /* each NUL-terminated */
};

/* Fills in the English sentences. */
void lethe_words_default(struct lethe_words *words);

/* Replaces English sentences by those of a file. A line that is no such line, has an unknown name,
 * or whose sentence is empty, longer than LETHE_WORD_BYTES or anything but printable UTF-8, goes to
 * `complaint`; the word stays as it was. Returns how many lines did. */
unsigned lethe_words_parse(struct lethe_words *words, struct lethe_span file,
                           const struct lethe_complaint *complaint);

/* Writes the language of a locale's name into `name`: "de" of "de_DE.UTF-8". False, and "", for
 * "C", "POSIX" and what is no locale. */
bool lethe_words_language(struct lethe_span locale, char name[4]);

/* Returns the value of NAME=VALUE or NAME="VALUE" in a file of a shell's assignments such as
 * /etc/default/locale; the last one counts. An empty span when there is none. */
struct lethe_span lethe_words_setting(struct lethe_span file, const char *name);

/* Returns how many bytes the character at text[n] has: 0 when it is none that can be printed. */
size_t lethe_words_character(const char *text, size_t n);

#endif
