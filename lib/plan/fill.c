/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/fill.h"

#include <stdio.h>

typedef unsigned long long ull;

/* Free memory that was neither filled nor read: what MemFree counts, and what the processors' own
 * lists keep. */
static uint64_t unknown_kib(const struct lethe_fill *f)
{
    return f->kept_kib + (f->look == LETHE_FILL_LOOK_WHOLE ? 0
                          : f->free_kib > f->read_kib      ? f->free_kib - f->read_kib
                                                           : 0);
}

bool lethe_fill_is_clean(const struct lethe_fill *fill)
{
    if (fill->not_zero)
        return false;
    return fill->kernel_clears ||
           (fill->is_filled && unknown_kib(fill) <= LETHE_FILL_UNKNOWN_KIB_MAX);
}

static void print_filled(char *out, size_t size, const struct lethe_fill *f)
{
    static const char *const why[] = {
        [LETHE_FILL_LOOK_NONE] = "was not read back",
        [LETHE_FILL_LOOK_REFUSED] = "could not be read back",
        [LETHE_FILL_LOOK_PART] = "was not read back",
        [LETHE_FILL_LOOK_WHOLE] = "",
    };
    int n = snprintf(out, size, "%llu MiB of free memory filled", (ull)f->held_kib >> 10);
    if (n < 0 || (size_t)n >= size)
        return;
    out += n;
    size -= (size_t)n;
    if (f->not_zero)
        snprintf(out, size, " and read back: %llu pages are not zero", (ull)f->not_zero);
    else if (f->look != LETHE_FILL_LOOK_WHOLE)
        snprintf(out, size, " but for %llu KiB, which %s", (ull)unknown_kib(f), why[f->look]);
    else if (f->kept_kib)
        snprintf(out, size,
                 " and read back, all zero but for at most %llu KiB of processors' lists",
                 (ull)f->kept_kib);
    else
        snprintf(out, size, " and read back, all zero");
}

void lethe_fill_print(char *out, size_t size, const struct lethe_fill *fill)
{
    if (fill->is_filled)
        print_filled(out, size, fill);
    else if (!fill->kernel_clears)
        snprintf(out, size, "free memory NOT zeroed");
    else if (fill->not_zero)
        snprintf(out, size, "free memory zeroed by the kernel, but for %llu pages",
                 (ull)fill->not_zero);
    else if (fill->read_kib)
        snprintf(out, size, "free memory zeroed by the kernel, %llu MiB of it read back",
                 (ull)fill->read_kib >> 10);
    else
        snprintf(out, size, "free memory zeroed by the kernel");
}
