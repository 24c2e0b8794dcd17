/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plan_text.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_SIZE = 4 * 4096 + 100 };

struct path {
    uint64_t hash;
    size_t mount;
};

static int compare_paths(const void *left, const void *right)
{
    const struct path *a = left, *b = right;
    return (a->hash > b->hash) - (a->hash < b->hash);
}

bool *lethe_plan_text_stacked(const struct lethe_snapshot *s)
{
    bool *stacked = calloc(s->n_mounts + 1, sizeof *stacked);
    struct path *paths = calloc(s->n_mounts + 1, sizeof *paths);
    for (size_t i = 0; paths && i < s->n_mounts; i++) {
        paths[i] = (struct path){14695981039346656037U, i}; /* FNV-1a */
        for (const char *c = s->mounts[i].path; *c; c++)
            paths[i].hash = (paths[i].hash ^ (unsigned char)*c) * 1099511628211U;
    }
    if (paths)
        qsort(paths, s->n_mounts, sizeof *paths, compare_paths);
    for (size_t i = 1; stacked && paths && i < s->n_mounts; i++)
        if (paths[i].hash == paths[i - 1].hash)
            stacked[paths[i].mount] = stacked[paths[i - 1].mount] = true;
    free(paths);
    return stacked;
}

/* Prints a node's name; where several mounts share a path, with the mount's id. */
static void print_name(const struct lethe_snapshot *s, struct lethe_node node, const bool *stacked)
{
    char text[NAME_SIZE];
    fputs(lethe_node_print(text, sizeof text, node, s), stdout);
    if ((node.kind == LETHE_NODE_MOUNT || node.kind == LETHE_NODE_ERASURE) && stacked[node.index])
        printf(" [mount %u]", s->mounts[node.index].id);
}

static void print_step(const struct lethe_plan *plan, const struct lethe_snapshot *s, size_t step,
                       const bool *stacked)
{
    const struct lethe_step *the = &plan->steps[step];
    printf("%zu. %s ", step + 1, lethe_step_verb(the));
    print_name(s, lethe_plan_node(s, lethe_plan_step_node(s, the)), stacked);
    printf(": %s", the->reason);
}

/* Prints the others in the circle with a step, if the next circle is its. Returns the circles that
 * are left for later steps. */
static const struct lethe_cycle *print_cycle(const struct lethe_snapshot *s,
                                             const struct lethe_cycle *cycle, size_t step,
                                             const bool *stacked)
{
    const bool has = cycle && cycle->step == step;
    for (size_t i = 0; has && i < cycle->n; i++) {
        fputs(i ? ", " : " (in a circle with ", stdout);
        print_name(s, lethe_plan_node(s, cycle->nodes[i]), stacked);
    }
    fputs(has ? ")\n" : "\n", stdout);
    return has ? cycle->next : cycle;
}

static void print_stays(const struct lethe_snapshot *s, const struct lethe_stays *l,
                        const bool *stacked)
{
    static const enum lethe_node_kind kinds[] = {[LETHE_STAYS_MOUNT] = LETHE_NODE_MOUNT,
                                                 [LETHE_STAYS_DEVICE] = LETHE_NODE_DEVICE,
                                                 [LETHE_STAYS_SWAP] = LETHE_NODE_SWAP};
    char text[NAME_SIZE];
    fputs("left: ", stdout);
    if (l->kind != LETHE_STAYS_BRANCH) {
        print_name(s, (struct lethe_node){kinds[l->kind], l->index}, stacked);
    } else {
        const struct lethe_union *u = &s->unions[l->index];
        printf("%s, a writable branch of ",
               lethe_text_printable(text, sizeof text, u->branches[l->branch].path));
        print_name(s, (struct lethe_node){LETHE_NODE_MOUNT, u->mount}, stacked);
    }
    printf(": %s\n", l->reason);
}

/* Prints what systemd does, and what it leaves in RAM with it. */
static void print_gone(const struct lethe_handed *handed, struct lethe_node node,
                       const bool *stacked)
{
    const struct lethe_snapshot *s = handed->before;
    static const char *const verbs[] = {[LETHE_NODE_MOUNT] = "unmounts",
                                        [LETHE_NODE_SWAP] = "swaps off",
                                        [LETHE_NODE_DEVICE] = "stops",
                                        [LETHE_NODE_NAMESPACE] = "ends"};
    printf("first: systemd %s ", verbs[node.kind]);
    print_name(s, node, stacked);
    const struct lethe_mount *m = node.kind == LETHE_NODE_MOUNT ? &s->mounts[node.index] : NULL;
    puts(m && lethe_mount_is_ram(m) && lethe_mount_find(&handed->after, m->devno) == LETHE_NONE
             ? ": its files are RAM, freed and cleared with all free memory"
             : "");
}

