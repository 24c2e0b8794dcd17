/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/model.h"

#include <string.h>

static bool is_one_of(const char *word, const char *const *list)
{
    while (*list && strcmp(word, *list))
        list++;
    return *list;
}

bool lethe_mount_is_ram(const struct lethe_mount *mount)
{
    static const char *const types[] = {"tmpfs", "ramfs", "hugetlbfs", "devtmpfs", "rootfs", NULL};
    return is_one_of(mount->fstype, types);
}

bool lethe_mount_is_stored(const struct lethe_mount *mount)
{
    return mount->device != LETHE_NONE;
}

static bool says_rw(const char *options)
{
    return !strncmp(options, "rw", 2) && (options[2] == ',' || !options[2]);
}

bool lethe_mount_is_writable(const struct lethe_mount *mount)
{
    return says_rw(mount->super_options);
}

bool lethe_mount_was_writable(const struct lethe_mount *mount)
{
    return says_rw(mount->super_options) || says_rw(mount->options);
}

bool lethe_mount_is_fuse(const struct lethe_mount *mount)
{
    static const char *const types[] = {"fuse", "fuseblk", NULL};
    return is_one_of(mount->fstype, types) || !strncmp(mount->fstype, "fuse.", 5) ||
           !strncmp(mount->fstype, "fuseblk.", 8);
}

bool lethe_mount_is_remote(const struct lethe_mount *mount)
{
    static const char *const types[] = {"nfs", "nfs4", "cifs",     "smb3",   "ceph",
                                        "9p",  "afs",  "virtiofs", "vboxsf", NULL};
    return is_one_of(mount->fstype, types) || lethe_mount_is_fuse(mount);
}

bool lethe_mount_is_pseudo(const struct lethe_mount *mount)
{
    static const char *const types[] = {
        "proc",       "sysfs",   "devpts",      "mqueue",    "cgroup",     "cgroup2", "cpuset",
        "securityfs", "debugfs", "tracefs",     "configfs",  "fusectl",    "bpf",     "pstore",
        "efivarfs",   "autofs",  "binfmt_misc", "selinuxfs", "rpc_pipefs", NULL};
    return is_one_of(mount->fstype, types);
}

bool lethe_mount_keeps_mounts(const struct lethe_mount *mount)
{
    return !strcmp(mount->fstype, "nsfs") && !strncmp(mount->root, "mnt:[", 5);
}

bool lethe_mount_is_own(const struct lethe_mount *mount, bool own_root)
{
    static const char *const paths[] = {"/", "/proc", "/sys", "/dev", "/sys/kernel/tracing", NULL};
    return own_root && is_one_of(mount->path, paths);
}

bool lethe_branch_is_shown(const struct lethe_union *on, const struct lethe_branch *branch)
{
    return branch->mount != LETHE_NONE && branch->mount != on->mount;
}

size_t lethe_mount_find(const struct lethe_snapshot *snapshot, struct lethe_devno devno)
{
    for (size_t i = 0; i < snapshot->n_mounts; i++)
        if (lethe_devno_is(snapshot->mounts[i].devno, devno))
            return i;
    return LETHE_NONE;
}

size_t lethe_block_find(const struct lethe_snapshot *snapshot, struct lethe_devno devno)
{
    for (size_t i = 0; i < snapshot->n_blocks; i++)
        if (lethe_devno_is(snapshot->blocks[i].devno, devno))
            return i;
    return LETHE_NONE;
}

/* A question about one block device. `lower` is the device that it may compare with. */
typedef bool block_test(const struct lethe_snapshot *snapshot, size_t block, size_t lower);

/* True when the test holds for the device, for anything below it, or for what the file system on it
 * lies on too. Holders and slaves form no cycle in a kernel, but a captured tree may be forged:
 * `left` bounds the walk. */
static bool any_below(const struct lethe_snapshot *snapshot, size_t block, block_test *test,
                      size_t lower, unsigned *left)
{
    const struct lethe_block *b = &snapshot->blocks[block];
    if (test(snapshot, block, lower))
        return true;
    if (*left && b->disk != LETHE_NONE) {
        --*left;
        if (any_below(snapshot, b->disk, test, lower, left))
            return true;
    }
    for (size_t i = 0; *left && i < b->n_slaves; i++) {
        --*left;
        if (any_below(snapshot, b->slaves[i], test, lower, left))
            return true;
    }
    for (size_t i = 0; *left && i < b->n_beside; i++) {
        --*left;
        if (any_below(snapshot, b->beside[i], test, lower, left))
            return true;
    }
    size_t host = *left && b->kind == LETHE_BLOCK_LOOP && b->file_devno.major
                      ? lethe_block_find(snapshot, b->file_devno)
                      : LETHE_NONE;
    if (host == LETHE_NONE)
        return false;
    --*left;
    return any_below(snapshot, host, test, lower, left);
}

/* Returns the mount of the file system that holds a loop's file; NULL where no mount shows it. */
static const struct lethe_mount *host_of(const struct lethe_snapshot *snapshot, size_t block)
{
    const struct lethe_block *b = &snapshot->blocks[block];
    size_t host =
        b->kind == LETHE_BLOCK_LOOP ? lethe_mount_find(snapshot, b->file_devno) : LETHE_NONE;
    return host == LETHE_NONE ? NULL : &snapshot->mounts[host];
}

static bool is_ram(const struct lethe_snapshot *snapshot, size_t block, size_t unused)
{
    (void)unused;
    const enum lethe_block_kind kind = snapshot->blocks[block].kind;
    const struct lethe_mount *host = host_of(snapshot, block);
    return kind == LETHE_BLOCK_ZRAM || kind == LETHE_BLOCK_BRD ||
           (host && lethe_mount_is_ram(host));
}

static bool is_answered_for(const struct lethe_snapshot *snapshot, size_t block, size_t unused)
{
    (void)unused;
    const struct lethe_mount *host = host_of(snapshot, block);
    return snapshot->blocks[block].kind == LETHE_BLOCK_NBD || (host && lethe_mount_is_remote(host));
}

static bool is_the_same(const struct lethe_snapshot *snapshot, size_t block, size_t lower)
{
    (void)snapshot;
    return block == lower;
}

static bool is_below(const struct lethe_snapshot *snapshot, size_t block, block_test *test,
                     size_t lower)
{
    unsigned left = 256;
    return any_below(snapshot, block, test, lower, &left);
}

bool lethe_block_is_ram(const struct lethe_snapshot *snapshot, size_t block)
{
    return is_below(snapshot, block, is_ram, LETHE_NONE);
}

bool lethe_block_lies_on(const struct lethe_snapshot *snapshot, size_t block, size_t lower)
{
    return is_below(snapshot, block, is_the_same, lower);
}

bool lethe_mount_is_answered_for(const struct lethe_snapshot *snapshot, size_t mount)
{
    const struct lethe_mount *m = &snapshot->mounts[mount];
    return lethe_mount_is_remote(m) ||
           (m->device != LETHE_NONE && is_below(snapshot, m->device, is_answered_for, LETHE_NONE));
}
