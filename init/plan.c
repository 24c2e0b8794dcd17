/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shows the plan, of the running system or of a captured tree, and changes nothing. */
#include "lethe/plan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "lethe/init.h"
#include "plan_graph.h"

enum form { FORM_PEOPLE, FORM_JSON, FORM_DOT };

struct request {
    const char *tree;
    enum form form;
    struct lethe_plan_options options;
};

/* What one thing that is left is called. */
static const char *print_left(char *out, size_t size, const struct lethe_snapshot *s,
                              const struct lethe_stays *l)
{
    static const enum lethe_node_kind kinds[] = {[LETHE_STAYS_MOUNT] = LETHE_NODE_MOUNT,
                                                 [LETHE_STAYS_DEVICE] = LETHE_NODE_DEVICE,
                                                 [LETHE_STAYS_SWAP] = LETHE_NODE_SWAP};
    if (l->kind != LETHE_STAYS_BRANCH)
        return lethe_node_print(out, size, (struct lethe_node){kinds[l->kind], l->index}, s);
    const struct lethe_union *u = &s->unions[l->index];
    lethe_printable(out, size / 2, u->branches[l->branch].path);
    size_t n = strlen(out);
    n += (size_t)snprintf(out + n, size - n, ", a writable branch of ");
    lethe_node_print(out + n, size - n, (struct lethe_node){LETHE_NODE_MOUNT, u->mount}, s);
    return out;
}

/* The others that stand in a circle with a step, if it is the next that has one.
 * Returns those that are left for later steps. */
static const struct lethe_cycle *print_cycle(const struct lethe_snapshot *s,
                                             const struct lethe_cycle *cycle, size_t step)
{
    char text[300];
    const bool has = cycle && cycle->step == step;
    for (size_t i = 0; has && i < cycle->n; i++)
        printf("%s%s", i ? ", " : " (in a circle with ",
               lethe_node_print(text, sizeof text, lethe_plan_node(s, cycle->nodes[i]), s));
    fputs(has ? ")\n" : "\n", stdout);
    return has ? cycle->next : cycle;
}

static void print_for_people(const struct lethe_plan *plan, const struct lethe_snapshot *s,
                             const struct lethe_stays_list *left)
{
    char text[8 * 4096 + 100];
    const struct lethe_cycle *cycle = plan->cycles;
    for (size_t i = 0; i < s->n_namespaces; i++)
        printf(
            "end %s: a mount namespace goes with its processes, all of which are ended first\n",
            lethe_node_print(text, sizeof text, (struct lethe_node){LETHE_NODE_NAMESPACE, i}, s));
    for (size_t i = 0; i < plan->n_steps; i++) {
        printf("%s: %s", lethe_step_print(text, sizeof text, &plan->steps[i], s),
               plan->steps[i].reason);
        cycle = print_cycle(s, cycle, i);
    }
    for (size_t i = 0; i < left->n; i++)
        printf("left: %s: %s\n", print_left(text, sizeof text, s, &left->list[i]),
               left->list[i].reason);
    if (lethe_origin_text(left->origin))
        printf("not seen: %s\n", lethe_origin_text(left->origin));
}

static int print(const struct lethe_plan *plan, const struct lethe_snapshot *snapshot,
                 const struct lethe_stays_list *left, const struct request *request)
{
    switch (request->form) {
    case FORM_JSON:
        return lethe_plan_print_json(plan, snapshot, left, request->options.own_root);
    case FORM_DOT:
        return lethe_plan_print_dot(plan, snapshot);
    case FORM_PEOPLE:
        break;
    }
    print_for_people(plan, snapshot, left);
    return 0;
}

/* The index of the argument that can't be used, or 0. */
static int read_request(struct request *request, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--root") && i + 1 < argc)
            request->tree = argv[++i];
        else if (!strcmp(argv[i], "--own-root"))
            request->options.own_root = true;
        else if (!strcmp(argv[i], "--json") && request->form == FORM_PEOPLE)
            request->form = FORM_JSON;
        else if (!strcmp(argv[i], "--dot") && request->form == FORM_PEOPLE)
            request->form = FORM_DOT;
        else
            return i;
    }
    return 0;
}

int lethe_plan_main(int argc, char **argv)
{
    struct lethe_snapshot snapshot;
    struct lethe_arena arena;
    struct lethe_plan plan;
    struct lethe_stays_list left;
    struct request request = {0};
    int bad = read_request(&request, argc, argv);
    if (bad)
        return lethe_command_bad_option("plan", argv[bad]);
    if (lethe_command_whole_snapshot("plan", request.tree, &snapshot, &arena))
        return 2;
    int r = lethe_plan_make(&plan, &snapshot, &request.options, &arena);
    if (!r)
        r = lethe_stays_find(&left, &snapshot, request.options.own_root, &arena);
    if (!r)
        r = print(&plan, &snapshot, &left, &request);
    if (!r && (fflush(stdout) || ferror(stdout)))
        r = errno ? -errno : -EIO;
    return r ? lethe_command_refuse("plan", strerror(-r)) : 0;
}
