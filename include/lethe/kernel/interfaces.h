/* SPDX-License-Identifier: GPL-3.0-or-later */
/* interfaces: the network interfaces, in whose drivers' buffers lies what was received. */
#ifndef LETHE_KERNEL_INTERFACES_H
#define LETHE_KERNEL_INTERFACES_H

/* Takes them down, upon which drivers give back the memory in which they receive. */
void lethe_interfaces_down(void);

/* Returns how many are still up, besides the loopback. */
unsigned lethe_interfaces_count_up(void);

#endif
