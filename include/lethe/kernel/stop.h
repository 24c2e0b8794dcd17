/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * stop: takes one block device out of the stack.
 *
 * Each kind has an interface of its own:
 * - device-mapper its ioctls (linux/dm-ioctl.h, Documentation/admin-guide/device-mapper/);
 * - loop LOOP_CLR_FD (loop(4)), md STOP_ARRAY (linux/raid/md_u.h);
 * - nbd NBD_DISCONNECT and NBD_CLEAR_SOCK (linux/nbd.h);
 * - zram its reset attribute (Documentation/admin-guide/blockdev/zram.rst);
 * - bcache its stop attributes (Documentation/admin-guide/bcache.rst).
 */
#ifndef LETHE_KERNEL_STOP_H
#define LETHE_KERNEL_STOP_H

#include <stdbool.h>
#include <stdint.h>

#include "lethe/plan/model.h"

/* Stops or removes the device. 0, or -errno; -EBUSY while something holds it. A loop that is still
 * held goes when its last holder does (the kernel detaches it lazily, and the answer is 0). So does
 * a bcache, for which two seconds are waited. A device-mapper device that is going by itself
 * already is waited for, a second at most. */
int lethe_stop_device(const struct lethe_block *block);

/* Opens the device's node in /dev for reading, with O_NONBLOCK and `flags`. A descriptor, or
 * -errno. */
int lethe_stop_open(const struct lethe_block *block, int flags);

/* True for a device-mapper device that is suspended: what is sent to it waits. */
bool lethe_stop_is_suspended(const struct lethe_block *block);

/* Resumes a suspended device-mapper device. 0, or -errno: one whose key was wiped can't be. */
int lethe_stop_resume(const struct lethe_block *block);

/* Has a device-mapper device that is suspended fail what waits for it, and all else from now on. 0,
 * or -errno: -EOPNOTSUPP where it is not suspended. */
int lethe_stop_fail_suspended(const struct lethe_block *block);

/* True for a dm-crypt device. Not all have a uuid that says so (VeraCrypt's have none): of those
 * without one the kernel is asked what they are, which no device has to answer. */
bool lethe_stop_holds_key(const struct lethe_block *block);

/* Closes the connection of an nbd device, even one in use: what waits for its server fails. */
int lethe_stop_cut_off(const struct lethe_block *block);

/* Tells a multipath device to fail requests that it has no path for and keeps; unless `always`,
 * only a device that has no path left (multipath_message(), drivers/md/dm-mpath.c). Waits for no
 * device. 0, or -errno: -EOPNOTSUPP when it is no multipath device. */
int lethe_stop_queueing(const struct lethe_block *block, bool always);

/* Takes the key out of a dm-crypt device that can't be removed, and lets every later read and write
 * of it fail at once: suspend without flush or freeze, "key wipe", an error table in its place,
 * resume (docs/facts.md, The key of a dm-crypt device). What was not written yet is lost. The
 * device is removed when its last holder goes. 0 when the error table stands: the kernel has then
 * freed the old table with all keys in it, zeroed; else -errno, after all steps were tried. The
 * message reaches a device's first part only, which may know no "key wipe" where there are several,
 * as while LUKS encrypts anew: there the error table alone does it. *wiped_ms is lethe_sys_now_ms()
 * when the last key had gone; what follows may be at the kernel's pace. */
int lethe_stop_wipe_key(const struct lethe_block *block, int64_t *wiped_ms);

#endif
