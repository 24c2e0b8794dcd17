/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/roles.h"

#include <stdio.h>
#include <string.h>

#include "lethe/plan/tree.h"

enum {
    DEPTH_MAX = 64,    /* a forged tree may go in circles */
    LAYERS_MAX = 4096, /* and meet a union in each of its layers again */
};

/* Bits beside a device's role that are needed while roles are found. */
enum mark {
    MARK_READ_ONLY = 4, /* nothing can be written through it */
    MARK_KEPT = 8,      /* what is written to it is kept */
    MARK_PASSED = 16,   /* somebody has been there */
    MARK_GUESSED = 32,  /* the medium, if the guess holds */
};

struct find {
    const struct lethe_snapshot *s;
    unsigned *marks;  /* of each device: enum lethe_role and enum mark, or'ed */
    const char *root; /* the system's: "/" or "/oldroot" */
    enum lethe_origin origin;
    size_t layers; /* that were looked at */
};

const char *lethe_role_name(enum lethe_role role)
{
    static const char *const names[] = {"none", "medium", "persistence", "both"};
    return names[role & LETHE_ROLE_BOTH];
}

/* -- devices ----------------------------------------------------------------------------------- */

/* Returns the device that holds a loop's file, if the file system's number is a device's. */
static size_t host_device(const struct lethe_snapshot *s, size_t block)
{
    const struct lethe_block *b = &s->blocks[block];
    return b->kind == LETHE_BLOCK_LOOP && b->file[0] ? lethe_block_find(s, b->file_devno)
                                                     : LETHE_NONE;
}

/* True when nothing can be written through the device. For a loop, that depends on what holds its
 * file; the options of a file system are the same at each of its mounts. */
static bool is_read_only(const struct find *f, size_t block)
{
    const struct lethe_block *b = &f->s->blocks[block];
    if (b->read_only || b->kind != LETHE_BLOCK_LOOP || !b->file[0])
        return b->read_only;
    const size_t mount = lethe_mount_find(f->s, b->file_devno),
                 device = lethe_block_find(f->s, b->file_devno);
    if (mount != LETHE_NONE && lethe_mount_is_writable(&f->s->mounts[mount]))
        return false;
    return mount != LETHE_NONE || (device != LETHE_NONE && f->marks[device] & MARK_READ_ONLY);
}

/* True when what is written to a loop's file is kept: on a remote file system, or on a device that
 * keeps it. A file that no mount shows and no device holds is not: it lies in the initramfs's root,
 * or in an unknown place. */
static bool is_kept_file(const struct find *f, const struct lethe_block *b)
{
    const size_t mount = lethe_mount_find(f->s, b->file_devno);
    if (mount != LETHE_NONE && lethe_mount_is_remote(&f->s->mounts[mount]))
        return true;
    const size_t device =
        mount != LETHE_NONE ? f->s->mounts[mount].device : lethe_block_find(f->s, b->file_devno);
    return device != LETHE_NONE && f->marks[device] & MARK_KEPT;
}

/* True when the device, or one below it, keeps what is written to it. */
static bool is_kept(const struct find *f, size_t block)
{
    const struct lethe_block *b = &f->s->blocks[block];
    bool kept = b->disk != LETHE_NONE && f->marks[b->disk] & MARK_KEPT;
    for (size_t i = 0; !kept && i < b->n_slaves; i++)
        kept = f->marks[b->slaves[i]] & MARK_KEPT;
    for (size_t i = 0; !kept && i < b->n_beside; i++)
        kept = f->marks[b->beside[i]] & MARK_KEPT;
    if (kept || b->kind == LETHE_BLOCK_ZRAM || b->kind == LETHE_BLOCK_BRD)
        return kept;
    if (b->kind == LETHE_BLOCK_LOOP)
        return is_kept_file(f, b);
    return b->disk == LETHE_NONE && !b->n_slaves;
}

/* Sets the mark on each device that passes the test and is not read-only. It repeats until nothing
 * changes, since what holds for a device depends on devices below it, which may come later. */
static void spread(const struct find *f, enum mark mark,
                   bool (*test)(const struct find *f, size_t block))
{
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < f->s->n_blocks; i++)
            if (!(f->marks[i] & (mark | MARK_READ_ONLY)) && test(f, i)) {
                f->marks[i] |= (unsigned)mark;
                changed = true;
            }
    }
}

