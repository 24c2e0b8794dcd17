/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plan_graph.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "plan_text.h"

/* `step` is each node's step, counted from 1, and 0 for a node that is none. `shown` says whether
 * anything speaks of it. */
struct index {
    size_t n;
    size_t *step;
    bool *shown;
};

static int index_nodes(struct index *index, const struct lethe_plan *plan,
                       const struct lethe_snapshot *s)
{
    index->n = lethe_plan_count_nodes(s);
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
    fputs(", ", stdout);
    lethe_command_print_field(name, text);
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

static void print_kind(const struct lethe_snapshot *s, struct lethe_node node)
{
    lethe_command_print_field("kind", lethe_node_kind_name(node.kind));
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
    case LETHE_NODE_HOLDERS_GONE:
        print_text("devices", node.index == LETHE_HOLDERS_OF_ALL ? "all" : "unused");
        break;
    default:
        printf(", \"of\": %zu", node.index);
    }
    putchar('}');
}

static void print_node(const struct lethe_snapshot *s, size_t number, size_t step)
{
    printf("    {\"node\": %zu, ", number);
    if (step)
        printf("\"step\": %zu, ", step);
    print_kind(s, lethe_plan_node(s, number));
}

static void print_gone(const struct lethe_handed *handed)
{
    for (size_t i = 0; handed->gone && i < handed->n_gone; i++) {
        fputs(i ? ",\n    {" : "\n    {", stdout);
        print_kind(handed->before, lethe_plan_node(handed->before, handed->gone[i]));
    }
}

static void print_step(const struct lethe_snapshot *s, const struct lethe_step *step, size_t number,
                       const struct lethe_cycle *cycle)
{
    printf("    {\"step\": %zu, \"node\": %zu, \"action\": \"%s\", \"lazy\": %s", number,
           lethe_plan_step_node(s, step), lethe_step_verb(step), step->lazy ? "true" : "false");
    print_text("reason", step->reason);
    for (size_t i = 0; cycle && i < cycle->n; i++)
        printf("%s%zu", i ? ", " : ", \"cycle\": [", cycle->nodes[i]);
    fputs(cycle ? "]}" : "}", stdout);
}

static void print_one_left(const struct lethe_snapshot *s, const struct lethe_stays *l)
{
    const struct lethe_union *u = &s->unions[l->index];
    switch (l->kind) {
    case LETHE_STAYS_MOUNT:
        lethe_command_print_field("path", s->mounts[l->index].path);
        break;
    case LETHE_STAYS_DEVICE:
        lethe_command_print_field("name", s->blocks[l->index].name);
        break;
    case LETHE_STAYS_SWAP:
        lethe_command_print_field("swap", s->swaps[l->index].path);
        break;
    case LETHE_STAYS_BRANCH:
        lethe_command_print_field("branch", u->branches[l->branch].path);
        print_text("union", s->mounts[u->mount].path);
        break;
    }
    print_text("reason", l->reason);
}

static void print_left(const struct lethe_snapshot *s, const struct lethe_stays_list *left)
{
    for (size_t i = 0; i < left->n; i++) {
        fputs(i ? ",\n    {" : "\n    {", stdout);
        print_one_left(s, &left->list[i]);
        putchar('}');
    }
}