static void print_all(const struct lethe_plan *plan, const struct lethe_handed *handed,
                      const struct lethe_stays_list *stays, const bool *stacked, const bool *was)
{
    const struct lethe_snapshot *s = &handed->after;
    const struct lethe_cycle *cycle = plan->cycles;
    for (size_t i = 0; handed->gone && i < handed->n_gone; i++)
        print_gone(handed, lethe_plan_node(handed->before, handed->gone[i]), was);
    for (size_t i = 0; i < s->n_namespaces; i++) {
        fputs("first: end ", stdout);
        print_name(s, (struct lethe_node){LETHE_NODE_NAMESPACE, i}, stacked);
        puts(": a mount namespace goes with its processes, all of which are ended first");
    }
    for (size_t i = 0; i < plan->n_steps; i++) {
        print_step(plan, s, i, stacked);
        cycle = print_cycle(s, cycle, i, stacked);
    }
    for (size_t i = 0; i < stays->n; i++)
        print_stays(handed->before, &stays->list[i], was);
    if (lethe_stays_origin_text(stays->origin))
        printf("not seen: %s\n", lethe_stays_origin_text(stays->origin));
    for (unsigned bit = 1; bit <= LETHE_UNSEEN_ALL; bit <<= 1)
        if (s->unseen & bit)
            printf("not seen: %s\n", lethe_stays_unseen_text((enum lethe_unseen)bit));
}

int lethe_plan_text_print(const struct lethe_plan *plan, const struct lethe_handed *handed,
                          const struct lethe_stays_list *stays)
{
    bool *stacked = lethe_plan_text_stacked(&handed->after);
    bool *was = handed->gone ? lethe_plan_text_stacked(handed->before) : stacked;
    const int r = stacked && was ? 0 : -ENOMEM;
    if (!r)
        print_all(plan, handed, stays, stacked, was);
    if (was != stacked)
        free(was);
    free(stacked);
    return r;
}

/* -- what happens to one thing ----------------------------------------------------------------- */

/* `stacked` are the mounts of `s`, and `was` those of handed->before. */
struct about {
    const struct lethe_plan *plan;
    const struct lethe_handed *handed;
    const struct lethe_snapshot *s;
    const struct lethe_stays_list *stays;
    const char *name;
    bool *stacked, *was;
    size_t *steps; /* of each node, from 1 */
};

static bool is_device(const struct lethe_block *b, const char *name)
{
    char number[32];
    snprintf(number, sizeof number, "%u:%u", b->devno.major, b->devno.minor);
    if (!strcmp(name, number))
        return true;
    name = strncmp(name, "/dev/", 5) ? name : name + 5;
    name = strncmp(name, "mapper/", 7) ? name : name + 7;
    return !strcmp(name, b->name) || (b->dm_name[0] && !strcmp(name, b->dm_name));
}

static bool has_name(const struct lethe_snapshot *s, struct lethe_node node, const char *name)
{
    switch (node.kind) {
    case LETHE_NODE_MOUNT:
    case LETHE_NODE_ERASURE:
        return !strcmp(name, s->mounts[node.index].path);
    case LETHE_NODE_SWAP:
        return !strcmp(name, s->swaps[node.index].path);
    case LETHE_NODE_DEVICE:
        return is_device(&s->blocks[node.index], name);
    default:
        return false;
    }
}

/* Prints a moment by the thing that it concerns. */
static void print_node(const struct about *a, size_t number)
{
    static const char *const moments[] = {[LETHE_NODE_PATH_CLEAR] = "that the way is free to ",
                                          [LETHE_NODE_FILES_UNUSED] = "that no file is in use of ",
                                          [LETHE_NODE_ERASED] = "that all is zeroed of ",
                                          [LETHE_NODE_HOLDERS_GONE] = "what may hold unseen ",
                                          [LETHE_NODE_NAMESPACE] = "the end of "};
    const struct lethe_node node = lethe_plan_node(a->s, number);
    if (a->steps[number])
        printf("step %zu, %s ", a->steps[number],
               lethe_step_verb(&a->plan->steps[a->steps[number] - 1]));
    else if (node.kind >= LETHE_NODE_PATH_CLEAR)
        fputs(moments[node.kind], stdout);
    print_name(a->s, node, a->stacked);
}