/* Marks the device and all below it. The persistence is only what keeps what is written to it. */
static void mark(const struct find *f, size_t block, unsigned role, int depth)
{
    if (block == LETHE_NONE || depth == DEPTH_MAX || f->marks[block] & role ||
        (role == LETHE_ROLE_PERSISTENCE && !(f->marks[block] & MARK_KEPT)))
        return;
    const struct lethe_block *b = &f->s->blocks[block];
    f->marks[block] |= role;
    for (size_t i = 0; i < b->n_slaves; i++)
        mark(f, b->slaves[i], role, depth + 1);
    for (size_t i = 0; i < b->n_beside; i++)
        mark(f, b->beside[i], role, depth + 1);
    mark(f, b->disk, role, depth + 1);
    mark(f, host_device(f->s, block), role, depth + 1);
}

static void find_persistence(const struct find *f)
{
    for (size_t i = 0; i < f->s->n_mounts; i++)
        if (lethe_mount_is_writable(&f->s->mounts[i]))
            mark(f, f->s->mounts[i].device, LETHE_ROLE_PERSISTENCE, 0);
}

/* -- what "/" runs from ------------------------------------------------------------------------ */

static size_t find_root(const struct lethe_snapshot *s, const char *path)
{
    size_t i = s->n_mounts;
    while (i && strcmp(s->mounts[i - 1].path, path))
        i--;
    return i ? i - 1 : LETHE_NONE;
}

static const struct lethe_union *find_union(const struct lethe_snapshot *s, size_t mount)
{
    for (size_t i = 0; i < s->n_unions; i++)
        if (s->unions[i].mount == mount)
            return &s->unions[i];
    return NULL;
}

/* True unless sysfs says that the device has gone; without sysfs nobody can say so. */
static bool is_there(const struct lethe_snapshot *s, struct lethe_devno devno)
{
    return !devno.major || !s->n_blocks || lethe_block_find(s, devno) != LETHE_NONE;
}

static void mark_origin(struct find *f, size_t mount, int depth);

/* True when the union's branch was moved below the same directory as a layer: `above` is what the
 * layer's mount has before the layer's path. Else a loop that a user mounts somewhere might be
 * taken for a layer. */
static bool moved_with_branch(const struct find *f, const struct lethe_union *u, const char *above,
                              size_t n)
{
    for (size_t i = 0; i < u->n_branches; i++) {
        const struct lethe_branch *b = &u->branches[i];
        const char *path = lethe_branch_is_shown(u, b) ? f->s->mounts[b->mount].path : "";
        if (b->writable && !strncmp(path, above, n) && path[n] &&
            lethe_text_path_below(b->path, path + n))
            return true;
    }
    return false;
}

/* Finds the mount of a layer whose path dates from the initramfs. */
static size_t find_moved(const struct find *f, const struct lethe_union *u, const char *layer)
{
    size_t n = strlen(layer);
    while (n && layer[n - 1] == '/')
        n--;
    const char *system = f->root[1] ? f->root : "";
    const size_t mount = lethe_tree_find_moved(f->s, system, layer, n);
    const char *path = mount == LETHE_NONE ? "" : f->s->mounts[mount].path;
    const size_t length = strlen(path);
    return length > n + strlen(system) && !moved_with_branch(f, u, path, length - n) ? LETHE_NONE
                                                                                     : mount;
}

/* Marks what the read-only layers of a union lie on. Nothing is known of layers that no mount
 * shows. */
static void mark_layers(struct find *f, const struct lethe_union *u, int depth)
{
    for (size_t i = 0; i < u->n_branches && f->layers < LAYERS_MAX; i++) {
        const struct lethe_branch *b = &u->branches[i];
        if (b->writable)
            continue;
        f->layers++;
        const enum lethe_origin before = f->origin;
        const bool shown = lethe_branch_is_shown(u, b);
        const size_t mount = shown ? b->mount : find_moved(f, u, b->path);
        if (mount != LETHE_NONE)
            mark_origin(f, mount, depth + 1);
        /* What is guessed is no proof that something has gone. */
        const bool guessed = mount != LETHE_NONE && !shown && f->origin != LETHE_ORIGIN_LOST;
        if (mount == LETHE_NONE)
            f->origin = LETHE_ORIGIN_LOST;
        if (guessed)
            f->origin = before == LETHE_ORIGIN_SEEN ? LETHE_ORIGIN_GUESSED : before;
    }
}

static void mark_origin(struct find *f, size_t mount, int depth)
{
    const struct lethe_mount *m = &f->s->mounts[mount];
    const struct lethe_union *u = find_union(f->s, mount);
    if (u && depth < DEPTH_MAX)
        mark_layers(f, u, depth);
    mark(f, m->device, LETHE_ROLE_MEDIUM, 0);
    if (m->device == LETHE_NONE && !is_there(f->s, m->devno))
        f->origin = LETHE_ORIGIN_GONE;
}

