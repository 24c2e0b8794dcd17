/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cgroup: the control groups that the kernel accounts a process to (cgroups(7)). */
#ifndef LETHE_KERNEL_CGROUP_H
#define LETHE_KERNEL_CGROUP_H

/* Moves the calling process, and so what it starts, to the top of each hierarchy in which it is
 * below, where nothing is limited. A hierarchy that is mounted nowhere is mounted for it on
 * /sys/fs/cgroup, and unmounted. */
void lethe_cgroup_leave(void);

#endif
