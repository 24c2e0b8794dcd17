/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * efi: asks the firmware to clear RAM before it starts anything else.
 *
 * The variable MemoryOverwriteRequestControl (TCG Platform Reset Attack Mitigation Specification)
 * is made by firmware that can do so. Bit 0 asks for it, bit 4 keeps the firmware from taking an
 * orderly end for a reason to skip it. A second variable, MemoryOverwriteRequestControlLock, can
 * lock the first (Microsoft's "Secure MOR"): then it is left alone.
 */
#ifndef LETHE_KERNEL_EFI_H
#define LETHE_KERNEL_EFI_H

/* Sets the request in `dir`, where efivarfs is mounted (Documentation/filesystems/efivarfs.rst). 0
 * when it is set, then or before; -ENOENT when the firmware does not have the variable, which is
 * never made; -EPERM when it is locked; -EBADMSG when its content is not understood; else -errno.
 */
int lethe_efi_request_clearing(const char *dir);

/* As lethe_efi_request_clearing() on the running machine. Mounts efivarfs where the kernel expects
 * it unless it is mounted. */
int lethe_efi_request_clearing_mounted(void);

#endif
