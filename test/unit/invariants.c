/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "invariants.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lethe/plan/handed.h"

struct check {
    const struct lethe_snapshot *s;
    const struct lethe_plan *plan;
    bool own_root;
};

/* The first mount that has the id, as a forged tree may have it twice. */
static size_t mount_by_id(const struct lethe_snapshot *s, unsigned id)
{
    for (size_t i = 0; i < s->n_mounts; i++)
        if (s->mounts[i].id == id)
            return i;
    return LETHE_NONE;
}

static bool is_its_own_parent(const struct lethe_snapshot *s, size_t mount)
{
    return s->mounts[mount].parent == s->mounts[mount].id;
}

static size_t parent_of(const struct lethe_snapshot *s, size_t mount)
{
    return is_its_own_parent(s, mount) ? LETHE_NONE : mount_by_id(s, s->mounts[mount].parent);
}

static bool is_own(const struct check *c, size_t mount)
{
    const char *path = c->s->mounts[mount].path;
    return c->own_root && (!strcmp(path, "/") || !strcmp(path, "/proc") || !strcmp(path, "/sys") ||
                           !strcmp(path, "/dev") || !strcmp(path, "/sys/kernel/tracing"));
}

static bool same_file_system(const struct lethe_snapshot *s, size_t a, size_t b)
{
    return lethe_devno_is(s->mounts[a].devno, s->mounts[b].devno);
}

/* Of mounts at the same place, which only a forged tree has, the newest is found. */
static bool is_found(const struct lethe_snapshot *s, size_t mount)
{
    const struct lethe_mount *m = &s->mounts[mount];
    for (size_t i = mount + 1; i < s->n_mounts; i++)
        if (s->mounts[i].parent == m->parent && !strcmp(s->mounts[i].path, m->path) &&
            !is_its_own_parent(s, i))
            return false;
    return true;
}

/* True when a look-up of `mount`'s path, coming to the mount's parent, is led to `cover` instead.
 */
static bool turns_away(const struct lethe_snapshot *s, size_t cover, size_t mount)
{
    const struct lethe_mount *a = &s->mounts[cover], *b = &s->mounts[mount];
    if (cover == mount || a->parent != b->parent || !lethe_text_path_below(b->path, a->path) ||
        is_its_own_parent(s, cover) || is_its_own_parent(s, mount))
        return false;
    return is_found(s, cover);
}

/* True when `cover` lies on the root of `mount`. */
static bool lies_on(const struct lethe_snapshot *s, size_t cover, size_t mount)
{
    return parent_of(s, cover) == mount && is_found(s, cover) &&
           !strcmp(s->mounts[cover].path, s->mounts[mount].path);
}

static bool is_ancestor(const struct lethe_snapshot *s, size_t ancestor, size_t mount)
{
    for (size_t n = 0; mount != LETHE_NONE && n <= s->n_mounts; n++, mount = parent_of(s, mount))
        if (mount == ancestor)
            return true;
    return false;
}

/* A forged mount may be its own ancestor: no look-up ends there. */
static bool has_root(const struct lethe_snapshot *s, size_t mount)
{
    size_t n = 0;
    for (; mount != LETHE_NONE && n <= s->n_mounts; n++)
        mount = parent_of(s, mount);
    return mount == LETHE_NONE;
}

static bool hides(const struct lethe_snapshot *s, size_t cover, size_t mount)
{
    if (is_ancestor(s, cover, mount) || !has_root(s, mount))
        return false;
    for (size_t n = 0; mount != LETHE_NONE && n <= s->n_mounts; n++, mount = parent_of(s, mount))
        if (turns_away(s, cover, mount))
            return true;
    return false;
}

static bool lies_in(const struct lethe_snapshot *s, const struct lethe_step *step, size_t mount)
{
    struct lethe_devno host = {0, 0};
    if (step->kind == LETHE_STEP_SWAPOFF)
        host = s->swaps[step->index].devno;
    else if (step->kind == LETHE_STEP_STOP && s->blocks[step->index].kind == LETHE_BLOCK_LOOP)
        host = s->blocks[step->index].file_devno;
    return (host.major || host.minor) && lethe_devno_is(host, s->mounts[mount].devno);
}

