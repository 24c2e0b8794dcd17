/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The kernel's command line. */
#include "fuzz.h"

#include <string.h>

#include "lethe/plan/cmdline.h"
#include "lethe/plan/meminfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lethe_cmdline cmdline;
    const struct lethe_span text = {(const char *)data, size};
    struct lethe_span value;
    char out[64];
    lethe_cmdline_parse(&cmdline, text);
    MUST(cmdline.pause_seconds <= 3600);
    MUST(strlen(cmdline.bad) < sizeof cmdline.bad);
    MUST(!cmdline.bad[0] || !strncmp(cmdline.bad, "lethe.", 6));
    MUST(strlen(lethe_text_printable(out, sizeof out, cmdline.bad)) < sizeof out);
    if (lethe_cmdline_find(text, "lethe.verbose", &value) && !value.at)
        MUST(cmdline.verbose);
    if (lethe_cmdline_find(text, "init_on_free", &value) && value.n)
        MUST(value.at >= text.at && value.at + value.n <= text.at + size);
    lethe_meminfo(text, "Dirty");
    return 0;
}
