/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * watchdog: timers that reset the machine when nobody tells them that all is well
 * (Documentation/watchdog/watchdog-api.rst). One that ticks goes on ticking when the process that
 * served it is killed; each of them is served until the end.
 */
#ifndef LETHE_KERNEL_WATCHDOG_H
#define LETHE_KERNEL_WATCHDOG_H

#include <stdint.h>

/* Opens the watchdogs that tick: what systemd names in WATCHDOG_DEVICE when WATCHDOG_USEC is not 0,
 * and all that sysfs calls active. One that PID 1 has open, and so nobody else can open, is shared
 * with it. One whose state nobody tells is stopped; if it can't be stopped, it is served. */
void lethe_watchdog_open(void);

/* Gives each open watchdog, and the first one even if it is idle, a time-out that ends after
 * `end_ms` (lethe_sys_now_ms()) without another ping, as far as it can count. */
void lethe_watchdog_arm(int64_t end_ms);

/* Has each ping counted in `in`, so that a process can see whether this one still pings. */
void lethe_watchdog_count(_Atomic unsigned *in);

/* Pings all open watchdogs, and twice a second looks for those that could not be opened before. The
 * argument is not used. */
void lethe_watchdog_ping(void *unused);

/* Waits for `ms`, and pings meanwhile. */
void lethe_watchdog_stay(int64_t ms);

#endif
