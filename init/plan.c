/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shows the plan, of the running system or of a captured tree, and changes nothing. */
#include "lethe/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
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

static void print_left(const char *what, const char *why)
{
    if (why)
        printf("left: %s: %s\n", what, why);
}

static int print_for_people(const struct lethe_plan *plan, const struct lethe_snapshot *s,
                            bool own_root)
{
    char text[4 * 4096 + 100];
    enum lethe_role *roles = calloc(s->n_blocks + 1, sizeof *roles);
    if (!roles)
        return -ENOMEM;
    for (size_t i = 0; i < s->n_namespaces; i++)
        printf(
            "end %s: a mount namespace goes with its processes, all of which are ended first\n",
            lethe_node_print(text, sizeof text, (struct lethe_node){LETHE_NODE_NAMESPACE, i}, s));
    for (size_t i = 0; i < plan->n_steps; i++)
        printf("%s: %s\n", lethe_step_print(text, sizeof text, &plan->steps[i], s),
               plan->steps[i].reason);
    lethe_roles_find(s, roles);
    for (size_t i = 0; i < s->n_mounts; i++)
        print_left(lethe_node_print(text, sizeof text, (struct lethe_node){LETHE_NODE_MOUNT, i}, s),
                   lethe_plan_mount_stays(&s->mounts[i], own_root));
    for (size_t i = 0; i < s->n_blocks; i++)
        print_left(
            lethe_node_print(text, sizeof text, (struct lethe_node){LETHE_NODE_DEVICE, i}, s),
            lethe_plan_device_stays(s, i, roles));
    free(roles);
    return 0;
}

static int print(const struct lethe_plan *plan, const struct lethe_snapshot *snapshot,
                 const struct request *request)
{
    switch (request->form) {
    case FORM_JSON:
        return lethe_plan_print_json(plan, snapshot, request->options.own_root);
    case FORM_DOT:
        return lethe_plan_print_dot(plan, snapshot);
    case FORM_PEOPLE:
        break;
    }
    return print_for_people(plan, snapshot, request->options.own_root);
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
    struct request request = {0};
    int bad = read_request(&request, argc, argv);
    if (bad)
        return lethe_command_bad_option("plan", argv[bad]);
    if (lethe_command_whole_snapshot("plan", request.tree, &snapshot, &arena))
        return 2;
    int r = lethe_plan_make(&plan, &snapshot, &request.options, &arena);
    if (!r)
        r = print(&plan, &snapshot, &request);
    if (!r && (fflush(stdout) || ferror(stdout)))
        r = errno ? -errno : -EIO;
    return r ? lethe_command_refuse("plan", strerror(-r)) : 0;
}
