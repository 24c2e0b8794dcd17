/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the commands share. */
#ifndef LETHE_COMMAND_H
#define LETHE_COMMAND_H

#include "lethe/model.h"

/* Complains that `option` is not one of the command's and returns the exit status for wrong use. */
int lethe_command_bad_option(const char *command, const char *option);

/* Says why the command can't begin; returns the exit status 2. */
int lethe_command_refuse(const char *command, const char *why);

/* The running system's snapshot, or the one of a captured tree when `tree` is not NULL. 0, or
 * -errno with the reason told. */
int lethe_command_snapshot(const char *command, const char *tree, struct lethe_snapshot *snapshot,
                           struct lethe_arena *arena);

/* And the mount namespaces of processes. */
int lethe_command_whole_snapshot(const char *command, const char *tree,
                                 struct lethe_snapshot *snapshot, struct lethe_arena *arena);

/* The mount on which an armed Lethe stands (tmpfs on LETHE_ARMED_DIR named "lethe"), or LETHE_NONE.
 */
size_t lethe_command_armed_mount(const struct lethe_snapshot *snapshot);

/* Takes the value of an option such as "--sync=", whole seconds of a day at most. False for any
 * other argument. */
bool lethe_command_take_seconds(const char *argument, const char *option, unsigned *seconds);

/* Chooses the sentences that the screen at the end will have, and puts them where they are found
 * then (face.h). What can't be used of a file is told. 0 or -errno. */
int lethe_command_write_words(void);

/* A text as JSON has it, quoted, to stdout. */
void lethe_command_print_json(const char *text);

/* The same with a name before it. */
void lethe_command_print_field(const char *name, const char *text);

#endif
