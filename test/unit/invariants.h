/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * invariants: what must be true of every plan, whatever the snapshot.
 *
 * Written from the rules in lethe/plan.h and without the plan's own graph, slow and simple:
 *   - every mount but Lethe's own, every swap and every device that can be stopped appears once,
 * every ramdisk is erased once, and so is all that is shown of each RAM-backed file system but
 * Lethe's own; nothing else appears;
 *   - what a step depends on comes before it, unless the step is marked lazy;
 *   - what goes together is all that is left on one parent, which goes later by its path;
 *   - a step is lazy only when there is a cycle.
 */
#ifndef LETHE_TEST_INVARIANTS_H
#define LETHE_TEST_INVARIANTS_H

#include "scene.h"

/* NULL when all hold, else which does not. */
const char *invariants_broken(const struct scene *scene, bool own_root);

/* For a fuzzer: tells what is broken and aborts. */
void invariants_must_hold(const struct scene *scene, bool own_root);

#endif
