/* SPDX-License-Identifier: GPL-3.0-or-later */
/* namespaces: the mount namespaces that processes are in. */
#ifndef LETHE_KERNEL_NAMESPACES_H
#define LETHE_KERNEL_NAMESPACES_H

#include "lethe/plan/model.h"

/* Adds them to a snapshot, for readers that show them: at the end no process is left
 * in any. 0, or -ENOMEM. */
int lethe_namespaces_add(struct lethe_snapshot *snapshot, int root, bool live,
                         struct lethe_arena *arena);

#endif
