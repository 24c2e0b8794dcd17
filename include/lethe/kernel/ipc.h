/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ipc: what outlives its processes without being a file: System V shared memory and messages
 * (sysvipc(7)), POSIX message queues (mq_overview(7)) and the keys of users' keyrings
 * (keyrings(7)).
 */
#ifndef LETHE_KERNEL_IPC_H
#define LETHE_KERNEL_IPC_H

#include <stdbool.h>

#include "lethe/kernel/ram_fs.h"

/* Zeroes and removes the shared memory segments, removes the message queues. What an attached
 * process still holds is zeroed too. Pages that were never touched, or that are swapped out, are
 * not brought in. */
void lethe_ipc_erase(struct lethe_ram_fs_erased *erased);

/* Revokes every key that a user still has: its payload is zeroed when it is freed
 * (kfree_sensitive() in the kernel's security/keys/user_defined.c). Root may not even see other
 * users' keys, so a child becomes each user of /proc/key-users. False when that can't be done for
 * one of them. */
bool lethe_ipc_revoke_keys(void);

/* A last look at what is still there: POSIX message queues, and keys that were not revoked. 1 where
 * nobody can look. */
unsigned lethe_ipc_count_posix_queues(void);
unsigned lethe_ipc_count_keys(void);

/* Leaves the session keyring that the caller was started with (session-keyring(7)), whose keys
 * would live on with it. */
void lethe_ipc_leave_session(void);

#endif
