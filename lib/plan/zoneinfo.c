/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/zoneinfo.h"

#include "lethe/plan/mountinfo.h"

static struct lethe_span trimmed(struct lethe_span line)
{
    while (line.n && *line.at == ' ') {
        line.at++;
        line.n--;
    }
    return line;
}

uint64_t lethe_zoneinfo_kept(struct lethe_span text)
{
    struct lethe_span line;
    uint64_t sum = 0, n;
    while (lethe_text_next_line(&text, &line)) {
        line = trimmed(line);
        if (lethe_span_is(lethe_text_cut(&line, ':'), "count") &&
            !lethe_text_number(trimmed(line), UINT32_MAX, &n))
            sum += n;
    }
    return sum;
}
