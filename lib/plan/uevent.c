/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/uevent.h"

#include <string.h>

static bool take(struct lethe_span *field, const char *key)
{
    size_t n = strlen(key);
    if (field->n < n || memcmp(field->at, key, n) != 0)
        return false;
    *field = (struct lethe_span){field->at + n, field->n - n};
    return true;
}

static void read_number(struct lethe_span field, unsigned *number)
{
    uint64_t n;
    if (!lethe_text_number(field, UINT32_MAX, &n))
        *number = (unsigned)n;
}

static void read_subsystem(struct lethe_uevent *event, struct lethe_span name)
{
    event->is_block = lethe_span_is(name, "block");
    event->is_usb = lethe_span_is(name, "usb");
    event->is_power = lethe_span_is(name, "power_supply");
}

static void read_action(struct lethe_uevent *event, struct lethe_span action)
{
    event->action = lethe_span_is(action, "add")      ? LETHE_UEVENT_ADD
                    : lethe_span_is(action, "remove") ? LETHE_UEVENT_REMOVE
                    : lethe_span_is(action, "change") ? LETHE_UEVENT_CHANGE
                                                      : LETHE_UEVENT_OTHER;
}

bool lethe_uevent_parse(struct lethe_uevent *event, struct lethe_span message)
{
    *event = (struct lethe_uevent){0};
    struct lethe_span field = lethe_text_cut(&message, '\0');
    if (!field.n || !memchr(field.at, '@', field.n))
        return false;
    while (message.n) {
        field = lethe_text_cut(&message, '\0');
        if (take(&field, "ACTION="))
            read_action(event, field);
        else if (take(&field, "SUBSYSTEM="))
            read_subsystem(event, field);
        else if (take(&field, "MAJOR="))
            read_number(field, &event->devno.major);
        else if (take(&field, "MINOR="))
            read_number(field, &event->devno.minor);
        else if (take(&field, "DISK_MEDIA_CHANGE=") || take(&field, "DISK_EJECT_REQUEST="))
            event->media = true;
    }
    return true;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool lethe_uevent_usb_identity(const char *text, char *out, size_t size)
{
    static const char shape[] = "usb:xxxx:xxxx";
    enum { N = sizeof shape - 1 };
    size_t n = strlen(text);
    if (n < N || n >= size || (n > N && (text[N] != ':' || n == N + 1)))
        return false;
    for (size_t i = 0; i < N; i++)
        if (shape[i] == 'x' ? !is_hex(text[i]) : text[i] != shape[i])
            return false;
    memcpy(out, text, n + 1);
    for (size_t i = 0; i < N; i++)
        if (out[i] >= 'A' && out[i] <= 'F')
            out[i] = (char)(out[i] - 'A' + 'a');
    return true;
}
