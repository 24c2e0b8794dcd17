/* SPDX-License-Identifier: GPL-3.0-or-later */
/* audit: the records that the kernel keeps for a daemon which has gone or never was: names, and
 * command lines of sudo (kauditd_hold_skb(), kernel/audit.c). */
#ifndef LETHE_KERNEL_AUDIT_H
#define LETHE_KERNEL_AUDIT_H

#include <stdint.h>

/* Is the daemon for as long as the kernel sends records, and switches audit off; at most until
 * end_ms (CLOCK_BOOTTIME). They are thrown away unread. */
void lethe_audit_take(int64_t end_ms);

#endif
