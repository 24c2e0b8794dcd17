/* SPDX-License-Identifier: GPL-3.0-or-later */
/* process: ends every other process. */
#ifndef LETHE_KERNEL_PROCESS_H
#define LETHE_KERNEL_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Sends SIGKILL to every process of the pid namespace but PID 1 and the caller, to those that
 * systemd spares ('@' in argv[0]) too. One kill(2) of -1 reaches all there are, forks under way
 * too. */
void lethe_process_kill_all(void);

/* Does so again and again, until none is left or none has ended for `ms`, ten times that at most.
 * Orphans become PID 1's children, so for PID 1, which reaps them, no child left means none left
 * (pid_namespaces(7)); any other caller, and PID 1 with a `spared` process, looks into /proc. Returns how many processes did not end.
 * A `spared` process, 0: none, is one that was started after lethe_process_kill_all(): what is
 * still there is killed one by one then. */
unsigned lethe_process_stop_all(pid_t spared, int64_t ms);

/* Ends all processes but the n `spared` ones, for `ms` at most. All are stopped for a moment each
 * time: only stopped processes can be ended one by one without a fork under way. */
unsigned lethe_process_stop_others(const pid_t *spared, unsigned n, int64_t ms);

/* Stops a process and lets it live: lethe_process_stop_all() spares it, and nobody counts it or its
 * dead children. It is for one whose end PID 1 waits for before it does something of its own. */
void lethe_process_keep(pid_t pid);

/* Keeps all processes from the caller's parent up to PID 1: the script that it was started from. */
void lethe_process_keep_ancestors(void);

/* Calls `use` for each that is kept. */
void lethe_process_each_kept(void (*use)(pid_t pid));

/* Reaps the caller's dead children and waits until PID 1 has reaped its own, up to `ms` without any
 * progress: until then the kernel keeps their registers. Returns how many nobody has reaped. */
unsigned lethe_process_wait_for_reaper(int64_t ms);

/* Waits for a child for at most `ms`. False when it has not ended by then: it is killed, and not
 * reaped. */
bool lethe_process_await(pid_t child, int64_t ms, int *status);

/* Logs pid, name and state of up to ten processes of user space that still live, without PID 1, the
 * caller and those of Lethe's own that are not stuck. Returns how many there are. */
unsigned lethe_process_report(void);

/* Puts a process (0: the caller) before all ordinary ones, or makes it ordinary again (sched(7)):
 * in a storm of forks it would get a thousandth of a processor. Children inherit it. */
void lethe_process_hurry(pid_t pid, bool on);

#endif