/* Below a root that is written to, marks the devices that can't be written to. */
static void mark_bases(const struct find *f, size_t block, int depth)
{
    if (block == LETHE_NONE || depth == DEPTH_MAX || f->marks[block] & MARK_PASSED)
        return;
    const struct lethe_block *b = &f->s->blocks[block];
    f->marks[block] |= MARK_PASSED;
    if (f->marks[block] & MARK_READ_ONLY) {
        mark(f, block, LETHE_ROLE_MEDIUM, 0);
        return;
    }
    for (size_t i = 0; i < b->n_slaves; i++)
        mark_bases(f, b->slaves[i], depth + 1);
    mark_bases(f, b->disk, depth + 1);
    mark_bases(f, host_device(f->s, block), depth + 1);
}

/* -- what its lost layers were ----------------------------------------------------------------- */

/* The last name of a path, whatever slashes end it. */
static struct lethe_span last_name(const char *path)
{
    size_t end = strlen(path);
    while (end && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin && path[begin - 1] != '/')
        begin--;
    return (struct lethe_span){path + begin, end - begin};
}

/* True when a layer of the root that no mount shows has the name of this file. */
static bool is_lost_layer(const struct lethe_union *u, const char *file)
{
    for (size_t i = 0; i < u->n_branches; i++) {
        const struct lethe_branch *b = &u->branches[i];
        struct lethe_span layer = last_name(b->path), name = last_name(file);
        if (!b->writable && !lethe_branch_is_shown(u, b) && layer.n && layer.n == name.n &&
            !memcmp(layer.at, name.at, name.n))
            return true;
    }
    return false;
}

/* Passes all devices with a visible user: a loop among them is no lost layer. */
static void pass_used(const struct find *f)
{
    const struct lethe_snapshot *s = f->s;
    for (size_t i = 0; i < s->n_mounts; i++)
        if (s->mounts[i].device != LETHE_NONE)
            f->marks[s->mounts[i].device] |= MARK_PASSED;
    for (size_t i = 0; i < s->n_swaps; i++)
        if (s->swaps[i].device != LETHE_NONE)
            f->marks[s->swaps[i].device] |= MARK_PASSED;
    for (size_t i = 0; i < s->n_blocks; i++) {
        const struct lethe_block *b = &s->blocks[i];
        if (b->disk != LETHE_NONE)
            f->marks[b->disk] |= MARK_PASSED;
        for (size_t j = 0; j < b->n_slaves; j++)
            f->marks[b->slaves[j]] |= MARK_PASSED;
        for (size_t j = 0; j < b->n_beside; j++)
            f->marks[b->beside[j]] |= MARK_PASSED;
    }
}

/* Counts the whole disks that have one of the marks. */
static size_t count_disks(const struct find *f, unsigned marks)
{
    size_t n = 0;
    for (size_t i = 0; i < f->s->n_blocks; i++)
        n += f->marks[i] & marks && f->s->blocks[i].kind == LETHE_BLOCK_PLAIN &&
             f->s->blocks[i].disk == LETHE_NONE;
    return n;
}

/* Marks the loops that may be lost layers, if they all lie on one disk. Where other layers are seen
 * they may lie on the disks of those as well; on two more disks nobody can tell which is meant.
 * Returns whether anything is known of the medium. */
static bool mark_loops(const struct find *f, const struct lethe_union *u, bool by_name)
{
    const struct lethe_snapshot *s = f->s;
    const size_t seen = count_disks(f, LETHE_ROLE_MEDIUM);
    for (size_t i = 0; i < s->n_blocks; i++)
        if (s->blocks[i].kind == LETHE_BLOCK_LOOP && s->blocks[i].file[0] &&
            !(f->marks[i] & MARK_PASSED) &&
            (by_name ? is_lost_layer(u, s->blocks[i].file) : f->marks[i] & MARK_READ_ONLY))
            mark(f, i, MARK_GUESSED, 0);
    const size_t found = count_disks(f, LETHE_ROLE_MEDIUM | MARK_GUESSED);
    const bool holds = found == 1 || (seen && found <= seen + 1);
    for (size_t i = 0; i < s->n_blocks; i++) {
        f->marks[i] |= holds && f->marks[i] & MARK_GUESSED ? LETHE_ROLE_MEDIUM : 0;
        f->marks[i] &= ~(unsigned)MARK_GUESSED;
    }
    return seen || holds;
}

