/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Picks the program from argv, the pid and the namespace that it counts in, nothing else. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "end.h"
#include "init.h"
#include "lethe/kernel/identity.h"

static const struct program {
    const char *name;
    int (*main)(int argc, char **argv);
    const char *summary;
} programs[] = {
    {"now", lethe_now_main, "the kill switch: end the machine at once, keys first"},
    {"end", lethe_end_main,
     "end the machine clean, from the last script of a system without systemd"},
    {"watch", lethe_watch_main, "fire the kill switch when the boot medium is pulled out"},
    {"arm", lethe_arm_main, "get ready: stand where systemd-shutdown looks for the last program"},
    {"disarm", lethe_disarm_main, "undo arm"},
    {"status", lethe_status_main, "tell whether the machine is ready, and what would be erased"},
    {"plan", lethe_plan_main, "show the steps in which the system would be taken apart"},
    {"capture", lethe_capture_main, "write what a plan is made from into a directory"},
};
enum { N_PROGRAMS = sizeof programs / sizeof *programs };

static void usage(FILE *out)
{
    fputs("usage: lethe COMMAND [OPTION...]\n\n"
          "Ends an amnesic system and leaves nothing a user wrote in RAM. See "
          "lethe(8).\n\ncommands:\n",
          out);
    for (size_t i = 0; i < N_PROGRAMS; i++)
        fprintf(out, "  %-8s %s\n", programs[i].name, programs[i].summary);
    fputs("\n  --help, --version; COMMAND --help for its options\n\n"
          "As PID 1 it is the end itself: systemd-shutdown starts it as\n"
          "/shutdown poweroff|reboot|halt|kexec|exit.\n",
          out);
}

int main(int argc, char **argv)
{
    char shown[200];
    bool ends = getpid() == 1 || lethe_end_is_second_stage(argv);
    if (ends && lethe_identity_is_machine())
        return lethe_shutdown_main(argc, argv);
    const char *word = argc > 1 ? argv[1] : "";
    const bool helps = !strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help"),
               tells = helps || !strcmp(word, "--version");
    if (tells && argc == 2) {
        if (helps)
            usage(stdout);
        else
            puts("lethe " LETHE_VERSION);
        return lethe_command_flush(helps ? "help" : "version") ? 2 : 0;
    }
    for (size_t i = 0; i < N_PROGRAMS; i++)
        if (!strcmp(word, programs[i].name))
            return programs[i].main(argc - 1, argv + 1);
    if (ends)
        fputs("lethe: PID 1 of a pid or user namespace ends no machine; nothing was done\n",
              stderr);
    else if (word[0])
        fprintf(stderr, "lethe: %s '%s'; nothing was done\n",
                tells ? "one word too many:" : "unknown command",
                lethe_text_printable(shown, sizeof shown, tells ? argv[2] : word));
    else
        fputs("lethe: a command is missing; nothing was done\n", stderr);
    usage(stderr);
    return 2;
}
