/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Other names for a user's: the first line is a path, the second the super options of an overlay.
 */
#include "fuzz.h"

#include <string.h>

#include "../unit/scene.h"
#include "lethe/plan/names.h"

static size_t count(const char *text, char c)
{
    size_t n = 0;
    for (; *text; text++)
        n += *text == c;
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct lethe_arena arena = heap_arena(data[0] ? (size_t)data[0] << 6 : 1 << 18);
    struct lethe_names names = {.arena = &arena, .keep = data[0] == 1};
    char *text = malloc(size), *options = NULL;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    if ((options = strchr(text, '\n')))
        *options++ = '\0';
    const char *path = lethe_names_path(&names, text), *again = lethe_names_path(&names, text);
    MUST(data[0] || path);
    MUST(!path || !again || !strcmp(path, again));
    MUST(!path || count(path, '/') == count(text, '/'));
    MUST(!path || !names.keep || !strcmp(path, text));
    const struct lethe_mount m = {
        .fstype = "overlay", .source = text, .super_options = options ? options : ""};
    const char *kept = lethe_names_options(&names, &m);
    MUST(data[0] || kept);
    MUST(!kept || !strpbrk(kept, " \t\n#") || strpbrk(m.super_options, " \t\n#"));
    lethe_names_source(&names, &m);
    lethe_names_dm_uuid(&names, text);
    free(text);
    free(arena.base);
    return 0;
}
