/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shows the plan of the running system or of a captured tree, and changes nothing. */
#include "lethe/plan/plan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "command.h"
#include "init.h"
#include "options.h"
#include "plan_graph.h"
#include "plan_text.h"

enum form { FORM_PEOPLE, FORM_JSON, FORM_DOT, FORM_EXPLANATION };

enum at { AT_DEFAULT, AT_NOW, AT_END };

struct request {
    const char *tree, *about;
    enum form form;
    enum at at;
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

static bool take_at(void *request, const char *value)
{
    enum at *at = &((struct request *)request)->at;
    *at = !strcmp(value, "now") ? AT_NOW : !strcmp(value, "end") ? AT_END : AT_DEFAULT;
    return *at != AT_DEFAULT;
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
    {"--at", "now|end", "as it is, or as systemd hands it over at the end", take_at, false},
    {"--own-root", NULL, "its root is Lethe's own, as after the hand-over", take_own_root, false},
};

static const struct lethe_usage usage = {
    .command = "plan",
    .summary = "Shows the steps in which the system would be taken apart. Changes nothing.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
};

/* A path of /dev goes by its device's number: there are links to devices there. */
static const char *name_of(const struct request *request, char *number, size_t size)
{
    struct stat st;
    if (request->tree || strncmp(request->about, "/dev/", 5) != 0 || stat(request->about, &st) ||
        !S_ISBLK(st.st_mode))
        return request->about;
    snprintf(number, size, "%u:%u", major(st.st_rdev), minor(st.st_rdev));
    return number;
}

static int print(const struct lethe_plan *plan, const struct lethe_handed *handed,
                 const struct lethe_stays_list *stays, const struct request *request)
{
    char number[32];
    switch (request->form) {
    case FORM_JSON:
        return lethe_plan_graph_json(plan, handed, stays, request->options.own_root);
    case FORM_DOT:
        return lethe_plan_graph_dot(plan, &handed->after);
    case FORM_EXPLANATION:
        return lethe_plan_text_explain(plan, handed, stays,
                                       name_of(request, number, sizeof number));
    case FORM_PEOPLE:
        break;
    }
    return lethe_plan_text_print(plan, handed, stays);
}

/* The plan of a running system is that of its end, which systemd begins where it is PID 1. */
static bool is_of_end(const struct request *request)
{
    if (request->options.own_root || request->at == AT_NOW)
        return false;
    return request->at == AT_END || (!request->tree && lethe_command_has_systemd());
}

int lethe_plan_main(int argc, char **argv)
{
    struct lethe_snapshot snapshot;
    struct lethe_arena arena;
    struct lethe_plan plan;
    struct lethe_stays_list stays;
    struct request request = {0};
    struct lethe_handed handed = {.before = &snapshot};
    int r;
    if (!lethe_options_read(&usage, &request, argc, argv, &r))
        return r;
    if (lethe_command_whole_snapshot("plan", request.tree, &snapshot, &arena))
        return 2;
    handed.after = snapshot;
    r = is_of_end(&request) ? lethe_handed_over(&handed, &snapshot, &arena) : 0;
    if (!r)
        r = lethe_plan_make(&plan, &handed.after, &request.options, &arena);
    if (!r)
        r = lethe_stays_find(&stays, &snapshot, request.options.own_root, &arena);
    if (!r)
        r = print(&plan, &handed, &stays, &request);
    if (r == -ENODEV)
        return 1;
    if (r)
        return lethe_command_refuse("plan", strerror(-r));
    return lethe_command_flush("plan") ? 2 : 0;
}