static bool shows_branch(const struct lethe_snapshot *s, size_t mount, size_t of)
{
    for (size_t i = 0; i < s->n_unions; i++)
        for (size_t j = 0; s->unions[i].mount == of && j < s->unions[i].n_branches; j++)
            if (s->unions[i].branches[j].mount == mount)
                return true;
    return false;
}

static bool is_union(const struct lethe_snapshot *s, size_t mount)
{
    for (size_t i = 0; i < s->n_unions; i++)
        if (s->unions[i].mount == mount)
            return true;
    return false;
}

/* True for a union with a branch that no mount shows, or only Lethe's own, and for what keeps a
 * mount namespace: any device may be below. */
static bool may_hold_anything(const struct check *c, size_t mount)
{
    if (!strcmp(c->s->mounts[mount].fstype, "nsfs") &&
        !strncmp(c->s->mounts[mount].root, "mnt:[", 5))
        return true;
    for (size_t i = 0; i < c->s->n_unions; i++)
        for (size_t j = 0; c->s->unions[i].mount == mount && j < c->s->unions[i].n_branches; j++) {
            size_t shown = c->s->unions[i].branches[j].mount;
            if (shown == LETHE_NONE || shown == mount || is_own(c, shown))
                return true;
        }
    return false;
}

/* True when a mount on the one device lies on the other too. */
static bool is_beside(const struct lethe_snapshot *s, size_t device, size_t other)
{
    bool mounted = false, beside = false;
    for (size_t i = 0; i < s->n_mounts; i++)
        mounted = mounted || s->mounts[i].device == device;
    for (size_t i = 0; i < s->blocks[device].n_beside; i++)
        beside = beside || s->blocks[device].beside[i] == other;
    return mounted && beside;
}

static bool has_layer_on(const struct lethe_snapshot *s, size_t mount, size_t device);

/* True when something in the snapshot is on the device. */
static bool has_user(const struct lethe_snapshot *s, size_t device)
{
    bool used = false;
    for (size_t i = 0; i < s->n_mounts; i++)
        used = used || s->mounts[i].device == device || has_layer_on(s, i, device);
    for (size_t i = 0; i < s->n_swaps; i++)
        used = used || s->swaps[i].device == device;
    for (size_t i = 0; i < s->n_blocks; i++) {
        used = used || is_beside(s, i, device);
        if (i == device) /* a forged one may be built on itself */
            continue;
        used = used || s->blocks[i].disk == device;
        used = used || (s->blocks[i].kind == LETHE_BLOCK_LOOP && s->blocks[i].file_devno.major &&
                        lethe_mount_find(s, s->blocks[i].file_devno) == LETHE_NONE &&
                        lethe_block_find(s, s->blocks[i].file_devno) == device);
        for (size_t j = 0; j < s->blocks[i].n_slaves; j++)
            used = used || s->blocks[i].slaves[j] == device;
    }
    return used;
}

/* True when the device, or one below it, is a loop whose file's file system is known. A forged tree
 * may go in circles: `left` bounds the walk. */
static bool is_in_file(const struct lethe_snapshot *s, size_t device, int left)
{
    const struct lethe_block *b = &s->blocks[device];
    if (b->kind == LETHE_BLOCK_LOOP && (b->file_devno.major || b->file_devno.minor))
        return true;
    for (size_t i = 0; left && i < b->n_slaves; i++)
        if (is_in_file(s, b->slaves[i], left - 1))
            return true;
    return left && b->disk != LETHE_NONE && is_in_file(s, b->disk, left - 1);
}

/* True when the mount may hold the device without saying so: a union, or a file system on devices,
 * what nobody is seen to use; any, if it has a branch that no mount shows, or only Lethe's own, or
 * keeps a mount namespace. But not what may have to go before it. */
static bool may_hold(const struct check *c, size_t mount, size_t device)
{
    bool inside = is_in_file(c->s, device, 5), used = has_user(c->s, device);
    return (may_hold_anything(c, mount) && !(inside && used)) ||
           ((is_union(c->s, mount) || c->s->mounts[mount].device != LETHE_NONE ||
             !strcmp(c->s->mounts[mount].fstype, "zfs")) &&
            !inside && !used);
}

