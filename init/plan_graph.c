/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plan_graph.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

/* For each node the step that it is, counted from 1; 0 for what is none. In `shown` whether
 * anything speaks of it. */
struct index {
    size_t n;
    size_t *step;
    bool *shown;
};

static int index_nodes(struct index *index, const struct lethe_plan *plan,
                       const struct lethe_snapshot *s)
{
    index->n = LETHE_SEEN_KINDS + 5 * s->n_mounts + s->n_swaps + s->n_blocks + s->n_namespaces;
    index->step = calloc(index->n, sizeof *index->step);
    index->shown = calloc(index->n, sizeof *index->shown);
    if (!index->step || !index->shown)
        return -ENOMEM;
    for (size_t i = 0; i < plan->n_edges; i++)
        index->shown[plan->edges[i].before] = index->shown[plan->edges[i].after] = true;
    for (size_t i = 0; i < plan->n_steps; i++) {
        size_t node = lethe_plan_step_node(s, &plan->steps[i]);
        index->shown[node] = true;
        index->step[node] = i + 1;
    }
    return 0;
}

static void free_index(struct index *index)
{
    free(index->step);
    free(index->shown);
}

static void print_text(const char *name, const char *text)
{
    printf(", \"%s\": ", name);
    lethe_command_print_json(text);
}

static void print_number(struct lethe_devno devno)
{
    printf(", \"number\": \"%u:%u\"", devno.major, devno.minor);
}

static void print_mount(const struct lethe_mount *m)
{
    printf(", \"id\": %u, \"parent\": %u", m->id, m->parent);
    print_text("path", m->path);
    print_text("root", m->root);
    print_text("type", m->fstype);
    print_text("source", m->source);
    print_number(m->devno);
}

static void print_device(const struct lethe_block *b)
{
    print_text("name", b->name);
    print_text("type", lethe_block_kind_name(b->kind));
    print_number(b->devno);
    if (b->dm_name[0])
        print_text("dm_name", b->dm_name);
    if (b->file[0])
        print_text("file", b->file);
}

static void print_node(const struct lethe_snapshot *s, size_t number, size_t step)
{
    const struct lethe_node node = lethe_plan_node(s, number);
    printf("    {\"node\": %zu, \"kind\": \"%s\"", number, lethe_node_kind_name(node.kind));
    if (step)
        printf(", \"step\": %zu", step);
    switch (node.kind) {
    case LETHE_NODE_MOUNT:
        print_mount(&s->mounts[node.index]);
        break;
    case LETHE_NODE_SWAP:
        print_text("path", s->swaps[node.index].path);
        print_text("type", s->swaps[node.index].is_file ? "file" : "partition");
        break;
    case LETHE_NODE_DEVICE:
        print_device(&s->blocks[node.index]);
        break;
    case LETHE_NODE_NAMESPACE:
        printf(", \"id\": %" PRIu64 ", \"process\": %" PRIu64, s->namespaces[node.index].id,
               s->namespaces[node.index].pid);
        break;
    case LETHE_NODE_SEEN:
        print_text("devices", node.index == LETHE_SEEN_ALL ? "all" : "unused");
        break;
    default:
        printf(", \"of\": %zu", node.index);
    }
    putchar('}');
}

static void print_step(const struct lethe_snapshot *s, const struct lethe_step *step, size_t number)
{
    printf("    {\"step\": %zu, \"node\": %zu, \"action\": \"%s\", \"lazy\": %s", number,
           lethe_plan_step_node(s, step), lethe_step_verb(step), step->lazy ? "true" : "false");
    print_text("reason", step->reason);
    putchar('}');
}

const char *lethe_plan_mount_stays(const struct lethe_mount *mount, bool own_root)
{
    return lethe_mount_is_own(mount, own_root) ? "Lethe's own, freed with it" : NULL;
}

static bool holds_swap(const struct lethe_snapshot *s, size_t device)
{
    for (size_t i = 0; i < s->n_swaps; i++)
        if (s->swaps[i].device == device)
            return true;
    return false;
}

const char *lethe_plan_device_stays(const struct lethe_snapshot *s, size_t device,
                                    const enum lethe_role *roles)
{
    if (s->blocks[device].kind != LETHE_BLOCK_PLAIN)
        return NULL;
    if (holds_swap(s, device))
        return "swap that is not encrypted: what was written to it stays";
    switch (roles[device]) {
    case LETHE_ROLE_MEDIUM:
        return "the medium: read, never zeroed";
    case LETHE_ROLE_PERSISTENCE:
        return "the persistence: written back, never zeroed";
    case LETHE_ROLE_NONE:
        break;
    }
    return NULL;
}

