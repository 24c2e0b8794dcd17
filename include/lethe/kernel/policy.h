/* SPDX-License-Identifier: GPL-3.0-or-later */
/* policy: how an end is carried out. There is one sequence; what differs between its callers stands
 * in a const struct of these. */
#ifndef LETHE_KERNEL_POLICY_H
#define LETHE_KERNEL_POLICY_H

#include <stdbool.h>
#include <stdint.h>

struct lethe_policy {
    const char *name;
    int64_t stop_ms;     /* ending the processes */
    int64_t step_ms;     /* what has no reason to wait for a disk */
    int64_t write_ms;    /* what writes data back, as long as it makes no headway */
    int64_t answer_ms;   /* what writes to a server back, likewise */
    int64_t erase_ms;    /* zeroing one file system */
    int64_t memory_ms;   /* overwriting freed objects, filling free memory and reading it back */
    int64_t total_ms;    /* all of it */
    int64_t power_ms;    /* reboot(2), before other ways are tried */
    int64_t show_ms;     /* what is left is shown for so long to whoever sits there */
    bool writes_back;    /* data are written back before their file system goes */
    bool is_patient;     /* a server gets its time to answer, else all are cut off at once */
    bool counts_writing; /* data that are being written count as headway */
    bool keeps_log;      /* the kernel's log is kept for the next start if something is left */
    bool tells_times;    /* the summary says how long each kind of secret has lasted */
    bool keeps_callers;  /* the processes that the end was begun by go on afterwards */
};

/* The policy of an orderly end: systemd-shutdown has stopped all processes, and the persistence's
 * data are still wanted. */
extern const struct lethe_policy lethe_policy_clean;
/* The policy of the kill switch: the keys have gone first, and with them what was not written.
 * Nothing waits for a disk. */
extern const struct lethe_policy lethe_policy_emergency;

/* The policy with this name; NULL for none. */
const struct lethe_policy *lethe_policy_find(const char *name);

/* Returns the time for writing data back; it is short once something has hung. */
int64_t lethe_policy_write_ms(const struct lethe_policy *policy, unsigned n_stuck);

/* Returns how long free memory may be overwritten and read back: the longer the more memory there
 * is, or `asked_ms` if that is not 0. A deadman ends the machine after left_ms (INT64_MAX: there is
 * none), so it is always less than that by what the report and the power-off need. */
int64_t lethe_policy_memory_ms(const struct lethe_policy *policy, int64_t asked_ms, int64_t left_ms,
                               uint64_t memory_kib);

#endif
