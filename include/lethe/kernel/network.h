/* SPDX-License-Identifier: GPL-3.0-or-later */
/* network: what another machine or a process has to answer for, and may not. Whatever reads or
 * writes where a server has gone waits without an end, and can't be killed, unmounted or freed.
 * Linux has a way out for each kind: umount2(2) with MNT_FORCE fails what waits for an answer (NFS,
 * CIFS, Ceph, 9p, FUSE), NBD_CLEAR_SOCK (linux/nbd.h) fails what waits for a block, and a TCP
 * connection that is ended (sock_diag(7), SOCK_DESTROY) gives its queue back. */
#ifndef LETHE_KERNEL_NETWORK_H
#define LETHE_KERNEL_NETWORK_H

#include <sys/types.h>

#include "lethe/kernel/policy.h"
#include "lethe/kernel/supervise.h"
#include "lethe/plan/model.h"

/* Has a TCP connection that is closed end at once, without keeping what its peer has not taken. */
void lethe_network_close_at_once(void);

/* Writes each remote file system back within a deadline of its own, then cuts off the servers that
 * did not answer; unless the policy is patient, all servers are cut off at once. What was not
 * written is lost. May be called again for what processes have asked of a server since. Runs inside
 * a worker and sets progress->cut_off when a server was cut off. */
void lethe_network_write_or_cut(const struct lethe_snapshot *snapshot,
                                const struct lethe_policy *policy, struct lethe_progress *progress);

enum lethe_network_which {
    LETHE_NETWORK_GIVEN_UP, /* servers that did not answer */
    LETHE_NETWORK_ALL,
};

/* MNT_FORCE fails only what waits at that moment, and a loop sends one request after the other.
 * So a child forces the file systems of these servers that hold a loop's file, over and over,
 * until lethe_network_stop_failing() or the end of the caller. The snapshot may be freed before.
 * Returns the child, or -1 when there is nothing to force. */
pid_t lethe_network_keep_failing(const struct lethe_snapshot *snapshot,
                                 enum lethe_network_which which,
                                 const struct lethe_progress *progress);
void lethe_network_stop_failing(pid_t child);

#endif