static bool lies_on_disk(const struct lethe_snapshot *s, size_t block)
{
    for (int depth = 0; depth < DEPTH_MAX && block != LETHE_NONE; depth++) {
        const enum lethe_block_kind kind = s->blocks[block].kind;
        if (kind != LETHE_BLOCK_LOOP)
            return kind != LETHE_BLOCK_ZRAM && kind != LETHE_BLOCK_BRD;
        block = host_device(s, block);
    }
    return false;
}

/* Looks for the disk of the lost layers: by their names, then among all loops that may be layers.
 * One of those names that lies on no disk, as in a copy in RAM, says that no other loop is one. */
static bool guess(const struct find *f, const struct lethe_union *u)
{
    pass_used(f);
    for (size_t i = 0; i < f->s->n_blocks; i++)
        if (f->s->blocks[i].kind == LETHE_BLOCK_LOOP && !(f->marks[i] & MARK_PASSED) &&
            is_lost_layer(u, f->s->blocks[i].file) && !lies_on_disk(f->s, i))
            return count_disks(f, LETHE_ROLE_MEDIUM);
    return mark_loops(f, u, true) || mark_loops(f, u, false);
}

/* Finds the mount that the system runs from. A "/" in RAM that is no union is empty but for the
 * mounts on it: the system is where its programs are. */
static size_t find_system(const struct lethe_snapshot *s, const char *root)
{
    static const char *const programs[] = {"/usr", "/nix/store", "/gnu/store"};
    char path[32];
    const size_t mount = find_root(s, root);
    const bool bare = mount != LETHE_NONE && lethe_mount_is_ram(&s->mounts[mount]);
    for (size_t i = 0; bare && i < sizeof programs / sizeof *programs; i++) {
        snprintf(path, sizeof path, "%s%s", root[1] ? root : "", programs[i]);
        const size_t system = find_root(s, path);
        if (system != LETHE_NONE)
            return system;
    }
    return mount;
}

static void find_medium(struct find *f)
{
    const size_t root = find_system(f->s, f->root);
    const struct lethe_union *u = root == LETHE_NONE ? NULL : find_union(f->s, root);
    if (root == LETHE_NONE)
        return;
    if (u || !lethe_mount_is_writable(&f->s->mounts[root]))
        mark_origin(f, root, 0);
    else
        mark_bases(f, f->s->mounts[root].device, 0);
    if (f->origin == LETHE_ORIGIN_LOST && u)
        f->origin = guess(f, u) ? LETHE_ORIGIN_GUESSED : LETHE_ORIGIN_LOST;
    /* A file that is not there any more proves nothing of what was guessed. */
    for (size_t i = 0; f->origin == LETHE_ORIGIN_SEEN && i < f->s->n_blocks; i++)
        if (f->marks[i] & LETHE_ROLE_MEDIUM && f->s->blocks[i].kind == LETHE_BLOCK_LOOP &&
            !is_there(f->s, f->s->blocks[i].file_devno))
            f->origin = LETHE_ORIGIN_GONE;
}

enum lethe_origin
lethe_roles_find(const struct lethe_snapshot *s, bool own_root,
                 enum lethe_role *roles) // NOLINT(readability-non-const-parameter)
{
    struct find f = {s, (unsigned *)roles, own_root ? "/oldroot" : "/", LETHE_ORIGIN_SEEN, 0};
    for (size_t i = 0; i < s->n_blocks; i++)
        f.marks[i] = 0;
    spread(&f, MARK_READ_ONLY, is_read_only);
    spread(&f, MARK_KEPT, is_kept);
    find_persistence(&f);
    find_medium(&f);
    for (size_t i = 0; i < s->n_blocks; i++)
        f.marks[i] &= LETHE_ROLE_BOTH;
    return f.origin;
}

void lethe_roles_add_layers_to_be(const struct lethe_snapshot *s,
                                  enum lethe_role *roles) // NOLINT(readability-non-const-parameter)
{
    struct find f = {s, (unsigned *)roles, "/", LETHE_ORIGIN_SEEN, 0};
    const size_t root = find_root(s, "/");
    if (root == LETHE_NONE || strcmp(s->mounts[root].fstype, "rootfs"))
        return;
    spread(&f, MARK_READ_ONLY, is_read_only);
    for (size_t i = 0; i < s->n_mounts; i++) {
        const size_t device = s->mounts[i].device;
        if (device != LETHE_NONE && s->blocks[device].kind == LETHE_BLOCK_LOOP &&
            f.marks[device] & MARK_READ_ONLY)
            mark(&f, device, LETHE_ROLE_MEDIUM, 0);
    }
    for (size_t i = 0; i < s->n_blocks; i++)
        f.marks[i] &= LETHE_ROLE_BOTH;
}
