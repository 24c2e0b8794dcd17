/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * connections: ends TCP connections, whoever holds them, the kernel itself too (sock_diag(7),
 * SOCK_DESTROY; a kernel without CONFIG_INET_DIAG_DESTROY leaves them as they are).
 */
#ifndef LETHE_KERNEL_CONNECTIONS_H
#define LETHE_KERNEL_CONNECTIONS_H

#include <stdbool.h>

/* Has the kernel load the module that lethe_connections_end() needs (tcp_diag), while modules can
 * still be loaded. */
void lethe_connections_arm(void);

/* Ends the connections whose peer is silent, or all of them. It stands behind
 * lethe_sys->end_connections. Returns 0. */
int lethe_connections_end(bool all);

#endif
