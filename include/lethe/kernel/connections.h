/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * connections: ends TCP connections, whoever holds them, the kernel itself too (sock_diag(7),
 * SOCK_DESTROY; a kernel without CONFIG_INET_DIAG_DESTROY leaves them as they are).
 */
#ifndef LETHE_KERNEL_CONNECTIONS_H
#define LETHE_KERNEL_CONNECTIONS_H

#include <stdbool.h>

/* While modules can still be loaded: has the kernel load what the other needs (tcp_diag). */
void lethe_connections_arm(void);

/* Ends those whose peer is silent, or all; behind lethe_sys->end_connections. Always 0. */
int lethe_connections_end(bool all);

#endif
