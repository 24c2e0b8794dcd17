/* SPDX-License-Identifier: GPL-3.0-or-later */
/* uevent: a socket on which the kernel says that a device comes, goes or changes. */
#ifndef LETHE_KERNEL_UEVENT_H
#define LETHE_KERNEL_UEVENT_H

#include "lethe/plan/uevent.h"

/* Opens a socket that gets the kernel's additions, removals and changes; all else is filtered out
 * before the process is woken. Returns its descriptor, or -errno. */
int lethe_uevent_open(void);

/* Filters additions out from now on. */
void lethe_uevent_leave_additions(int fd);

/* Takes a message without waiting. 1 when there was one, 0 when there is none, -ENOBUFS when some
 * were lost, or another -errno. What others than the kernel send is passed by. */
int lethe_uevent_receive(int fd, struct lethe_uevent *event);

#endif