static void explain_node(const struct about *a, size_t number)
{
    const struct lethe_cycle *cycle = a->plan->cycles;
    const size_t step = a->steps[number];
    while (cycle && step && cycle->step < step - 1)
        cycle = cycle->next;
    if (step) {
        print_step(a->plan, a->s, step - 1, a->stacked);
        print_cycle(a->s, cycle, step - 1, a->stacked);
    } else {
        print_name(a->s, lethe_plan_node(a->s, number), a->stacked);
        puts(": not taken apart");
    }
    for (size_t i = 0; i < a->plan->n_edges; i++) {
        const struct lethe_edge *e = &a->plan->edges[i];
        const bool waits = e->after == number;
        if (!waits && e->before != number)
            continue;
        fputs(waits ? "   waits for " : "   before ", stdout);
        print_node(a, waits ? e->before : e->after);
        printf(waits ? ", which %s it\n" : ", which it %s\n", lethe_why_text(e->why));
    }
}

static bool explain_stays(const struct about *a)
{
    const struct lethe_snapshot *s = a->handed->before;
    bool any = false;
    for (size_t i = 0; i < a->stays->n; i++) {
        const struct lethe_stays *l = &a->stays->list[i];
        const struct lethe_node node = {l->kind == LETHE_STAYS_DEVICE ? LETHE_NODE_DEVICE
                                        : l->kind == LETHE_STAYS_SWAP ? LETHE_NODE_SWAP
                                                                      : LETHE_NODE_MOUNT,
                                        l->kind == LETHE_STAYS_BRANCH ? s->unions[l->index].mount
                                                                      : l->index};
        if (has_name(s, node, a->name)) {
            print_stays(s, l, a->was);
            any = true;
        }
    }
    return any;
}

static bool explain_gone(const struct about *a)
{
    bool any = false;
    for (size_t i = 0; a->handed->gone && i < a->handed->n_gone; i++) {
        const struct lethe_node node = lethe_plan_node(a->handed->before, a->handed->gone[i]);
        if (has_name(a->handed->before, node, a->name)) {
            print_gone(a->handed, node, a->was);
            any = true;
        }
    }
    return any;
}

static bool explain(const struct about *a, const bool *tied, size_t n_nodes)
{
    bool any = explain_gone(a);
    for (size_t number = 0; number < n_nodes; number++) {
        const struct lethe_node node = lethe_plan_node(a->s, number);
        if ((a->steps[number] || tied[number] || node.kind == LETHE_NODE_DEVICE) &&
            has_name(a->s, node, a->name)) {
            explain_node(a, number);
            any = true;
        }
    }
    return explain_stays(a) || any;
}

/* Explains what has the name, or else the mount that a path of this name leads to. */
static int explain_any(struct about a, const bool *tied, size_t n_nodes)
{
    char path[4096], shown[300];
    snprintf(path, sizeof path, "%s", a.name);
    lethe_text_printable(shown, sizeof shown, a.name);
    bool found = explain(&a, tied, n_nodes);
    a.name = path;
    while (!found && path[0] == '/' && path[1] && strncmp(path, "/dev/", 5) != 0) {
        char *end = strrchr(path, '/');
        end[end == path] = '\0';
        found = explain(&a, tied, n_nodes);
    }
    if (!found)
        fprintf(stderr,
                "lethe plan: nothing is mounted at %s, and no device or swap has this name\n",
                shown);
    return found ? 0 : -ENODEV;
}

int lethe_plan_text_explain(const struct lethe_plan *plan, const struct lethe_handed *handed,
                            const struct lethe_stays_list *stays, const char *name)
{
    const struct lethe_snapshot *s = &handed->after;
    const size_t n = lethe_plan_count_nodes(s);
    struct about a = {.plan = plan,
                      .handed = handed,
                      .s = s,
                      .stays = stays,
                      .name = name,
                      .stacked = lethe_plan_text_stacked(s),
                      .was = lethe_plan_text_stacked(handed->before),
                      .steps = calloc(n + 1, sizeof *a.steps)};
    bool *tied = calloc(n + 1, sizeof *tied);
    int r = a.stacked && a.was && a.steps && tied ? 0 : -ENOMEM;
    for (size_t i = 0; !r && i < plan->n_steps; i++)
        a.steps[lethe_plan_step_node(s, &plan->steps[i])] = i + 1;
    for (size_t i = 0; !r && i < plan->n_edges; i++)
        tied[plan->edges[i].before] = tied[plan->edges[i].after] = true;
    if (!r)
        r = explain_any(a, tied, n);
    free(a.stacked);
    free(a.was);
    free(a.steps);
    free(tied);
    return r;
}
