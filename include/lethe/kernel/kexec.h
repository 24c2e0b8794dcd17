/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * kexec: kernels that wait in memory to be started, by a panic (a crash kernel, which starts with
 * RAM as it is, to save it) or by reboot(2).
 *
 * kexec_file_load(2) unloads both kinds whichever way they were loaded, and where lockdown(7)
 * forbids kexec_load(2); with kernel.kexec_load_disabled nothing does.
 */
#ifndef LETHE_KERNEL_KEXEC_H
#define LETHE_KERNEL_KEXEC_H

#include <stdbool.h>

/* Unloads the crash kernel. */
void lethe_kexec_unload_crash(void);

/* Unloads all kernels but, with `boots_next`, the one that is to be started; looks whether that is
 * so, and reports what is left. Returns how many are left. */
unsigned lethe_kexec_unload(bool boots_next);

/* True when there is a kernel that reboot(2) can start. */
bool lethe_kexec_is_loaded(void);

#endif
