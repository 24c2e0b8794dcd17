/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A message of the kernel's, which anybody might have sent, and an identity as a person writes it.
 */
#include "fuzz.h"

#include <string.h>

#include "lethe/plan/uevent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lethe_uevent event;
    if (lethe_uevent_parse(&event, (struct lethe_span){(const char *)data, size}))
        MUST(event.action <= LETHE_UEVENT_CHANGE && memchr(data, '@', size));
    char *text = malloc(size + 1), out[64];
    MUST(text);
    memcpy(text, data, size);
    text[size] = '\0';
    if (lethe_uevent_usb_identity(text, out, sizeof out))
        MUST(!strncmp(out, "usb:", 4) && strlen(out) == strlen(text));
    free(text);
    return 0;
}
