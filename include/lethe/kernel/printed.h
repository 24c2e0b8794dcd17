/* SPDX-License-Identifier: GPL-3.0-or-later */
/* printed: the kernel's log (printk's ring), in which names of devices, volumes and programs stay
 * as long as the machine runs. */
#ifndef LETHE_KERNEL_PRINTED_H
#define LETHE_KERNEL_PRINTED_H

#include <stdbool.h>

/* Overwrites the log by use, unseen on the console, which has shown by then what was logged before.
 * True when the oldest line that it has is one of these; false also where it may not be written to
 * (printk.devkmsg=, Documentation/admin-guide/kernel-parameters.txt). */
bool lethe_printed_overwrite(void);

#endif