static void print_left(const struct lethe_snapshot *s, bool own_root, const enum lethe_role *roles)
{
    const char *separator = "\n";
    for (size_t i = 0; i < s->n_mounts + s->n_blocks; i++) {
        bool mount = i < s->n_mounts;
        const char *why = mount ? lethe_plan_mount_stays(&s->mounts[i], own_root)
                                : lethe_plan_device_stays(s, i - s->n_mounts, roles);
        if (!why)
            continue;
        fputs(separator, stdout);
        fputs(mount ? "    {\"path\": " : "    {\"name\": ", stdout);
        lethe_command_print_json(mount ? s->mounts[i].path : s->blocks[i - s->n_mounts].name);
        print_text("reason", why);
        putchar('}');
        separator = ",\n";
    }
}

static void print_graph(const struct lethe_plan *plan, const struct lethe_snapshot *s,
                        const struct index *index)
{
    const char *separator = "\n";
    fputs("  \"steps\": [", stdout);
    for (size_t i = 0; i < plan->n_steps; i++, separator = ",\n") {
        fputs(separator, stdout);
        print_step(s, &plan->steps[i], i + 1);
    }
    fputs("],\n  \"nodes\": [", stdout);
    separator = "\n";
    for (size_t i = 0; i < index->n; i++)
        if (index->shown[i]) {
            fputs(separator, stdout);
            print_node(s, i, index->step[i]);
            separator = ",\n";
        }
    fputs("],\n  \"edges\": [", stdout);
    separator = "\n";
    for (size_t i = 0; i < plan->n_edges; i++, separator = ",\n") {
        const struct lethe_edge *e = &plan->edges[i];
        printf("%s    {\"before\": %zu, \"after\": %zu, \"why\": \"%s\"}", separator, e->before,
               e->after, lethe_why_text(e->why));
    }
}

int lethe_plan_print_json(const struct lethe_plan *plan, const struct lethe_snapshot *s,
                          bool own_root)
{
    struct index index = {0};
    enum lethe_role *roles = calloc(s->n_blocks + 1, sizeof *roles);
    int r = roles ? index_nodes(&index, plan, s) : -ENOMEM;
    if (!r) {
        lethe_roles_find(s, roles);
        printf("{\n  \"format\": 1,\n  \"version\": \"%s\",\n  \"own_root\": %s,\n", LETHE_VERSION,
               own_root ? "true" : "false");
        print_graph(plan, s, &index);
        fputs("],\n  \"left\": [", stdout);
        print_left(s, own_root, roles);
        puts("]\n}");
    }
    free_index(&index);
    free(roles);
    return r;
}

/* Inside a dot string only the quote and the backslash mean anything: printable text has its
 * backslashes before octal digits, which are doubled here. */
static void print_label(const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        putchar(*text);
    }
}

static void print_dot_node(const struct lethe_plan *plan, const struct lethe_snapshot *s,
                           size_t number, size_t step)
{
    char text[400];
    const struct lethe_node node = lethe_plan_node(s, number);
    printf("    n%zu [label=\"", number);
    if (step) {
        printf("%zu. ", step);
        print_label(lethe_step_print(text, sizeof text, &plan->steps[step - 1], s));
        puts(plan->steps[step - 1].lazy ? "\", color=red];" : "\"];");
        return;
    }
    printf("%s ", lethe_node_kind_name(node.kind));
    print_label(lethe_node_print(text, sizeof text, node, s));
    puts("\", shape=plaintext, fontcolor=gray40];");
}

int lethe_plan_print_dot(const struct lethe_plan *plan, const struct lethe_snapshot *s)
{
    struct index index = {0};
    int r = index_nodes(&index, plan, s);
    if (!r)
        puts("digraph lethe {\n    node [shape=box];");
    for (size_t i = 0; !r && i < index.n; i++)
        if (index.shown[i])
            print_dot_node(plan, s, i, index.step[i]);
    for (size_t i = 0; !r && i < plan->n_edges; i++)
        printf("    n%zu -> n%zu [label=\"%s\"];\n", plan->edges[i].before, plan->edges[i].after,
               lethe_why_text(plan->edges[i].why));
    if (!r)
        puts("}");
    free_index(&index);
    return r;
}
