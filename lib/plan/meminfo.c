/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/meminfo.h"

#include "lethe/plan/mountinfo.h"

uint64_t lethe_meminfo(struct lethe_span text, const char *name)
{
    struct lethe_span line;
    uint64_t kib;
    while (lethe_text_next_line(&text, &line)) {
        if (!lethe_span_is(lethe_text_cut(&line, ':'), name))
            continue;
        while (line.n && *line.at == ' ') {
            line.at++;
            line.n--;
        }
        return lethe_text_number(lethe_text_cut(&line, ' '), UINT64_MAX, &kib) ? 0 : kib;
    }
    return 0;
}
