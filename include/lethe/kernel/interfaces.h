/* SPDX-License-Identifier: GPL-3.0-or-later */
/* interfaces: the network interfaces, in whose drivers' buffers lies what was received. */
#ifndef LETHE_KERNEL_INTERFACES_H
#define LETHE_KERNEL_INTERFACES_H

/* Takes them down, upon which drivers give back the memory in which they receive. */
void lethe_interfaces_down(void);

#endif
