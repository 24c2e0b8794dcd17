/* SPDX-License-Identifier: GPL-3.0-or-later */
/* probe: what a block device says of itself, by libblkid's low-level probing. The only module that
 * sees libblkid. */
#ifndef LETHE_KERNEL_PROBE_H
#define LETHE_KERNEL_PROBE_H

struct lethe_probe_identity {
    char type[32]; /* file system, "crypto_LUKS", "LVM2_member" …; "" when nothing is known */
    char uuid[64], label[128], part_uuid[64];
};

/* Has a child read the device's superblocks, for three seconds at most; after three that did not
 * answer none is asked any more. 0, or -errno with *identity empty, -ETIMEDOUT for one that hangs.
 * Texts are as they are on the device: see lethe_text_printable(). */
int lethe_probe(const char *device, struct lethe_probe_identity *identity);

#endif
