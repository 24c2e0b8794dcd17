/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * handover: what one stage of an end tells the next, as arguments of its program, or in a file
 * where PID 1 is made to become the next stage.
 */
#ifndef LETHE_INIT_HANDOVER_H
#define LETHE_INIT_HANDOVER_H

#include "end.h"

/* Takes one argument. An argument that no stage has written is ignored. */
void lethe_handover_take(struct lethe_end *end, const char *argument);

/* Writes all arguments into out[size], each with its NUL; one more NUL ends the list. */
void lethe_handover_print(const struct lethe_end *end, char *out, size_t size);

/* Writes the arguments into LETHE_ARMED_EMERGENCY before the kill switch makes PID 1 exec Lethe.
 * True when they are there. */
bool lethe_handover_write(const struct lethe_end *end);

/* Reads them as PID 1. Those of a kill switch that came to nothing are ignored. */
void lethe_handover_read(struct lethe_end *end);

#endif