/* True when the union at the mount has a layer that is on the device. */
static bool has_layer_on(const struct lethe_snapshot *s, size_t mount, size_t device)
{
    for (size_t i = 0; i < s->n_unions; i++)
        for (size_t j = 0; s->unions[i].mount == mount && j < s->unions[i].n_branches; j++) {
            size_t layer = s->unions[i].branches[j].mount;
            size_t on = layer == LETHE_NONE ? LETHE_NONE : s->mounts[layer].device;
            if (on == device || (on != LETHE_NONE && is_beside(s, on, device)))
                return true;
        }
    return false;
}

static bool holds(const struct lethe_snapshot *s, const struct lethe_step *step, size_t device)
{
    if (step->kind == LETHE_STEP_UNMOUNT) {
        size_t on = s->mounts[step->index].device;
        return on == device || (on != LETHE_NONE && is_beside(s, on, device)) ||
               has_layer_on(s, step->index, device);
    }
    if (step->kind == LETHE_STEP_SWAPOFF)
        return s->swaps[step->index].device == device;
    if (step->kind != LETHE_STEP_STOP && step->kind != LETHE_STEP_ERASE_DEVICE)
        return false;
    const struct lethe_block *b = &s->blocks[step->index];
    for (size_t i = 0; i < b->n_slaves; i++)
        if (b->slaves[i] == device)
            return true;
    if (b->kind == LETHE_BLOCK_LOOP && b->file_devno.major &&
        lethe_mount_find(s, b->file_devno) == LETHE_NONE &&
        lethe_block_find(s, b->file_devno) == device) /* forged devices may share a number */
        return true;
    return b->disk == device;
}

/* True when `first` must come before `then`. */
static bool precedes(const struct check *c, const struct lethe_step *first,
                     const struct lethe_step *then)
{
    const struct lethe_snapshot *s = c->s;
    if (first->kind == then->kind && first->index == then->index)
        return false;
    if (then->kind == LETHE_STEP_STOP || then->kind == LETHE_STEP_ERASE_DEVICE)
        return holds(s, first, then->index) ||
               (first->kind == LETHE_STEP_UNMOUNT && may_hold(c, first->index, then->index));
    if (then->kind == LETHE_STEP_SWAPOFF)
        return false;
    if (first->kind == LETHE_STEP_ERASE)
        return then->kind == LETHE_STEP_UNMOUNT && same_file_system(s, first->index, then->index);
    if (first->kind != LETHE_STEP_UNMOUNT)
        return lies_in(s, first, then->index);
    if (hides(s, first->index, then->index))
        return true;
    if (then->kind == LETHE_STEP_ERASE)
        return lies_on(s, first->index, then->index);
    return parent_of(s, first->index) == then->index ||
           (shows_branch(s, then->index, first->index) &&
            !is_ancestor(s, first->index, then->index));
}

static bool can_be_stopped(const struct lethe_block *b)
{
    return b->kind == LETHE_BLOCK_CRYPT || b->kind == LETHE_BLOCK_DM || b->kind == LETHE_BLOCK_MD ||
           b->kind == LETHE_BLOCK_ZRAM || b->kind == LETHE_BLOCK_NBD ||
           b->kind == LETHE_BLOCK_BCACHE || (b->kind == LETHE_BLOCK_LOOP && b->file[0]);
}

static size_t count(const struct lethe_plan *plan, enum lethe_step_kind kind, size_t index)
{
    size_t n = 0;
    for (size_t i = 0; i < plan->n_steps; i++)
        n += plan->steps[i].kind == kind && plan->steps[i].index == index;
    return n;
}

static bool ends_in_deleted(const char *root)
{
    const char *last = strrchr(root, '/');
    return last > root && last[-1] == '/' && !strcmp(last, "/deleted");
}

/* How many erasures reach all that the mount shows: those through a mount of the same file system
 * that shows at least as much. */
