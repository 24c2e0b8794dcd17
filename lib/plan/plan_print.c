/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *lethe_why_text(enum lethe_why why)
{
    static const char *const texts[] = {
        [LETHE_WHY_MOUNTED_ON] = "is mounted on",
        [LETHE_WHY_HIDES] = "hides",
        [LETHE_WHY_LEADS_TO] = "leads to",
        [LETHE_WHY_LAYER] = "has as a layer",
        [LETHE_WHY_LAYER_ON] = "has a layer on",
        [LETHE_WHY_MAY_HOLD] = "may hold, unseen,",
        [LETHE_WHY_ON_DEVICE] = "lies on",
        [LETHE_WHY_BUILT_ON] = "is built on",
        [LETHE_WHY_PART_OF] = "is a partition of",
        [LETHE_WHY_IN_FILE] = "lies in a file of",
        [LETHE_WHY_ZEROED] = "zeroes",
    };
    return texts[why];
}

const char *lethe_node_kind_name(enum lethe_node_kind kind)
{
    static const char *const names[] = {"mount",  "swap",   "device", "erasure",  "way",
                                        "unused", "erased", "seen",   "namespace"};
    return names[kind];
}

const char *lethe_block_kind_name(enum lethe_block_kind kind)
{
    static const char *const names[] = {"disk", "loop",    "crypt", "dm",    "md",
                                        "zram", "ramdisk", "nbd",   "bcache"};
    return names[kind];
}

const char *lethe_step_verb(const struct lethe_step *step)
{
    switch (step->kind) {
    case LETHE_STEP_ERASE:
    case LETHE_STEP_ERASE_DEVICE:
        return "erase";
    case LETHE_STEP_UNMOUNT:
        return step->lazy ? "detach" : "unmount";
    case LETHE_STEP_SWAPOFF:
        return "swapoff";
    case LETHE_STEP_STOP:
        break;
    }
    return "stop";
}

/* A line is printed for each of 10,000 mounts when they are taken down: snprintf(3) would be dear.
 */
static void append(char *out, size_t size, const char *text)
{
    size_t n = size ? strlen(out) : 0, more = strlen(text);
    if (!size)
        return;
    more = more < size - n ? more : size - n - 1;
    memcpy(out + n, text, more);
    out[n + more] = '\0';
}

char *lethe_node_print(char *out, size_t size, struct lethe_node node,
                       const struct lethe_snapshot *snapshot)
{
    char type[64]; /* a FUSE program chooses its type's end itself */
    char id[32], process[32];
    const char *what = "", *kind = "seen";
    switch (node.kind) {
    case LETHE_NODE_SWAP:
        what = snapshot->swaps[node.index].path;
        kind = snapshot->swaps[node.index].is_file ? "file" : "partition";
        break;
    case LETHE_NODE_DEVICE:
        what = snapshot->blocks[node.index].dm_name[0] ? snapshot->blocks[node.index].dm_name
                                                       : snapshot->blocks[node.index].name;
        kind = lethe_block_kind_name(snapshot->blocks[node.index].kind);
        break;
    case LETHE_NODE_NAMESPACE:
        snprintf(id, sizeof id, "mnt:[%" PRIu64 "]", snapshot->namespaces[node.index].id);
        snprintf(process, sizeof process, "process %" PRIu64, snapshot->namespaces[node.index].pid);
        what = id;
        kind = process;
        break;
    case LETHE_NODE_HOLDERS_GONE:
        what = node.index == LETHE_HOLDERS_OF_ALL ? "devices" : "unused devices";
        break;
    default:
        what = snapshot->mounts[node.index].path;
        kind = snapshot->mounts[node.index].fstype;
        break;
    }
    lethe_text_printable(type, sizeof type, kind);
    size_t room = strlen(type) + sizeof " ()";
    lethe_text_printable(out, size > room ? size - room : size, what);
    append(out, size, " (");
    append(out, size, type);
    append(out, size, ")");
    return out;
}

char *lethe_step_print(char *out, size_t size, const struct lethe_step *step,
                       const struct lethe_snapshot *snapshot)
{
    static const enum lethe_node_kind kinds[] = {
        [LETHE_STEP_ERASE] = LETHE_NODE_ERASURE,       [LETHE_STEP_UNMOUNT] = LETHE_NODE_MOUNT,
        [LETHE_STEP_SWAPOFF] = LETHE_NODE_SWAP,        [LETHE_STEP_STOP] = LETHE_NODE_DEVICE,
        [LETHE_STEP_ERASE_DEVICE] = LETHE_NODE_DEVICE,
    };
    const struct lethe_node node = {kinds[step->kind], step->index};
    if (size)
        out[0] = '\0';
    append(out, size, lethe_step_verb(step));
    append(out, size, " ");
    size_t n = size ? strlen(out) : 0;
    lethe_node_print(out + n, size - n, node, snapshot);
    return out;
}
