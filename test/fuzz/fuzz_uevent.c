/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A message of the kernel's, which anybody might have sent. */
#include "fuzz.h"

#include <string.h>

#include "lethe/uevent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lethe_uevent event;
    if (lethe_uevent_parse(&event, (struct lethe_span){(const char *)data, size}))
        MUST(event.action <= LETHE_ACTION_CHANGE && memchr(data, '@', size));
    return 0;
}
