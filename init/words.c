/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which sentences the screen at the end will have: the integrator's, or those of the system's
 * language, checked and put where no file system has to be read for them at the end. */
#include "lethe/plan/words.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "command.h"
#include "lethe/kernel/face.h"
#include "lethe/kernel/sys.h"

#define OWN_WORDS "/etc/lethe/words"
#define INSTALLED_WORDS "/usr/share/lethe/words"

static void complain(void *context, const char *file, size_t line, struct lethe_span text,
                     const char *why)
{
    (void)file, (void)text;
    fprintf(stderr, "lethe arm: %s:%zu: %s; it is said in English\n", (const char *)context, line,
            why);
}

/* The first of the places that names a language has it; the environment comes last, for a service
 * manager's is older than what an installer or a greeter has set since. */
static bool find_language(char name[4])
{
    static const char *const files[] = {"/etc/locale.conf", "/etc/default/locale"};
    static const char *const settings[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
    enum {
        N_FILES = sizeof files / sizeof *files,
        N_SETTINGS = sizeof settings / sizeof *settings
    };
    char text[4096];
    for (size_t i = 0; i <= N_FILES; i++) {
        if (i < N_FILES && !lethe_sys_read_text(AT_FDCWD, files[i], text, sizeof text))
            continue;
        for (size_t j = 0; j < N_SETTINGS; j++) {
            const char *value = getenv(settings[j]);
            struct lethe_span locale = i < N_FILES
                                           ? lethe_words_setting(lethe_span(text), settings[j])
                                           : lethe_span(value ? value : "");
            if (lethe_words_language(locale, name))
                return true;
        }
    }
    return false;
}

/* The file's text, "" when there is none. */
static void choose(char *path, size_t path_size, char *text, size_t size)
{
    char language[4];
    snprintf(path, path_size, OWN_WORDS);
    ssize_t n = lethe_sys_read_file(AT_FDCWD, path, text, size - 1);
    if (n == -ENOENT && find_language(language)) {
        snprintf(path, path_size, INSTALLED_WORDS "/%s", language);
        n = lethe_sys_read_file(AT_FDCWD, path, text, size - 1);
    }
    if (n == -EFBIG)
        fprintf(stderr, "lethe arm: %s is too long; all is said in English\n", path);
    text[n > 0 ? n : 0] = '\0';
}

int lethe_command_write_words(void)
{
    char path[64], text[LETHE_WORDS_BYTES];
    struct lethe_words words;
    const struct lethe_complaint complaint = {complain, path};
    choose(path, sizeof path, text, sizeof text);
    lethe_words_parse(&words, lethe_span(text), &complaint);
    FILE *out = fopen(LETHE_FACE_WORDS, "we");
    if (!out)
        return -errno;
    fputs(text, out);
    return fclose(out) ? -errno : 0;
}