static size_t count_erased(const struct check *c, size_t mount)
{
    size_t n = 0;
    const char *root = c->s->mounts[mount].root;
    for (size_t i = 0; i < c->plan->n_steps; i++) {
        size_t by = c->plan->steps[i].index;
        if (c->plan->steps[i].kind != LETHE_STEP_ERASE || !same_file_system(c->s, by, mount))
            continue;
        if (ends_in_deleted(root) || ends_in_deleted(c->s->mounts[by].root))
            n += !strcmp(root, c->s->mounts[by].root);
        else
            n += lethe_text_path_below(root, c->s->mounts[by].root);
    }
    return n;
}

static bool shows_own_root(const struct check *c, size_t mount)
{
    for (size_t i = 0; i < c->s->n_mounts; i++)
        if (c->own_root && same_file_system(c->s, i, mount) && !strcmp(c->s->mounts[i].path, "/"))
            return true;
    return false;
}

static const char *find_missing(const struct check *c)
{
    size_t expected = 0;
    for (size_t i = 0; i < c->s->n_mounts; i++) {
        if (count(c->plan, LETHE_STEP_UNMOUNT, i) != !is_own(c, i))
            return "a mount is not unmounted once, or Lethe's own is";
        expected += !is_own(c, i);
        if (!lethe_mount_is_ram(&c->s->mounts[i]))
            continue;
        if (count_erased(c, i) != !shows_own_root(c, i))
            return "a RAM-backed file system is not erased once, or Lethe's own is";
        expected += count(c->plan, LETHE_STEP_ERASE, i);
    }
    for (size_t i = 0; i < c->s->n_swaps; i++, expected++)
        if (count(c->plan, LETHE_STEP_SWAPOFF, i) != 1)
            return "a swap is not switched off once";
    for (size_t i = 0; i < c->s->n_blocks; i++) {
        if (count(c->plan, LETHE_STEP_STOP, i) != can_be_stopped(&c->s->blocks[i]))
            return "a device is not stopped once, or can't be";
        bool ram = c->s->blocks[i].kind == LETHE_BLOCK_BRD;
        if (count(c->plan, LETHE_STEP_ERASE_DEVICE, i) != ram)
            return "a ramdisk is not erased once, or a device that is none is";
        expected += can_be_stopped(&c->s->blocks[i]) + ram;
    }
    return expected == c->plan->n_steps ? NULL : "the plan has a step for nothing";
}

static const char *find_disorder(const struct check *c)
{
    static char text[600];
    char first[256], then[256];
    for (size_t i = 0; i < c->plan->n_steps; i++)
        for (size_t j = i + 1; !c->plan->steps[i].lazy && j < c->plan->n_steps; j++)
            if (precedes(c, &c->plan->steps[j], &c->plan->steps[i])) {
                snprintf(text, sizeof text, "\"%s\" must come before \"%s\"",
                         lethe_step_print(first, sizeof first, &c->plan->steps[j], c->s),
                         lethe_step_print(then, sizeof then, &c->plan->steps[i], c->s));
                return text;
            }
    return NULL;
}

static bool may_go_together(const struct check *c, const struct lethe_step *step)
{
    const struct lethe_mount *m = &c->s->mounts[step->index];
    return step->kind == LETHE_STEP_UNMOUNT && !step->lazy && !is_union(c->s, step->index) &&
           m->device == LETHE_NONE && !lethe_mount_is_remote(m) && !lethe_mount_keeps_mounts(m);
}

/* A medium that is detached to break a cycle may go with its parent: nothing is written to it. */
static bool goes_along(const struct check *c, const struct lethe_step *step)
{
    return step->lazy && !lethe_mount_is_writable(&c->s->mounts[step->index]);
}

