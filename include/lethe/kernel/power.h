/* SPDX-License-Identifier: GPL-3.0-or-later */
/* power: the last system call, and the settings that keep the machine from staying on without it.
 */
#ifndef LETHE_KERNEL_POWER_H
#define LETHE_KERNEL_POWER_H

#include <stdint.h>

#include "lethe/plan/verb.h"

/* Keeps the machine from staying on whatever happens: a panic reboots after 10 s and starts no
 * kernel for a crash dump; no warning, oops, hung task or OOM killer panics. Has the kernel's RCU
 * hurry. */
void lethe_power_prepare(void);

/* Calls reboot(2) for the verb: kexec falls back to reboot when nothing is loaded, exit is
 * poweroff. `argument` (may be NULL) is reboot's (LINUX_REBOOT_CMD_RESTART2). 0 when the kernel
 * came back from it, or -errno. */
int lethe_power_call(enum lethe_verb verb, const char *argument);

/* Ends the machine: lethe_power_call() in a child, since it may hang in a driver. When it fails:
 * poweroff (not after kexec or reboot), reboot; when it hangs for `ms` or fails, sysrq o; at last,
 * or when it came back, sysrq b. Returns only when all of it failed: -errno of the first. */
int lethe_power_end(enum lethe_verb verb, const char *argument, int64_t ms);

/* Has pstore, where there is one, keep what is logged from now on for the next start to find
 * (Documentation/admin-guide/kernel-parameters.txt, printk.always_kmsg_dump). Earlier lines,
 * with paths and names of the user's among them, are not kept: they would lie in the firmware's
 * flash. */
void lethe_power_keep_log(void);

#endif
