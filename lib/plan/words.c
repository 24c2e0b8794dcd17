/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/words.h"

#include <string.h>

static const struct word {
    const char *name, *english;
} known[LETHE_WORDS] = {
    [LETHE_WORD_WORKING] = {"working",
                            "What was done on this computer is being erased from its memory."},
    [LETHE_WORD_HANDS] = {"hands", "Please wait, and do not switch it off: it goes off by itself."},
    [LETHE_WORD_FILES] = {"files", "Files"},
    [LETHE_WORD_MEMORY] = {"memory", "Free memory"},
    [LETHE_WORD_DONE] = {"done", "All is erased. The boot medium can be taken out."},
    [LETHE_WORD_LEFT] = {"left", "NOT everything could be erased."},
    [LETHE_WORD_LEFT_FILES] = {"left-files", "Some files are still in memory."},
    [LETHE_WORD_LEFT_MEMORY] = {"left-memory", "Free memory was not overwritten: it may still hold "
                                               "parts of what was open."},
    [LETHE_WORD_LEFT_PARTS] = {"left-parts", "A disk or a program did not let go: what it was "
                                             "used for may still be in memory."},
    [LETHE_WORD_MEANS] = {"means", "Whoever gets hold of this computer within the next minutes "
                                   "might read it."},
    [LETHE_WORD_ADVICE] = {"advice", "Leave it switched off and without power for ten minutes, "
                                     "out of reach of others. If it has a battery that can be "
                                     "taken out, take it out."},
};

void lethe_words_default(struct lethe_words *words)
{
    for (size_t i = 0; i < LETHE_WORDS; i++)
        memcpy(words->text[i], known[i].english, strlen(known[i].english) + 1);
}

/* Returns how many bytes follow the first byte of a character (RFC 3629), or -1 if it can't be
 * first. */
static int followers(unsigned char first)
{
    if (first < 0x80)
        return 0;
    if (first < 0xc2 || first > 0xf4)
        return -1;
    return first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
}

size_t lethe_words_character(const char *text, size_t n)
{
    const unsigned char *at = (const unsigned char *)text;
    int more = n ? followers(at[0]) : -1;
    if (more < 0 || (size_t)more >= n || at[0] < ' ' || at[0] == 0177)
        return 0;
    for (int i = 1; i <= more; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    if (at[0] == 0xc2 && at[1] < 0xa0) /* control characters, as a terminal takes them too */
        return 0;
    return (size_t)more + 1;
}

static bool is_printable(struct lethe_span text)
{
    size_t at = 0;
    for (size_t n = 1; n && at < text.n; at += n)
        n = lethe_words_character(text.at + at, text.n - at);
    return at == text.n;
}

static size_t find(struct lethe_span name)
{
    size_t i = 0;
    while (i < LETHE_WORDS && !lethe_span_is(name, known[i].name))
        i++;
    return i;
}

static const char *take(struct lethe_words *words, struct lethe_span line)
{
    struct lethe_span name = lethe_text_cut(&line, '=');
    size_t word = find(name);
    if (!line.at || word == LETHE_WORDS)
        return "no word is named so";
    if (!line.n || line.n > LETHE_WORD_BYTES)
        return "the sentence is empty or too long";
    if (!is_printable(line))
        return "the sentence can't be printed";
    memcpy(words->text[word], line.at, line.n);
    words->text[word][line.n] = '\0';
    return NULL;
}

unsigned lethe_words_parse(struct lethe_words *words, struct lethe_span file,
                           const struct lethe_complaint *complaint)
{
    struct lethe_span line;
    unsigned told = 0;
    for (size_t number = 1; lethe_text_next_line(&file, &line); number++) {
        const char *why = line.n && line.at[0] != '#' ? take(words, line) : NULL;
        if (why)
            complaint->tell(complaint->context, "words", number, line, why);
        told += why != NULL;
    }
    return told;
}

static bool is_letter(char c)
{
    return c >= 'a' && c <= 'z';
}

bool lethe_words_language(struct lethe_span locale, char name[4])
{
    size_t n = 0;
    while (n < locale.n && n < 3 && is_letter(locale.at[n]))
        n++;
    bool ends = n == locale.n || locale.at[n] == '_' || locale.at[n] == '.' || locale.at[n] == '@';
    n = n >= 2 && ends ? n : 0;
    if (n)
        memcpy(name, locale.at, n);
    name[n] = '\0';
    return n != 0;
}

static struct lethe_span unquoted(struct lethe_span value)
{
    if (value.n >= 2 && (value.at[0] == '"' || value.at[0] == '\'') &&
        value.at[value.n - 1] == value.at[0])
        return (struct lethe_span){value.at + 1, value.n - 2};
    return value;
}

struct lethe_span lethe_words_setting(struct lethe_span file, const char *name)
{
    struct lethe_span line, found = {"", 0};
    while (lethe_text_next_line(&file, &line)) {
        struct lethe_span value = line, key = lethe_text_cut(&value, '=');
        if (value.at && lethe_span_is(key, name))
            found = unquoted(value);
    }
    return found;
}
