/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * network: what another machine, or a process, has to answer for and may not.
 *
 * A server that has gone is waited for without an end by whatever reads or writes there, which then
 * can't be killed, unmounted or freed. Linux has a way out for each kind: umount2(2) with MNT_FORCE
 * fails what waits for an answer (NFS, CIFS, Ceph, 9p, FUSE), NBD_CLEAR_SOCK (linux/nbd.h) what
 * waits for a block, and a TCP connection that is ended (sock_diag(7), SOCK_DESTROY) gives its
 * queue back.
 */
#ifndef LETHE_KERNEL_NETWORK_H
#define LETHE_KERNEL_NETWORK_H

#include <sys/types.h>

#include "lethe/kernel/policy.h"
#include "lethe/kernel/supervise.h"
#include "lethe/plan/model.h"

/* From now on a TCP connection that is closed is gone at once: none keeps what its peer has not
 * taken. */
void lethe_network_close_at_once(void);

/* Writes back what lies on the network, each file system for itself and within its deadline, then
 * cuts off the servers that did not answer; without policy->sync all of them are, at once. What was
 * not written is lost. May be called again, for what has been asked of them since. Runs inside a
 * worker; whether any was cut off is progress->cut_off. */
void lethe_network_settle(const struct lethe_snapshot *snapshot, const struct lethe_policy *policy,
                          struct lethe_progress *progress);

/* NFS that is forced fails what waits at that moment, and a loop asks for one thing after the
 * other. Starts a process that forces all that was given up and has a loop's file on it, over and
 * over, until lethe_network_stop_failing() or the end of the process that has called. The snapshot
 * may go before. The child, or -1 when there is nothing to force. */
pid_t lethe_network_keep_failing(const struct lethe_snapshot *snapshot,
                                 const struct lethe_policy *policy,
                                 const struct lethe_progress *progress);
void lethe_network_stop_failing(pid_t child);

/* Takes the network interfaces down: their drivers give back the memory in which they receive. */
void lethe_network_down(void);

#endif