static void print_graph(const struct lethe_plan *plan, const struct lethe_snapshot *s,
                        const struct index *index)
{
    const char *separator = "\n";
    const struct lethe_cycle *cycle = plan->cycles;
    fputs("  \"steps\": [", stdout);
    for (size_t i = 0; i < plan->n_steps; i++, separator = ",\n") {
        fputs(separator, stdout);
        const bool has = cycle && cycle->step == i;
        print_step(s, &plan->steps[i], i + 1, has ? cycle : NULL);
        cycle = has ? cycle->next : cycle;
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

static void print_unseen(const struct lethe_snapshot *s)
{
    bool any = false;
    for (unsigned bit = 1; bit <= LETHE_UNSEEN_ALL; bit <<= 1)
        if (s->unseen & bit) {
            fputs(any ? ", " : "", stdout);
            lethe_command_print_json(lethe_stays_unseen_text((enum lethe_unseen)bit));
            any = true;
        }
}

int lethe_plan_graph_json(const struct lethe_plan *plan, const struct lethe_handed *handed,
                          const struct lethe_stays_list *left, bool own_root)
{
    const struct lethe_snapshot *s = &handed->after;
    static const char *const origins[] = {"seen", "gone", "guessed", "lost"};
    struct index index = {0};
    int r = index_nodes(&index, plan, s);
    if (!r) {
        printf("{\n  \"format\": 1,\n  \"version\": \"%s\",\n  \"own_root\": %s,\n"
               "  \"medium\": \"%s\",\n",
               LETHE_VERSION, own_root ? "true" : "false", origins[left->origin]);
        fputs(handed->gone ? "  \"handed_over\": [" : "  \"handed_over\": null", stdout);
        print_gone(handed);
        puts(handed->gone ? "]," : ",");
        print_graph(plan, s, &index);
        fputs("],\n  \"left\": [", stdout);
        print_left(handed->before, left);
        fputs("],\n  \"unseen\": [", stdout);
        print_unseen(s);
        puts("]\n}");
    }
    free_index(&index);
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
                           size_t number, size_t step, const bool *stacked)
{
    char text[400];
    const struct lethe_node node = lethe_plan_node(s, number);
    const bool of_mount = node.kind == LETHE_NODE_MOUNT || node.kind == LETHE_NODE_ERASURE;
    printf("    n%zu [label=\"", number);
    if (step)
        printf("%zu. %s ", step, lethe_step_verb(&plan->steps[step - 1]));
    else
        printf("%s ", lethe_node_kind_name(node.kind));
    print_label(lethe_node_print(text, sizeof text, node, s));
    if (of_mount && stacked[node.index])
        printf(" [mount %u]", s->mounts[node.index].id);
    puts(!step                        ? "\", shape=plaintext, fontcolor=gray40];"
         : plan->steps[step - 1].lazy ? "\", color=red];"
                                      : "\"];");
}

/* Hides devices that are no steps and that something may hold, unseen: they are in nobody's way.
 * Unused loops are many. */
static void hide_unused(struct index *index, const struct lethe_plan *plan,
                        const struct lethe_snapshot *s)
{
    for (size_t i = 0; i < index->n; i++)
        if (lethe_plan_node(s, i).kind == LETHE_NODE_DEVICE && !index->step[i])
            index->shown[i] = false;
    for (size_t i = 0; i < plan->n_edges; i++)
        if (plan->edges[i].why != LETHE_WHY_MAY_HOLD)
            index->shown[plan->edges[i].before] = index->shown[plan->edges[i].after] = true;
}

static void print_legend(void)
{
    puts("    subgraph cluster_legend {\n        label=\"what is above goes first\";\n"
         "        legend1 [label=\"3. a step, with its number\"];\n"
         "        legend2 [label=\"a step that breaks a cycle\", color=red];\n"
         "        legend3 [label=\"no step: a moment, or a disk\", shape=plaintext, "
         "fontcolor=gray40];\n"
         "        legend1 -> legend2 [label=\"why the upper goes first\"];\n"
         "        legend2 -> legend3 [style=invis];\n    }");
}

int lethe_plan_graph_dot(const struct lethe_plan *plan, const struct lethe_snapshot *s)
{
    struct index index = {0};
    bool *stacked = lethe_plan_text_stacked(s);
    int r = stacked ? index_nodes(&index, plan, s) : -ENOMEM;
    if (!r) {
        hide_unused(&index, plan, s);
        puts("digraph lethe {\n    node [shape=box];");
        print_legend();
    }
    for (size_t i = 0; !r && i < index.n; i++)
        if (index.shown[i])
            print_dot_node(plan, s, i, index.step[i], stacked);
    for (size_t i = 0; !r && i < plan->n_edges; i++)
        if (index.shown[plan->edges[i].before] && index.shown[plan->edges[i].after])
            printf("    n%zu -> n%zu [label=\"%s\"];\n", plan->edges[i].before,
                   plan->edges[i].after, lethe_why_text(plan->edges[i].why));
    if (!r)
        puts("}");
    free(stacked);
    free_index(&index);
    return r;
}