/* Those that go together are all that is left on their parent, which goes later by its path. */
static const char *find_strangers(const struct check *c)
{
    const struct lethe_plan *plan = c->plan;
    for (size_t i = 0; i < plan->n_steps; i++) {
        size_t end = i + plan->steps[i].together, parent, gone = LETHE_NONE;
        if (end == i)
            continue;
        if (end > plan->n_steps)
            return "more go together than there are";
        parent = parent_of(c->s, plan->steps[i].index);
        if (parent == LETHE_NONE)
            return "what goes together has no parent";
        for (size_t j = 0; j < plan->n_steps; j++) {
            const struct lethe_step *step = &plan->steps[j];
            bool child = step->kind == LETHE_STEP_UNMOUNT && parent_of(c->s, step->index) == parent;
            if (j >= i && j < end && (!child || !may_go_together(c, step)))
                return "a stranger goes together with others";
            if (j >= i && (child || j < end) && lies_on(c->s, step->index, parent))
                return "what goes together hides its parent";
            if (j >= end && child && step->index != parent && !goes_along(c, step))
                return "what should go later goes together with others";
            if (step->kind == LETHE_STEP_UNMOUNT && step->index == parent)
                gone = j;
            if (j >= i && step->kind == LETHE_STEP_UNMOUNT && hides(c->s, step->index, parent))
                return "what goes together is on a hidden parent";
        }
        if (gone == LETHE_NONE || gone < end || plan->steps[gone].lazy)
            return "the parent of what goes together does not go later";
    }
    return NULL;
}

/* Plain devices are no steps but may be part of a cycle, and so may be the ways to forged mounts
 * that are their own ancestors: then nothing is said. */
static bool all_cycles_are_seen(const struct check *c)
{
    for (size_t i = 0; i < c->s->n_mounts; i++)
        if (!has_root(c->s, i))
            return false;
    for (size_t i = 0; i < c->s->n_blocks; i++)
        if (!can_be_stopped(&c->s->blocks[i]) && c->s->blocks[i].kind != LETHE_BLOCK_BRD)
            return false;
    return true;
}

/* Takes away again and again what nothing left precedes: what stays forms cycles. */
static bool has_cycle(const struct check *c)
{
    size_t n = c->plan->n_steps, left = n;
    bool *done = calloc(n + 1, sizeof *done), moved = true;
    while (done && moved) {
        moved = false;
        for (size_t i = 0; i < n; i++) {
            bool waits = done[i];
            for (size_t j = 0; !waits && j < n; j++)
                waits = !done[j] && precedes(c, &c->plan->steps[j], &c->plan->steps[i]);
            if (!waits) {
                done[i] = moved = true;
                left--;
            }
        }
    }
    free(done);
    return left;
}

const char *invariants_broken(const struct scene *scene, bool own_root)
{
    const struct check c = {&scene->snapshot, &scene->plan, own_root};
    const char *broken = find_missing(&c);
    if (!broken)
        broken = find_disorder(&c);
    if (!broken)
        broken = find_strangers(&c);
    if (broken || !all_cycles_are_seen(&c))
        return broken;
    for (size_t i = 0; i < c.plan->n_steps; i++)
        if (c.plan->steps[i].lazy)
            return has_cycle(&c) ? NULL : "a step is lazy without a cycle";
    return NULL;
}

/* What systemd leaves of it is a system like any other, and nothing is in neither part or in both. */
static const char *find_broken_handover(const struct scene *scene)
{
    const struct lethe_plan_options options = {0};
    struct scene after = *scene; /* what is taken of the arena is given back with the copy */
    struct lethe_handed handed;
    if (lethe_handed_over(&handed, &scene->snapshot, &after.arena))
        return NULL;
    after.snapshot = handed.after;
    size_t n_mounts = after.snapshot.n_mounts;
    for (size_t i = 0; i < handed.n_gone; i++)
        n_mounts += lethe_plan_node(&scene->snapshot, handed.gone[i]).kind == LETHE_NODE_MOUNT;
    if (n_mounts != scene->snapshot.n_mounts)
        return "a mount is neither handed over nor gone, or both";
    if (lethe_plan_make(&after.plan, &after.snapshot, &options, &after.arena))
        return NULL;
    return invariants_broken(&after, false);
}

void invariants_must_hold(const struct scene *scene, bool own_root)
{
    const char *broken = invariants_broken(scene, own_root);
    if (!broken && !own_root)
        broken = find_broken_handover(scene);
    if (!broken)
        return;
    fprintf(stderr, "%s\n", broken);
    abort();
}
