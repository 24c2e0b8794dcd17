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

/* The numbers and flags that are handed on. A flag stands by its name alone, when it is set. */
static const struct field {
    const char *name;
    size_t offset;
    bool is_flag; /* a bool; else an int64_t */
} fields[] = {
    {"started", offsetof(struct lethe_end, started_ms), false},
    {"dead", offsetof(struct lethe_end, dead_ms), false},
    {"keys", offsetof(struct lethe_end, keys), false},
    {"keys-ms", offsetof(struct lethe_end, keys_ms), false},
    {"stopped", offsetof(struct lethe_end, stopped_ms), false},
    {"unreaped", offsetof(struct lethe_end, unreaped), false},
    {"init-memory", offsetof(struct lethe_end, init_memory), false},
    {"pause", offsetof(struct lethe_end, pause_seconds), false},
    {"sync-hung", offsetof(struct lethe_end, sync_hung), true},
    {"keys-left", offsetof(struct lethe_end, keys_left), true},
    {"cut-off", offsetof(struct lethe_end, cut_off), true},
    {"served", offsetof(struct lethe_end, served), true},
};
enum { N_FIELDS = sizeof fields / sizeof *fields };

static void take_field(struct lethe_end *end, const struct field *field, const char *value)
{
    char *at = (char *)end + field->offset;
    if (field->is_flag)
        *(bool *)at = true;
    else if (value)
        *(int64_t *)at = strtoll(value, NULL, 10);
}

void lethe_handover_take(struct lethe_end *end, const char *argument)
{
    if (strncmp(argument, "--lethe-", 8))
        return;
    const char *equals = strchr(argument, '='), *value = equals ? equals + 1 : NULL;
    struct lethe_span rest = lethe_span(argument + 8), name = lethe_text_cut(&rest, '=');
    if (value && lethe_span_is(name, "argument"))
        snprintf(end->argument, sizeof end->argument, "%s", value);
    const struct lethe_policy *policy =
        value && lethe_span_is(name, "policy") ? lethe_policy_find(value) : NULL;
    if (policy)
        end->policy = policy;
    for (size_t i = 0; i < N_FIELDS; i++)
        if (lethe_span_is(name, fields[i].name))
            take_field(end, &fields[i], value);
}

/* Adds an argument, if there is room for it and for the NUL at the end of all. */
static char *put_argument(char *out, const char *limit, const char *text, const char *value)
{
    int n = snprintf(out, (size_t)(limit - out), "--lethe-%s%s", text, value);
    if (n < 0 || n + 1 >= limit - out)
        return out;
    return out + n + 1;
}

static char *put_field(char *out, const char *limit, const struct lethe_end *end,
                       const struct field *field)
{
    const char *at = (const char *)end + field->offset;
    char number[32];
    if (field->is_flag)
        return *(const bool *)at ? put_argument(out, limit, field->name, "") : out;
    snprintf(number, sizeof number, "=%lld", (long long)*(const int64_t *)at);
    return put_argument(out, limit, field->name, number);
}

void lethe_handover_print(const struct lethe_end *end, char *out, size_t size)
{
    const char *limit = out + size;
    for (size_t i = 0; i < N_FIELDS; i++)
        out = put_field(out, limit, end, &fields[i]);
    out = put_argument(out, limit, "policy=", end->policy->name);
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
    char text[1024] = ""; /* zeros, so that the list ends wherever the file does */
    struct lethe_end told = *end;
    /* Only the kill switch writes the file; another build's policy may have another name. */
    told.policy = &lethe_policy_emergency;
    lethe_sys_read_text(AT_FDCWD, LETHE_ARMED_EMERGENCY, text, sizeof text - 1);
    for (char *at = text; *at; at += strlen(at) + 1)
        lethe_handover_take(&told, at);
    if (told.dead_ms &&
        lethe_sys_now_ms() < told.dead_ms + STALE_MS) /* else that kill switch came to nothing */
        *end = told;
}
