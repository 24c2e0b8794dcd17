/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * slab_makers: makes objects of the kernel's caches, with content that is nobody's.
 *
 * Which call makes an object of which cache was read in the kernel's sources (v6.1, v6.12, v7.2) and is
 * verified by scanning RAM (test/vm/test_small.py): d_alloc(), simple_xattr_alloc(), load_msg(),
 * user_preparse(), shmem_symlink(), dup_task_struct(), kmalloc_reserve().
 */
#ifndef LETHE_KERNEL_SLAB_MAKERS_H
#define LETHE_KERNEL_SLAB_MAKERS_H

#include <stdbool.h>
#include <stddef.h>

#include "lethe/plan/slabinfo.h"

/* `top` is a tmpfs that is mounted nowhere, `dir` the directory in it that is being filled, and
 * `bearer` a file in it, which extended attributes are given to. Processes that were made wait
 * until the pipe `gate` is closed. */
struct lethe_slab_makers {
    int top, dir;
    int bearer;
    unsigned n_names; /* made so far: every one is new */
    int queue, datagrams;
    int gate[2];
    unsigned linux_major;
    unsigned n_processes;
};

/* Mounts the tmpfs. 0, or -errno when there can be no detached one (Linux 5.2). All objects go with
 * the makers. */
int lethe_slab_makers_open(struct lethe_slab_makers *makers);
void lethe_slab_makers_close(struct lethe_slab_makers *makers);

/* Makes one object of `size` bytes, the size of its cache, on the processor that the caller runs
 * on. False when there can be no more. */
bool lethe_slab_makers_make(struct lethe_slab_makers *makers, enum lethe_slabinfo_maker maker,
                            size_t size);

#endif
