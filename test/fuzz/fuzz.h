/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the targets share: libFuzzer's entry and how a broken promise ends. */
#ifndef LETHE_FUZZ_H
#define LETHE_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(good)                                                                                 \
    do {                                                                                           \
        if (!(good)) {                                                                             \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #good);                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
