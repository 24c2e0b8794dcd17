/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shows the plan of the running system or of a captured tree, and changes nothing. */
#include "lethe/plan/plan.h"

#include <errno.h>
#include <string.h>

#include "command.h"
#include "init.h"
#include "options.h"
#include "plan_graph.h"
#include "plan_text.h"

enum form { FORM_PEOPLE, FORM_JSON, FORM_DOT, FORM_EXPLANATION };

struct request {
    const char *tree, *about;
    enum form form;
    struct lethe_plan_options options;
};

static bool take_form(struct request *request, enum form form)
{
    const bool first = request->form == FORM_PEOPLE;
    request->form = form;
    return first;
}

static bool take_json(void *request, const char *unused)
{
    (void)unused;
    return take_form(request, FORM_JSON);
}

static bool take_dot(void *request, const char *unused)
{
    (void)unused;
    return take_form(request, FORM_DOT);
}

static bool take_about(void *context, const char *value)
{
    struct request *request = context;
    request->about = value;
    return take_form(request, FORM_EXPLANATION);
}

static bool take_root(void *request, const char *value)
{
    ((struct request *)request)->tree = value;
    return true;
}

static bool take_own_root(void *request, const char *unused)
{
    (void)unused;
    return ((struct request *)request)->options.own_root = true;
}

static const struct lethe_option options[] = {
    {"--json", NULL, "for programs, with the whole graph", take_json, false},
    {"--dot", NULL, "a picture, for dot(1)", take_dot, false},
    {"--explain", "PATH|DEVICE", "what happens to this, and what waits for what", take_about,
     false},
    {"--root", "DIRECTORY", "plan from a captured tree", take_root, false},
    {"--own-root", NULL, "its root is Lethe's own, as after the hand-over", take_own_root, false},
};

static const struct lethe_usage usage = {
    .command = "plan",
    .summary = "Shows the steps in which the system would be taken apart. Changes nothing.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
};

static int print(const struct lethe_plan *plan, const struct lethe_snapshot *snapshot,
                 const struct lethe_stays_list *stays, const struct request *request)
{
    switch (request->form) {
    case FORM_JSON:
        return lethe_plan_graph_json(plan, snapshot, stays, request->options.own_root);
    case FORM_DOT:
        return lethe_plan_graph_dot(plan, snapshot);
    case FORM_EXPLANATION:
        return lethe_plan_text_explain(plan, snapshot, stays, request->about);
    case FORM_PEOPLE:
        break;
    }
    return lethe_plan_text_print(plan, snapshot, stays);
}

int lethe_plan_main(int argc, char **argv)
{
    struct lethe_snapshot snapshot;
    struct lethe_arena arena;
    struct lethe_plan plan;
    struct lethe_stays_list stays;
    struct request request = {0};
    int r;
    if (!lethe_options_read(&usage, &request, argc, argv, &r))
        return r;
    if (lethe_command_whole_snapshot("plan", request.tree, &snapshot, &arena))
        return 2;
    r = lethe_plan_make(&plan, &snapshot, &request.options, &arena);
    if (!r)
        r = lethe_stays_find(&stays, &snapshot, request.options.own_root, &arena);
    if (!r)
        r = print(&plan, &snapshot, &stays, &request);
    if (r == -ENODEV)
        return 1;
    if (r)
        return lethe_command_refuse("plan", strerror(-r));
    return lethe_command_flush("plan") ? 2 : 0;
}
