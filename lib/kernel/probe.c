/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/probe.h"

#include <blkid/blkid.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void take(blkid_probe probe, const char *name, char *out, size_t size)
{
    const char *value;
    if (!blkid_probe_lookup_value(probe, name, &value, NULL))
        snprintf(out, size, "%s", value);
}

int lethe_probe(const char *device, struct lethe_identity *identity)
{
    *identity = (struct lethe_identity){0};
    blkid_probe probe = blkid_new_probe_from_filename(device);
    if (!probe)
        return errno ? -errno : -EIO;
    blkid_probe_enable_partitions(probe, 1);
    blkid_probe_set_partitions_flags(probe, BLKID_PARTS_ENTRY_DETAILS);
    blkid_probe_set_superblocks_flags(probe,
                                      BLKID_SUBLKS_TYPE | BLKID_SUBLKS_UUID | BLKID_SUBLKS_LABEL);
    int r = blkid_do_safeprobe(probe);
    take(probe, "TYPE", identity->type, sizeof identity->type);
    take(probe, "UUID", identity->uuid, sizeof identity->uuid);
    take(probe, "LABEL", identity->label, sizeof identity->label);
    take(probe, "PART_ENTRY_UUID", identity->part_uuid, sizeof identity->part_uuid);
    blkid_free_probe(probe);
    return r < 0 ? -EIO : 0;
}
