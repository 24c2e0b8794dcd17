/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * model: what a snapshot holds. Plain structs, cut from the snapshot's arena, in the kernel's
 * order; indices tie them together, and LETHE_NONE stands for "no such thing".
 */
#ifndef LETHE_PLAN_MODEL_H
#define LETHE_PLAN_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lethe/plan/arena.h"
#include "lethe/plan/text.h"

#define LETHE_NONE ((size_t)-1)

/* A line of /proc/PID/mountinfo (proc(5)), with its octal escapes resolved but for super_options,
 * which keep them. */
struct lethe_mount {
    unsigned id, parent;
    struct lethe_devno devno; /* of the superblock; major 0: not a block device's (btrfs too) */
    const char *root;         /* which part of the file system is mounted; "/" the whole */
    const char *path;         /* the mount point, seen from the reader's root */
    const char *options;
    const char *fstype;
    const char *source;
    const char *super_options;
    size_t device; /* index of the block device below, the first of several, or LETHE_NONE */
};

enum lethe_block_kind {
    LETHE_BLOCK_PLAIN, /* a disk, a partition, an optical drive */
    LETHE_BLOCK_LOOP,
    LETHE_BLOCK_CRYPT, /* device-mapper with a key in it, as its uuid says */
    LETHE_BLOCK_DM,    /* any other; without a uuid it may have a key too (VeraCrypt) */
    LETHE_BLOCK_MD,
    LETHE_BLOCK_ZRAM,
    LETHE_BLOCK_BRD, /* a ramdisk */
    LETHE_BLOCK_NBD, /* a network block device with a connection */
    LETHE_BLOCK_BCACHE,
};

/* A directory of /sys/class/block. */
struct lethe_block {
    struct lethe_devno devno;
    const char *name; /* as the kernel says it, '/' still written '!' */
    enum lethe_block_kind kind;
    bool read_only;                /* the kernel lets nobody write to it */
    const char *dm_name, *dm_uuid; /* device-mapper only, else "" */
    const char *file;              /* loop only: the backing file as it was named, else "" */
    struct lethe_devno file_devno; /* loop only: the file system that holds it, 0:0 when unknown */
    size_t disk;                   /* a partition's whole disk, else LETHE_NONE */
    const size_t *slaves;          /* what it lies on; of zram what it writes back to, and of an MD
                                      its container too */
    size_t n_slaves;
    const size_t *beside; /* what else the file system on it lies on: the other devices of a btrfs,
                             a journal of its own; of the device that a mount is tied to */
    size_t n_beside;
};

/* A line of /proc/swaps. */
struct lethe_swap {
    const char *path;
    bool is_file;
    uint64_t used_kib;        /* how much is swapped out to it; 0 when it is not said */
    size_t device;            /* the block device that it is; LETHE_NONE for a file or unknown */
    struct lethe_devno devno; /* of a swap file: its file system, 0:0 when unknown */
};

/* A layer of a union. The path is the text that the kernel gives, which may be another root's view
 * of it. */
struct lethe_branch {
    const char *path;
    bool writable;
    size_t mount;  /* the mount that shows it now, or LETHE_NONE where the path leads nowhere */
    bool is_moved; /* not by its path, which dates from the initramfs */
};

struct lethe_union {
    size_t mount;
    const struct lethe_branch *branches;
    size_t n_branches;
};

/* A mount namespace that processes are in, other than the reader's. */
struct lethe_namespace {
    uint64_t id;  /* as in "mnt:[4026531841]" */
    uint64_t pid; /* the least of its processes */
};

/* What could not be read. */
enum lethe_unseen {
    LETHE_UNSEEN_DEVICES = 1,  /* /sys/class/block */
    LETHE_UNSEEN_SWAPS = 2,    /* /proc/swaps */
    LETHE_UNSEEN_RIGHTS = 4,   /* what only root may ask: other processes, devices themselves */
    LETHE_UNSEEN_ANSWERS = 8,  /* what a file system or a device that hangs would have to say */
    LETHE_UNSEEN_ENTRIES = 16, /* a device that /sys/class/block has, but not its number */
    LETHE_UNSEEN_ALL = 31,
};

struct lethe_tree;

struct lethe_snapshot {
    struct lethe_mount *mounts;
    size_t n_mounts;
    struct lethe_block *blocks;
    size_t n_blocks;
    struct lethe_swap *swaps;
    size_t n_swaps;
    struct lethe_union *unions;
    size_t n_unions;
    struct lethe_namespace *namespaces; /* by their ids; see lethe_namespaces_add() */
    size_t n_namespaces;
    unsigned unseen; /* enum lethe_unseen, or'ed */
    bool has_pool;   /* a pool of ZFS is imported: nothing says which devices it holds */
    const struct lethe_tree *tree; /* over the mounts, or NULL: not built yet */
};

/* True for a file system whose files are nothing but RAM: tmpfs, ramfs, hugetlbfs, devtmpfs, and
 * rootfs. */
bool lethe_mount_is_ram(const struct lethe_mount *mount);

/* True when the file system lies on a block device of any kind, even one that is RAM
 * (lethe_block_is_ram()). */
bool lethe_mount_is_stored(const struct lethe_mount *mount);

/* True when the file system, not only this mount of it, may be written to. */
bool lethe_mount_is_writable(const struct lethe_mount *mount);

/* True when it may be, or was until an error or somebody made it read-only: the mount is none that
 * only reads. */
bool lethe_mount_was_writable(const struct lethe_mount *mount);

/* True for FUSE, on a block device (fuseblk) too. */
bool lethe_mount_is_fuse(const struct lethe_mount *mount);

/* True for a file system whose files are answered for by another machine or a process. */
bool lethe_mount_is_remote(const struct lethe_mount *mount);

/* True for a pseudo file system, which shows what the kernel has and holds nothing itself. */
bool lethe_mount_is_pseudo(const struct lethe_mount *mount);

/* True for a file that keeps a mount namespace alive, bound somewhere (nsfs). */
bool lethe_mount_keeps_mounts(const struct lethe_mount *mount);

/* True for what Lethe itself stands on: its root, the /proc, /sys and /dev right below it and the
 * tracefs in that /sys, when `own_root` says that the reader's root is Lethe's. */
bool lethe_mount_is_own(const struct lethe_mount *mount, bool own_root);

/* True when the branch's path leads to a mount other than the union's. A look-up ends in the last
 * mount that it has come to, which is the union itself for many a path that leads nowhere. */
bool lethe_branch_is_shown(const struct lethe_union *on, const struct lethe_branch *branch);

/* Returns the first mount that shows the file system with this number, or LETHE_NONE. */
size_t lethe_mount_find(const struct lethe_snapshot *snapshot, struct lethe_devno devno);

/* Returns the block device with this number, or LETHE_NONE. */
size_t lethe_block_find(const struct lethe_snapshot *snapshot, struct lethe_devno devno);

/* True when what the device holds is RAM: a ramdisk, zram, or a loop or device-mapper device with
 * such a thing below it. */
bool lethe_block_is_ram(const struct lethe_snapshot *snapshot, size_t block);

/* True when `block` is `lower`, a partition of it or built on it, or has it beside it. */
bool lethe_block_lies_on(const struct lethe_snapshot *snapshot, size_t block, size_t lower);

/* True when another machine or a process has to answer for what is written to the mount: a remote
 * file system, or one on a network block device or in a file of a remote file system. */
bool lethe_mount_is_answered_for(const struct lethe_snapshot *snapshot, size_t mount);

#endif
