/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * names: other names in place of a user's, so that what is shown to others tells nothing of the
 * user.
 *
 * Each component of a path is replaced by "name1", "name2" … in the order in which they come up.
 * The same component gets the same name everywhere, so the tree keeps its shape. Names that every
 * system has (usr, run, sda1, mapper …) stay.
 */
#ifndef LETHE_PLAN_NAMES_H
#define LETHE_PLAN_NAMES_H

#include "lethe/plan/model.h"

enum { LETHE_NAMES_BUCKETS = 4096 };

struct lethe_name;

struct lethe_names {
    struct lethe_arena *arena;
    bool keep; /* nothing is replaced */
    size_t n;
    struct lethe_name *buckets[LETHE_NAMES_BUCKETS];
};

/* Returns the path with its components replaced. This and all below return NULL when the arena is
 * full. */
const char *lethe_names_path(struct lethe_names *names, const char *path);

/* Returns a mount's source: a path, or a word that stays if it says no more than the type. */
const char *lethe_names_source(struct lethe_names *names, const struct lethe_mount *mount);

/* Returns a mount's super options, escaped as mountinfo has them. Only "rw" or "ro" and what a plan
 * is made from are among them, so nothing secret is. */
const char *lethe_names_options(struct lethe_names *names, const struct lethe_mount *mount);

/* Returns a mount's type. What follows "fuse." is replaced unless a well-known program has that
 * name. */
const char *lethe_names_type(struct lethe_names *names, const char *type);

/* Returns device-mapper's uuid cut to what says the kind of a device, such as "CRYPT-LUKS2-"; ""
 * where no known maker begins it. */
const char *lethe_names_dm_uuid(struct lethe_names *names, const char *uuid);

#endif
