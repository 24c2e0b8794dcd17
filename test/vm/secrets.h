/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a planted secret looks like. Each kind has a pattern of 16 printable characters which are
 * computed from the kind's name, so that they stand in no program file, no page cache and no
 * command line: where one is found in RAM, it was planted there.
 */
#pragma once

#include <stdint.h>

enum { SECRET_SIZE = 16 };

static inline void secret_pattern(const char *kind, unsigned char out[static SECRET_SIZE])
{
    static const char alphabet[64] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    uint64_t h = 0xcbf29ce484222325;

    for (; *kind; kind++)
        h = (h ^ (unsigned char)*kind) * 0x100000001b3;
    for (int i = 0; i < SECRET_SIZE; i++) {
        h ^= h << 13;
        h ^= h >> 7;
        h ^= h << 17;
        out[i] = (unsigned char)alphabet[h >> 58];
    }
}
