/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * handover: what one stage of an end tells the next, as arguments of its program, or in a file
 * where PID 1 is made to become the next stage.
 */
#ifndef LETHE_INIT_HANDOVER_H
#define LETHE_INIT_HANDOVER_H

#include "end.h"

/* Takes one argument; any that no stage has written is passed by. */
void lethe_handover_take(struct lethe_end *end, const char *argument);

/* Writes all into out[size], each with its NUL, after which there is one more. */
void lethe_handover_print(const struct lethe_end *end, char *out, size_t size);

/* The kill switch leaves them in LETHE_ARMED_EMERGENCY before it makes PID 1 exec Lethe. True when
 * they are there. */
bool lethe_handover_write(const struct lethe_end *end);

/* PID 1 takes them from there; those of a kill switch that came to nothing are passed by. */
void lethe_handover_read(struct lethe_end *end);

#endif
