/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * jail: an empty root in namespaces of its own, where a test puts the /proc and /sys that it wants.
 *
 * A child enters it, so that the process of the tests stays as it is and what a module remembers
 * ends with the child. The child makes no assertion: it tells what it saw through memory that it
 * shares, and the test looks at that afterwards.
 */
#ifndef LETHE_TEST_JAIL_H
#define LETHE_TEST_JAIL_H

#include <stddef.h>

/* Runs `run` in a new jail. Skips the test where the kernel refuses the namespaces; fails it when
 * the jail could not be filled or the child was ended. */
void jail_run(void (*run)(const void *context), const void *context);

/* Memory that children share, zeroed. Never freed. */
void *jail_share(size_t size);

/* In the jail: make a file with this text, or a symbolic link, with the directories above it. An
 * older file is replaced. */
void jail_put(const char *path, const char *text);
void jail_link(const char *path, const char *target);

#endif
