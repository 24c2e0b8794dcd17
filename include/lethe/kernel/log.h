/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * log: what Lethe says, and where.
 *
 * As a command it speaks on standard error. At the end it speaks to the kernel's log, which pstore
 * and a serial console keep, and to the console itself unless the console shows the kernel's log
 * already. Nothing here waits: a console that takes no more is left alone. Messages hold no
 * secrets: names of devices and mount points, numbers, error texts; paths printable (text.h).
 */
#ifndef LETHE_KERNEL_LOG_H
#define LETHE_KERNEL_LOG_H

#include <stdbool.h>

enum lethe_log_level {
    LETHE_LOG_ERROR,   /* something is left, or could not be done */
    LETHE_LOG_SUMMARY, /* the one line at the end */
    LETHE_LOG_VERBOSE, /* only with lethe.verbose */
    LETHE_LOG_KEPT,    /* for the next start: to the kernel's log alone */
};

/* Sends what is logged to the kernel's log and to the console below the present root. It is called
 * again when the root has changed, and when free memory has been zeroed: for each open /dev/kmsg
 * the kernel keeps 16 KiB which it does not clear (struct devkmsg_user; with init_on_alloc=0 half
 * of what a socket had held was found in it). */
void lethe_log_to_kernel(void);

/* Closes both. Log output is discarded until lethe_log_to_kernel(). */
void lethe_log_close(void);
void lethe_log_set_verbose(bool on);

/* Hands each line to `show` too, from whatever process. Where that returns true, the line is on the
 * virtual terminals, and the console gets it only if it is none of them. */
void lethe_log_show_on(bool (*on)(const char *line));

void lethe_log(enum lethe_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
