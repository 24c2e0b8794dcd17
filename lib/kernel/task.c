/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/task.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <sys/types.h>

#include "lethe/kernel/sys.h"
#include "lethe/plan/cmdline.h"

uint64_t lethe_task_id(enum lethe_task task, uint64_t number)
{
    return (uint64_t)task << 56 | (number & ((UINT64_C(1) << 56) - 1));
}

uint64_t lethe_task_id_of_device(enum lethe_task task, struct lethe_devno devno)
{
    return lethe_task_id(task, makedev(devno.major, devno.minor));
}

static const char *const words[] = {
    [LETHE_TASK_LOOK_AT_SYSTEM] = "look-at-system",
    [LETHE_TASK_LOOK_AT_PROC] = "look-at-proc",
    [LETHE_TASK_LOOK_FOR_SERVERS] = "look-for-servers",
    [LETHE_TASK_LOOK_AT_INIT] = "look-at-init",
    [LETHE_TASK_LOAD_PROGRAM] = "load-program",
    [LETHE_TASK_EMPTY_INIT] = "empty-init",
    [LETHE_TASK_STOP_PROCESSES] = "stop-processes",
    [LETHE_TASK_ENTER_OWN_ROOT] = "enter-own-root",
    [LETHE_TASK_DETACH_OLD_ROOT] = "detach-old-root",
    [LETHE_TASK_WRITE_BACK_REMOTE] = "write-back-remote",
    [LETHE_TASK_CUT_OFF_REMOTE] = "cut-off-remote",
    [LETHE_TASK_CUT_OFF_NBD] = "cut-off-nbd",
    [LETHE_TASK_START_WRITING] = "start-writing",
    [LETHE_TASK_SYNC] = "sync",
    [LETHE_TASK_RESUME] = "resume",
    [LETHE_TASK_THAW] = "thaw",
    [LETHE_TASK_REMOVE_PROBES] = "remove-probes",
    [LETHE_TASK_LOOK_AT_STORE] = "look-at-store",
    [LETHE_TASK_AWAIT_UNMOUNT] = "await-unmount",
    [LETHE_TASK_FIND_DAEMONS] = "find-daemons",
    [LETHE_TASK_WIPE_KEY] = "wipe-key",
    [LETHE_TASK_ERASE] = "erase",
    [LETHE_TASK_ERASE_DEVICE] = "erase-device",
    [LETHE_TASK_ERASE_IPC] = "erase-ipc",
    [LETHE_TASK_REVOKE_KEYS] = "revoke-keys",
    [LETHE_TASK_UNMOUNT] = "unmount",
    [LETHE_TASK_UNMOUNT_TOGETHER] = "unmount-together",
    [LETHE_TASK_DETACH] = "detach",
    [LETHE_TASK_SWAPOFF] = "swapoff",
    [LETHE_TASK_STOP_DEVICE] = "stop-device",
    [LETHE_TASK_DELETE_LINKS] = "delete-links",
    [LETHE_TASK_FREE_SOUND] = "free-sound",
    [LETHE_TASK_CLEAR_TRACES] = "clear-traces",
    [LETHE_TASK_TAKE_RECORDS] = "take-records",
    [LETHE_TASK_OVERWRITE_LOG] = "overwrite-log",
    [LETHE_TASK_OVERWRITE_ZSWAP] = "overwrite-zswap",
    [LETHE_TASK_UNLOAD_MODULE] = "unload-module",
    [LETHE_TASK_OVERWRITE_BOUNCE] = "overwrite-bounce",
    [LETHE_TASK_READ_DISKS] = "read-disks",
    [LETHE_TASK_LOOK_AT_DISPLAYS] = "look-at-displays",
    [LETHE_TASK_LOOK_AT_OBJECTS] = "look-at-objects",
    [LETHE_TASK_CLEAR_SCREENS] = "clear-screens",
    [LETHE_TASK_NETWORK_DOWN] = "network-down",
    [LETHE_TASK_FREE_HUGE_PAGES] = "free-huge-pages",
    [LETHE_TASK_PUT_MEMORY_ONLINE] = "put-memory-online",
    [LETHE_TASK_DROP_CACHES] = "drop-caches",
    [LETHE_TASK_DROP_PAGE_CACHE] = "drop-page-cache",
    [LETHE_TASK_LOOK_AT_CLEARING] = "look-at-clearing",
    [LETHE_TASK_OVERWRITE_STACKS] = "overwrite-stacks",
    [LETHE_TASK_OVERWRITE_SAMPLES] = "overwrite-samples",
    [LETHE_TASK_REFILL_SLABS] = "refill-slabs",
    [LETHE_TASK_FILL_MEMORY] = "fill-memory",
    [LETHE_TASK_FILL_REST] = "fill-rest",
    [LETHE_TASK_READ_BACK] = "read-back",
    [LETHE_TASK_ASK_FIRMWARE] = "ask-firmware",
};
enum { N_WORDS = sizeof words / sizeof *words };

const char *lethe_task_word(uint64_t id)
{
    const size_t task = (size_t)(id >> 56);
    return task < N_WORDS && words[task] ? words[task] : "?";
}

#ifdef LETHE_SKIPPING
static struct lethe_span next_word(struct lethe_span *list)
{
    struct lethe_span word = {list->at, 0};
    while (word.n < list->n && word.at[word.n] != ',')
        word.n++;
    size_t taken = word.n + (word.n < list->n);
    *list = (struct lethe_span){list->at + taken, list->n - taken};
    return word;
}

bool lethe_task_is_skipped(uint64_t id)
{
    char text[4096];
    const char *asked = getenv("LETHE_SKIP");
    struct lethe_span list = lethe_span(asked ? asked : "");
    if (!asked && !lethe_cmdline_find(lethe_sys_read_span("/proc/cmdline", text, sizeof text),
                                      "lethe.skip", &list))
        return false;
    while (list.n)
        if (lethe_span_is(next_word(&list), lethe_task_word(id)))
            return true;
    return false;
}
#else
bool lethe_task_is_skipped(uint64_t id)
{
    (void)id;
    return false;
}
#endif
