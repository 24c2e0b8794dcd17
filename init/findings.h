/* SPDX-License-Identifier: GPL-3.0-or-later */
/* findings: what `lethe status` has found, each with a name that stays the same for programs and a
 * sentence for people, which says what to do. */
#ifndef LETHE_INIT_FINDINGS_H
#define LETHE_INIT_FINDINGS_H

#include <stddef.h>

enum lethe_weight {
    LETHE_PROBLEM,  /* the end would not be Lethe's */
    LETHE_WEAKNESS, /* something would be left, or may be */
    LETHE_STRENGTH,
    LETHE_WEIGHTS,
};

struct lethe_finding {
    enum lethe_weight weight;
    const char *id; /* static text */
    char text[240];
};

enum { LETHE_FINDINGS_MAX = 96 };

struct lethe_findings {
    struct lethe_finding list[LETHE_FINDINGS_MAX];
    size_t n;
};

/* Adds a finding; one that finds no room is left out. */
void lethe_findings_add(struct lethe_findings *findings, enum lethe_weight weight, const char *id,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));

size_t lethe_findings_count(const struct lethe_findings *findings, enum lethe_weight weight);

/* Print the findings as lines, or as the JSON lists "problems", "weaknesses" and "strengths", each
 * with a comma behind it. */
void lethe_findings_print(const struct lethe_findings *findings);
void lethe_findings_print_json(const struct lethe_findings *findings);

#endif
