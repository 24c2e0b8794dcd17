/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lethe/init.h"
#include "lethe/snapshot.h"

int lethe_command_bad_option(const char *command, const char *option)
{
    fprintf(stderr, "lethe %s: unknown argument '%s'; nothing was done. See lethe --help\n",
            command, option);
    return 2;
}

int lethe_command_refuse(const char *command, const char *why)
{
    fprintf(stderr, "lethe %s: %s; nothing was done\n", command, why);
    return 2;
}

static int take(const char *command, const char *tree, bool namespaces,
                struct lethe_snapshot *snapshot, struct lethe_arena *arena)
{
    *arena = lethe_arena_map();
    int root = open(tree ? tree : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = root < 0 ? -errno
                     : lethe_snapshot_take(snapshot, root, !tree, arena, &lethe_complain_to_log);
    if (!r && namespaces)
        r = lethe_snapshot_add_namespaces(snapshot, root, !tree, arena);
    if (root >= 0)
        close(root);
    if (r)
        fprintf(stderr, "lethe %s: %s/proc/self/mountinfo: %s\n", command, tree ? tree : "",
                strerror(-r));
    return r;
}

int lethe_command_snapshot(const char *command, const char *tree, struct lethe_snapshot *snapshot,
                           struct lethe_arena *arena)
{
    return take(command, tree, false, snapshot, arena);
}

int lethe_command_whole_snapshot(const char *command, const char *tree,
                                 struct lethe_snapshot *snapshot, struct lethe_arena *arena)
{
    return take(command, tree, true, snapshot, arena);
}

size_t lethe_command_armed_mount(const struct lethe_snapshot *snapshot)
{
    for (size_t i = snapshot->n_mounts; i--;) {
        const struct lethe_mount *m = &snapshot->mounts[i];
        if (!strcmp(m->path, LETHE_ARMED_DIR))
            return !strcmp(m->fstype, "tmpfs") && !strcmp(m->source, "lethe") ? i : LETHE_NONE;
    }
    return LETHE_NONE;
}

bool lethe_command_take_seconds(const char *argument, const char *option, unsigned *seconds)
{
    enum { DAY = 86400 };
    uint64_t n;
    size_t length = strlen(option);
    if (strncmp(argument, option, length) || lethe_number(lethe_span(argument + length), DAY, &n))
        return false;
    *seconds = (unsigned)n;
    return true;
}

void lethe_command_print_json(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < ' ' || c >= 0177) /* not all names are UTF-8: each byte by its number */
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

void lethe_command_print_field(const char *name, const char *text)
{
    printf("\"%s\": ", name);
    lethe_command_print_json(text);
}
