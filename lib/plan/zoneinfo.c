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

/* The kernel closes a zone that has memory with its first page. */
bool lethe_zoneinfo_next(struct lethe_span *text, struct lethe_zone *zone)
{
    struct lethe_span line;
    uint64_t n;
    *zone = (struct lethe_zone){0};
    while (lethe_text_next_line(text, &line)) {
        line = trimmed(line);
        struct lethe_span name = lethe_text_cut(&line, ' ');
        if (lethe_text_number(trimmed(line), UINT64_MAX, &n))
            continue;
        if (lethe_span_is(name, "spanned"))
            zone->spanned = n;
        else if (lethe_span_is(name, "count:"))
            zone->kept += n;
        else if (lethe_span_is(name, "start_pfn:")) {
            zone->first = n;
            return true;
        }
    }
    return zone->kept;
}

uint64_t lethe_zoneinfo_kept(struct lethe_span text)
{
    struct lethe_zone zone;
    uint64_t sum = 0;
    while (lethe_zoneinfo_next(&text, &zone))
        sum += zone.kept;
    return sum;
}
