/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * identity: whether this process is in the machine's first pid and user namespace, from where alone
 * a machine may be ended.
 *
 * The kernel is asked by calls that need no file system, for an image builder's chroot has no /proc
 * (test/vm/test_small.py chroot_without_proc):
 * - ioctl(2) on a pidfd gives its namespaces (PIDFD_GET_PID_NAMESPACE, Linux 6.11); the first ones
 *   have fixed numbers (linux/proc_ns.h, PROC_PID_INIT_INO).
 * - reboot(2) with LINUX_REBOOT_CMD_CAD_OFF (kernel/reboot.c): 0 in the first namespaces, -EINVAL
 *   in another pid namespace, -EPERM in another user namespace. Its effect is wanted anyhow: at
 *   Ctrl-Alt-Delete the kernel no longer resets the machine with everything left in RAM.
 * The links in /proc/self/ns are believed only where that call is forbidden (a filter on system
 * calls, a capability that was dropped), and only if it is the kernel's own /proc.
 */
#ifndef LETHE_KERNEL_IDENTITY_H
#define LETHE_KERNEL_IDENTITY_H

#include <stdbool.h>

/* True in the machine's first pid and user namespace. In doubt it is false. */
bool lethe_identity_is_machine(void);

/* As lethe_identity_is_machine(), but by the links in /proc/self/ns alone, by calls that no filter
 * forbids: for a process that only asks another one to end the machine. */
bool lethe_identity_seems_machine(void);

#endif
