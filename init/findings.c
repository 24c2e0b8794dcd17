/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "findings.h"

#include <stdarg.h>
#include <stdio.h>

#include "command.h"

void lethe_findings_add(struct lethe_findings *f, enum lethe_weight weight, const char *id,
                        const char *format, ...)
{
    va_list list;
    if (f->n == LETHE_FINDINGS_MAX)
        return;
    struct lethe_finding *new = &f->list[f->n++];
    new->weight = weight;
    new->id = id;
    va_start(list, format);
    vsnprintf(new->text, sizeof new->text, format, list);
    va_end(list);
}

size_t lethe_findings_count(const struct lethe_findings *f, enum lethe_weight weight)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++)
        n += f->list[i].weight == weight;
    return n;
}

void lethe_findings_print(const struct lethe_findings *f)
{
    static const char *const titles[] = {"problem", "weakness", "strength"};
    for (enum lethe_weight weight = 0; weight < LETHE_WEIGHTS; weight++)
        for (size_t i = 0; i < f->n; i++)
            if (f->list[i].weight == weight)
                printf("%s: %s\n", titles[weight], f->list[i].text);
}

void lethe_findings_print_json(const struct lethe_findings *f)
{
    static const char *const names[] = {"problems", "weaknesses", "strengths"};
    for (enum lethe_weight weight = 0; weight < LETHE_WEIGHTS; weight++) {
        size_t n = 0;
        printf("  \"%s\": [", names[weight]);
        for (size_t i = 0; i < f->n; i++) {
            if (f->list[i].weight != weight)
                continue;
            fputs(n++ ? ",\n    {" : "\n    {", stdout);
            lethe_command_print_field("id", f->list[i].id);
            fputs(", ", stdout);
            lethe_command_print_field("text", f->list[i].text);
            putchar('}');
        }
        puts("],");
    }
}
