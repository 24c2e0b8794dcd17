/* SPDX-License-Identifier: GPL-3.0-or-later */
/* transient: has systemd start a command as a service of its own, which nothing confines, by a call
 * of D-Bus on systemd's private socket (src/core/dbus.c): it needs neither the bus nor a file of a
 * unit. */
#ifndef LETHE_INIT_TRANSIENT_H
#define LETHE_INIT_TRANSIENT_H

#include <stdbool.h>
#include <stddef.h>

/* Has the program run with these n arguments, of which the first is its name. False when systemd
 * could not be asked, or refused. What becomes of the program is not waited for. */
bool lethe_transient_start(const char *program, const char *const *arguments, size_t n);

#endif
