/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * names: other names in place of a user's, so that what is shown to others tells nothing of him.
 *
 * Each component of a path is replaced by "name1", "name2" … in the order in which they come up,
 * the same by the same everywhere, so that what lies below what stays as it was. Names that every
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

/* The path with its components replaced. NULL when the arena is full, as all below. */
const char *lethe_names_path(struct lethe_names *names, const char *path);

/* A mount's source: a path, or a word that stays if it says no more than the type. */
const char *lethe_names_source(struct lethe_names *names, const struct lethe_mount *mount);

/* A mount's super options, escaped as mountinfo has them: "rw" or "ro", and what a plan is made
 * from, so that nothing secret is among them. */
const char *lethe_names_options(struct lethe_names *names, const struct lethe_mount *mount);

/* A mount's type: of FUSE's the end is replaced where no well-known program calls itself so. */
const char *lethe_names_type(struct lethe_names *names, const char *type);

/* device-mapper's uuid cut to what says the kind of a device: "CRYPT-LUKS2-"; "" where no known
 * maker begins it. */
const char *lethe_names_dm_uuid(struct lethe_names *names, const char *uuid);

#endif
