/* SPDX-License-Identifier: GPL-3.0-or-later */
/* taker: what a filler does in its own process (filler.h). */
#ifndef LETHE_KERNEL_TAKER_H
#define LETHE_KERNEL_TAKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What a filler and its parent share. It holds when it has what it could get, and takes no more
 * until the parent raises `turn`; it can go on as long as that is below n_turns. */
struct lethe_taker {
    pid_t pid; /* 0: it does not live */
    _Atomic bool holds;
    _Atomic unsigned turn, n_turns;
    _Atomic uint64_t pages; /* how many it has taken */
};

/* Takes one processor's share. All fillers together ask for half of what there is at a time, so
 * that none asks for the last of it. */
void lethe_taker_take_share(struct lethe_taker *t, int n_processors);

/* Returns how much the processors' fillers leave to the one that takes the rest, in bytes. */
uint64_t lethe_taker_floor(int n_processors);

/* Takes the rest, in turns. Returns only when there is no memory to work with. */
void lethe_taker_take_rest(struct lethe_taker *t);

/* Has the filler of the rest take its next turn. False when it has had all of them. */
bool lethe_taker_go_on(struct lethe_taker *t);

/* Returns MemFree of /proc/meminfo, in bytes. */
uint64_t lethe_taker_free_bytes(void);

#endif
