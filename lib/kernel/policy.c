/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/policy.h"

#include <stddef.h>
#include <string.h>

const struct lethe_policy lethe_policy_clean = {
    .name = "clean",
    .stop_ms = 8000, /* a module that is being loaded ends when it is ready */
    .step_ms = 5000,
    .write_ms = 40000, /* a stick that is reset takes 30 s (the SCSI command timeout) */
    .answer_ms = 10000,
    .erase_ms = 60000,
    .memory_ms = 60000,
    .total_ms = 180000,
    .power_ms = 30000,
    .show_ms = 15000,
    .writes_back = true,
    .is_patient = true,
    .counts_writing = true,
    .keeps_log = true,
    .keeps_callers = true,
};

const struct lethe_policy lethe_policy_emergency = {
    .name = "emergency",
    .stop_ms = 2000,
    .step_ms = 2000,
    .write_ms = 2000,
    .erase_ms = 20000,
    .memory_ms = 60000,
    .total_ms = 180000, /* the deadman's time is shorter */
    .power_ms = 8000,
    .tells_times = true,
};

const struct lethe_policy *lethe_policy_find(const char *name)
{
    if (!strcmp(name, lethe_policy_clean.name))
        return &lethe_policy_clean;
    return strcmp(name, lethe_policy_emergency.name) ? NULL : &lethe_policy_emergency;
}

/* Grants two seconds for each GiB, which slow memory takes (seen in QEMU without KVM on a loaded
 * host). */
int64_t lethe_policy_memory_ms(const struct lethe_policy *policy, int64_t asked_ms, int64_t left_ms,
                               uint64_t memory_kib)
{
    enum { MS_PER_GIB = 2000, LAST_MS = 3000 };
    int64_t ms = policy->memory_ms + (int64_t)(memory_kib >> 20) * MS_PER_GIB;
    int64_t last_ms = left_ms / 8 > LAST_MS ? left_ms / 8 : LAST_MS;
    if (asked_ms)
        ms = asked_ms;
    if (ms > left_ms - last_ms)
        ms = left_ms - last_ms;
    return ms > 0 ? ms : 0;
}

int64_t lethe_policy_write_ms(const struct lethe_policy *policy, unsigned n_stuck)
{
    return n_stuck ? policy->step_ms : policy->write_ms;
}
