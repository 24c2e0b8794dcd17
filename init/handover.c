/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "handover.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "init.h"
#include "lethe/kernel/sys.h"

/* The numbers that are handed on. */
static const struct field {
    const char *name;
    size_t offset;
} fields[] = {
    {"started", offsetof(struct lethe_end, started_ms)},
    {"dead", offsetof(struct lethe_end, dead_ms)},
    {"keys", offsetof(struct lethe_end, keys)},
    {"keys-ms", offsetof(struct lethe_end, keys_ms)},
    {"stopped", offsetof(struct lethe_end, stopped_ms)},
    {"unreaped", offsetof(struct lethe_end, unreaped)},
    {"init-memory", offsetof(struct lethe_end, init_memory)},
    {"pause", offsetof(struct lethe_end, pause_seconds)},
};
enum { N_FIELDS = sizeof fields / sizeof *fields };

void lethe_handover_take(struct lethe_end *end, const char *argument)
{
    const char *value = strchr(argument, '=');
    if (strncmp(argument, "--lethe-", 8))
        return;
    argument += 8;
    if (!strcmp(argument, "sync-hung"))
        end->sync_hung = true;
    if (!strcmp(argument, "keys-left"))
        end->keys_left = true;
    if (!strcmp(argument, "cut-off"))
        end->cut_off = true;
    if (!strcmp(argument, "served"))
        end->served = true;
    if (!strcmp(argument, "emergency"))
        end->policy = &lethe_policy_emergency;
    if (!value)
        return;
    const struct lethe_span name = {argument, (size_t)(value++ - argument)};
    if (lethe_span_is(name, "argument"))
        snprintf(end->argument, sizeof end->argument, "%s", value);
    for (size_t i = 0; i < N_FIELDS; i++)
        if (lethe_span_is(name, fields[i].name))
            *(int64_t *)((char *)end + fields[i].offset) = strtoll(value, NULL, 10);
}

/* Adds one, if there is room for it and for the NUL at the end of all. */
static char *put_argument(char *out, const char *limit, const char *text, const char *value)
{
    int n = snprintf(out, (size_t)(limit - out), "--lethe-%s%s", text, value);
    if (n < 0 || n + 1 >= limit - out)
        return out;
    return out + n + 1;
}

void lethe_handover_print(const struct lethe_end *end, char *out, size_t size)
{
    const char *limit = out + size;
    char number[32];
    for (size_t i = 0; i < N_FIELDS; i++) {
        snprintf(number, sizeof number, "=%lld",
                 (long long)*(const int64_t *)((const char *)end + fields[i].offset));
        out = put_argument(out, limit, fields[i].name, number);
    }
    if (end->policy->tells_times)
        out = put_argument(out, limit, "emergency", "");
    if (end->sync_hung)
        out = put_argument(out, limit, "sync-hung", "");
    if (end->keys_left)
        out = put_argument(out, limit, "keys-left", "");
    if (end->cut_off)
        out = put_argument(out, limit, "cut-off", "");
    if (end->served)
        out = put_argument(out, limit, "served", "");
    out = put_argument(out, limit, "argument=", end->argument);
    *out = '\0';
}

bool lethe_handover_write(const struct lethe_end *end)
{
    char text[1024];
    lethe_handover_print(end, text, sizeof text);
    const char *limit = text;
    while (*limit)
        limit += strlen(limit) + 1;
    unlink(LETHE_ARMED_EMERGENCY); /* never into a file that is there */
    int fd = open(LETHE_ARMED_EMERGENCY, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool good = write(fd, text, (size_t)(limit + 1 - text)) == limit + 1 - text;
    return !close(fd) && good;
}

void lethe_handover_read(struct lethe_end *end)
{
    enum { STALE_MS = 60000 };
    char text[1024] = ""; /* all of it zero: the list ends wherever the file does */
    struct lethe_end told = *end;
    lethe_read_text(AT_FDCWD, LETHE_ARMED_EMERGENCY, text, sizeof text - 1);
    for (char *at = text; *at; at += strlen(at) + 1)
        lethe_handover_take(&told, at);
    if (lethe_now_ms() < told.dead_ms + STALE_MS) /* else it is of one that came to nothing */
        *end = told;
}
