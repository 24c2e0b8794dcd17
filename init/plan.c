/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shows the plan, of the running system or of a captured tree, and changes nothing. */
#include "lethe/plan.h"

#include <stdio.h>
#include <string.h>

#include "command.h"
#include "lethe/init.h"

int lethe_plan_main(int argc, char **argv)
{
    const char *tree = NULL;
    struct lethe_snapshot snapshot;
    struct lethe_arena arena;
    struct lethe_plan plan;
    struct lethe_plan_options options = {.own_root = false};
    char text[4200];
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--root") && i + 1 < argc)
            tree = argv[++i];
        else if (!strcmp(argv[i], "--own-root"))
            options.own_root = true;
        else
            return lethe_command_bad_option("plan", argv[i]);
    }
    if (lethe_command_snapshot("plan", tree, &snapshot, &arena))
        return 2;
    int r = lethe_plan_make(&plan, &snapshot, &options, &arena);
    if (r)
        return lethe_command_refuse("plan", strerror(-r));
    for (size_t i = 0; i < plan.n_steps; i++)
        printf("%s: %s\n", lethe_step_print(text, sizeof text, &plan.steps[i], &snapshot),
               plan.steps[i].reason);
    return 0;
}
