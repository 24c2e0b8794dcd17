/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bluetooth: the keys of paired devices, which an adapter keeps when bluetoothd has gone
 * (Documentation of BlueZ, mgmt-api; net/bluetooth/mgmt.c). */
#ifndef LETHE_KERNEL_BLUETOOTH_H
#define LETHE_KERNEL_BLUETOOTH_H

/* Takes every adapter down and replaces its keys by none. Returns the number of adapters that still
 * have some. */
unsigned lethe_bluetooth_forget(void);

#endif
