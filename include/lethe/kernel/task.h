/* SPDX-License-Identifier: GPL-3.0-or-later */
/* task: the pieces of work that a worker does one after the other. A task's id is its kind and the
 * number of the thing that it is done to: a mount, a device, or 0 for what there is once. The
 * workers that come later know a task that hangs by its id. */
#ifndef LETHE_KERNEL_TASK_H
#define LETHE_KERNEL_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "lethe/plan/text.h"

enum lethe_task {
    LETHE_TASK_LOOK_AT_SYSTEM = 1,
    LETHE_TASK_LOOK_AT_PROC, /* the same where a device does not answer: /proc and /sys alone */
    LETHE_TASK_LOOK_FOR_SERVERS,
    LETHE_TASK_LOOK_AT_INIT,
    LETHE_TASK_LOAD_PROGRAM,
    LETHE_TASK_EMPTY_INIT,
    LETHE_TASK_STOP_PROCESSES, /* only tests know this one and the disks' reading */
    LETHE_TASK_ENTER_OWN_ROOT,
    LETHE_TASK_DETACH_OLD_ROOT,
    LETHE_TASK_WRITE_BACK_REMOTE,
    LETHE_TASK_CUT_OFF_REMOTE,
    LETHE_TASK_CUT_OFF_NBD,
    LETHE_TASK_START_WRITING,
    LETHE_TASK_SYNC,
    LETHE_TASK_RESUME,
    LETHE_TASK_THAW,
    LETHE_TASK_REMOVE_PROBES,
    LETHE_TASK_LOOK_AT_STORE,
    LETHE_TASK_AWAIT_UNMOUNT,
    LETHE_TASK_FIND_DAEMONS,
    LETHE_TASK_WIPE_KEY,
    LETHE_TASK_ERASE,
    LETHE_TASK_ERASE_DEVICE,
    LETHE_TASK_ERASE_IPC,
    LETHE_TASK_REVOKE_KEYS,
    LETHE_TASK_UNMOUNT,
    LETHE_TASK_UNMOUNT_TOGETHER,
    LETHE_TASK_DETACH,
    LETHE_TASK_SWAPOFF,
    LETHE_TASK_STOP_DEVICE,
    LETHE_TASK_DELETE_LINKS,
    LETHE_TASK_FREE_SOUND,
    LETHE_TASK_CLEAR_TRACES,
    LETHE_TASK_TAKE_RECORDS,
    LETHE_TASK_OVERWRITE_LOG,
    LETHE_TASK_OVERWRITE_ZSWAP,
    LETHE_TASK_UNLOAD_MODULE,
    LETHE_TASK_OVERWRITE_BOUNCE,
    LETHE_TASK_READ_DISKS,
    LETHE_TASK_LOOK_AT_DISPLAYS,
    LETHE_TASK_LOOK_AT_OBJECTS,
    LETHE_TASK_CLEAR_SCREENS,
    LETHE_TASK_NETWORK_DOWN,
    LETHE_TASK_FREE_HUGE_PAGES,
    LETHE_TASK_PUT_MEMORY_ONLINE,
    LETHE_TASK_DROP_CACHES,
    LETHE_TASK_DROP_PAGE_CACHE,
    LETHE_TASK_LOOK_AT_CLEARING,
    LETHE_TASK_OVERWRITE_STACKS,
    LETHE_TASK_OVERWRITE_SAMPLES,
    LETHE_TASK_REFILL_SLABS,
    LETHE_TASK_FILL_MEMORY,
    LETHE_TASK_FILL_REST,
    LETHE_TASK_READ_BACK,
    LETHE_TASK_ASK_FIRMWARE,
};

/* Returns the id of a task that is done to the thing with this number. */
uint64_t lethe_task_id(enum lethe_task task, uint64_t number);
uint64_t lethe_task_id_of_device(enum lethe_task task, struct lethe_devno devno);

/* Returns the word for the task's kind; "?" for none. */
const char *lethe_task_word(uint64_t id);

/* True when the environment's LETHE_SKIP of a test's program, or else lethe.skip= of its kernel, names
 * the task: words with commas between them, as task.c lists them. False in any other program. */
bool lethe_task_is_skipped(uint64_t id);

#endif
