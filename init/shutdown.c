/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The clean end: the last minutes as PID 1. systemd-shutdown starts it after its pivot, or
 * systemd itself in the place of systemd-shutdown (takeover.h). The second stage of any end
 * comes here too. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "end.h"
#include "handover.h"
#include "init.h"
#include "lethe/kernel/confined.h"
#include "lethe/kernel/identity.h"
#include "lethe/kernel/log.h"
#include "lethe/kernel/power.h"
#include "lethe/kernel/self.h"
#include "lethe/kernel/sys.h"
#include "options.h"

/* systemd leaves reboot's argument in /run; the first stage reads it and hands it on, for /run will
 * be gone. */
static void read_arguments(struct lethe_end *end, int argc, char **argv)
{
    end->verb = argc > 1 ? lethe_verb_parse(argv[1]) : LETHE_VERB_NONE;
    end->started_ms = lethe_sys_now_ms();
    lethe_sys_read_line(AT_FDCWD, "/run/systemd/reboot-param", end->argument, sizeof end->argument);
    for (int i = 2; i < argc; i++)
        lethe_handover_take(end, argv[i]);
}

int lethe_shutdown_main(int argc, char **argv)
{
    static struct lethe_end end = {.policy = &lethe_policy_clean, .own_root = true};
    bool second = lethe_end_is_second_stage(argv);
    read_arguments(&end, argc, argv);
    if (!second)
        lethe_handover_read(&end);
    lethe_end_prepare_workers();
    lethe_end_keep_script(&end);
    lethe_end_prepare(&end);
    struct lethe_progress *progress = lethe_progress_new();
    if (!second && end.verb == LETHE_VERB_NONE)
        lethe_log(LETHE_LOG_ERROR, "the verb is missing or unknown: everything is erased, then the "
                                   "machine is powered off");
    if (!second && progress)
        lethe_end_leave_old_root(&end, progress);
    lethe_end_finish(&end, progress);
}

static bool take_verb(void *context, const char *word)
{
    struct lethe_end *end = context;
    end->verb = lethe_verb_parse(word);
    return end->verb != LETHE_VERB_NONE;
}

static const struct lethe_usage usage = {
    .command = "end",
    .summary = "Ends the machine clean, from the last script of a system without systemd.",
    .operand = "poweroff|reboot|halt|kexec",
    .take = take_verb,
};

/* Begins the end beside PID 1, for systems whose PID 1 execs nothing at its end: their last script
 * calls it. */
int lethe_end_main(int argc, char **argv)
{
    int status;
    static struct lethe_end end = {.policy = &lethe_policy_clean, .own_root = true};
    end.started_ms = lethe_sys_now_ms();
    if (!lethe_options_read(&usage, &end, argc, argv, &status))
        return status;
    if (end.verb == LETHE_VERB_NONE)
        return lethe_command_refuse("end", "one of poweroff, reboot, halt, kexec is wanted");
    if (geteuid())
        return lethe_command_refuse("end", "only root can do this");
    if (!lethe_identity_is_machine())
        return lethe_command_refuse("end", "a pid or user namespace of its own ends no machine");
    if (lethe_command_has_systemd())
        return lethe_command_refuse("end", "systemd is PID 1, whose own end comes to Lethe");
    lethe_self_close_all();
    lethe_confined_join();
    lethe_end_prepare_workers();
    lethe_end_keep_script(&end);
    lethe_end_prepare(&end);
    struct lethe_progress *progress = lethe_progress_new();
    lethe_end_start_deadman(&end, progress);
    if (progress)
        lethe_end_leave_old_root(&end, progress);
    lethe_end_finish(&end, progress);
}
