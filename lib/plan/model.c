/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/model.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "lethe/plan/sort.h"

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

bool lethe_mount_is_writable(const struct lethe_mount *mount)
{
    const char *options = mount->super_options;
    return !strncmp(options, "rw", 2) && (options[2] == ',' || !options[2]);
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

struct sort_key {
    unsigned parent; /* or an id, see find_root() */
    const char *path;
    size_t length; /* of the path, where they are sorted by it */
    size_t mount;
};

/* Compares like lethe_model_compare_paths(), taking the first n bytes of `b` as the second path. */
static int compare_paths(const char *a, const char *b, size_t n)
{
    size_t i = 0;
    while (i < n && a[i] && a[i] == b[i])
        i++;
    unsigned char left = (unsigned char)a[i], right = i < n ? (unsigned char)b[i] : 0;
    if (left == right)
        return 0;
    if (!left || !right)
        return left ? 1 : -1;
    if (left == '/' || right == '/')
        return left == '/' ? -1 : 1;
    return left < right ? -1 : 1;
}

int lethe_model_compare_paths(const char *a, const char *b)
{
    return compare_paths(a, b, SIZE_MAX);
}

static uint64_t load(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static int compare_keys(const void *left, const void *right)
{
    const struct sort_key *a = left, *b = right;
    const size_t both = a->length < b->length ? a->length : b->length;
    size_t i = 0;
    if (a->parent != b->parent)
        return a->parent < b->parent ? -1 : 1;
    while (both - i >= sizeof(uint64_t) && load(a->path + i) == load(b->path + i))
        i += sizeof(uint64_t); /* brothers begin alike */
    return compare_paths(a->path + i, b->path + i, SIZE_MAX);
}

/* Compares the mount at order[i] with a child of `parent` whose path is the first n bytes of
 * `path`. */
static int compare_entry(const struct lethe_tree *tree, size_t i, unsigned parent, const char *path,
                         size_t n)
{
    const struct lethe_mount *m = &tree->snapshot->mounts[tree->order[i]];
    if (m->parent != parent)
        return m->parent < parent ? -1 : 1;
    return compare_paths(m->path, path, n);
}

/* Finds the last of those that are equal, which is the newest. */
size_t lethe_tree_child(const struct lethe_tree *tree, unsigned parent, const char *path, size_t n)
{
    size_t low = 0, high = tree->snapshot->n_mounts;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_entry(tree, middle, parent, path, n) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low && !compare_entry(tree, low - 1, parent, path, n) ? tree->order[low - 1]
                                                                 : LETHE_NONE;
}

/* Returns the mount that a look-up is on after the first n bytes of `path`, when it came there on
 * the mount `at`. */
static size_t climb(const struct lethe_tree *tree, size_t at, const char *path, size_t n)
{
    size_t child = lethe_tree_child(tree, tree->snapshot->mounts[at].id, path, n);
    return child == LETHE_NONE || child == at ? at : tree->top[child];
}

size_t lethe_tree_lookup(const struct lethe_tree *tree, const char *path)
{
    if (tree->root == LETHE_NONE)
        return LETHE_NONE;
    size_t at = tree->top[tree->root];
    for (size_t n = 1; path[n - 1];) {
        while (path[n] && path[n] != '/')
            n++;
        at = climb(tree, at, path, n);
        if (!path[n++])
            break;
    }
    return at;
}

const char *lethe_tree_system(const struct lethe_tree *tree)
{
    static const char *const places[] = {"/oldroot/oldroot", "/oldroot"};
    const struct lethe_mount *mounts = tree->snapshot->mounts;
    if (tree->root == LETHE_NONE || !lethe_mount_is_ram(&mounts[tree->root]))
        return "";
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (!strcmp(mounts[lethe_tree_lookup(tree, places[i])].path, places[i]))
            return places[i];
    return "";
}

static size_t mounted_on_its_root(const struct lethe_tree *tree, size_t mount)
{
    const struct lethe_mount *m = &tree->snapshot->mounts[mount];
    return lethe_tree_child(tree, m->id, m->path, strlen(m->path));
}

/* Follows each stack of mounts to its top once. A forged stack may go in a circle: it ends where
 * it was entered. */
static void find_tops(const struct lethe_tree *tree, size_t *top)
{
    const size_t unknown = LETHE_NONE, under_way = LETHE_NONE - 1;
    const size_t n = tree->snapshot->n_mounts;
    memset(top, 0xff, n * sizeof *top); /* unknown */
    for (size_t i = 0; i < n; i++) {
        size_t at = i, end;
        while (top[at] == unknown) {
            size_t next = mounted_on_its_root(tree, at);
            top[at] = under_way;
            if (next == LETHE_NONE)
                break;
            at = next;
        }
        end = top[at] == under_way ? at : top[at];
        for (at = i; at != LETHE_NONE && top[at] == under_way; at = mounted_on_its_root(tree, at))
            top[at] = end;
    }
}

static int compare_ids(const void *left, const void *right)
{
    const struct sort_key *a = left, *b = right;
    return (a->parent > b->parent) - (a->parent < b->parent);
}

static bool has_other(const struct sort_key *ids, size_t n, unsigned id, size_t but)
{
    const struct sort_key key = {.parent = id};
    size_t at = lethe_sort_find(ids, n, sizeof *ids, &key, compare_ids);
    while (at < n && ids[at].parent == id && ids[at].mount == but)
        at++;
    return at < n && ids[at].parent == id;
}

/* Finds the reader's root. Its parent is a mount outside of the reader's view, so of several mounts
 * at "/" it is the one whose parent is not among the others. `ids` has room for all mounts, `room`
 * for half of them. */
static size_t find_root(const struct lethe_snapshot *snapshot, struct sort_key *ids,
                        struct sort_key *room)
{
    size_t n = 0;
    for (size_t i = 0; i < snapshot->n_mounts; i++)
        if (!strcmp(snapshot->mounts[i].path, "/"))
            ids[n++] = (struct sort_key){snapshot->mounts[i].id, "/", 1, i};
    lethe_sort(ids, n, sizeof *ids, room, compare_ids);
    for (size_t i = 0; i < snapshot->n_mounts; i++)
        if (!strcmp(snapshot->mounts[i].path, "/") &&
            !has_other(ids, n, snapshot->mounts[i].parent, i))
            return i;
    return LETHE_NONE;
}

int lethe_tree_build(struct lethe_tree *tree, const struct lethe_snapshot *snapshot,
                     struct lethe_arena *arena)
{
    size_t n = snapshot->n_mounts;
    size_t *order = lethe_arena_take(arena, n, sizeof *order);
    size_t *top = lethe_arena_take(arena, n, sizeof *top);
    struct sort_key *keys = lethe_arena_take(arena, n, sizeof *keys);
    struct sort_key *room = lethe_arena_take(arena, (n + 1) / 2, sizeof *room);
    if (!order || !top || !keys || !room)
        return -ENOMEM;
    /* rootfs is its own parent: it comes first, and so counts as older than what is on it at "/" */
    for (size_t k = 0, rootfs = 2; rootfs--;)
        for (size_t i = 0; i < n; i++) {
            const struct lethe_mount *m = &snapshot->mounts[i];
            if ((m->parent == m->id) == rootfs)
                keys[k++] = (struct sort_key){m->parent, m->path, strlen(m->path), i};
        }
    lethe_sort(keys, n, sizeof *keys, room, compare_keys);
    for (size_t i = 0; i < n; i++)
        order[i] = keys[i].mount;
    *tree = (struct lethe_tree){snapshot, order, top, find_root(snapshot, keys, room)};
    find_tops(tree, top);
    return tree->root == LETHE_NONE ? -ENOENT : 0;
}
