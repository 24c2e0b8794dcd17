/* SPDX-License-Identifier: GPL-3.0-or-later */
/* command: what the commands share. */
#ifndef LETHE_INIT_COMMAND_H
#define LETHE_INIT_COMMAND_H

#include "lethe/plan/model.h"

/* Says why the command can't begin; returns the exit status 2. */
int lethe_command_refuse(const char *command, const char *why);

/* Takes the running system's snapshot, or that of a captured tree when `tree` is not NULL. 0, or
 * -errno with the reason printed. */
int lethe_command_snapshot(const char *command, const char *tree, struct lethe_snapshot *snapshot,
                           struct lethe_arena *arena);

/* As lethe_command_snapshot(), with the mount namespaces of processes. */
int lethe_command_whole_snapshot(const char *command, const char *tree,
                                 struct lethe_snapshot *snapshot, struct lethe_arena *arena);

/* Returns the mount on which an armed Lethe stands (a file system in RAM on LETHE_ARMED_DIR, named
 * "lethe"), or LETHE_NONE. */
size_t lethe_command_armed_mount(const struct lethe_snapshot *snapshot);

/* Flushes stdout. 0, or -errno with the reason printed. */
int lethe_command_flush(const char *command);

/* Chooses the sentences for the screen at the end, and puts them where the end finds them (face.h).
 * What can't be used of a file is reported. 0 or -errno. */
int lethe_command_write_words(void);

/* Prints a text as a quoted JSON string to stdout. */
void lethe_command_print_json(const char *text);

/* Prints "name": "text" as JSON. */
void lethe_command_print_field(const char *name, const char *text);

/* True when PID 1 is systemd, as far as its name says. */
bool lethe_command_has_systemd(void);

/* True when both files can be read and are the same, byte for byte. */
bool lethe_command_same_content(const char *a, const char *b);

#endif
