/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/stacks.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

/* All of them live at once, so that each takes another stack. */
static void overwrite_here(void *all_good)
{
    enum { KEPT = 2 };
    pid_t children[KEPT];
    for (int i = 0; i < KEPT; i++) {
        children[i] = fork();
        if (!children[i]) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (;;)
                pause();
        }
        *(bool *)all_good &= children[i] > 0;
    }
    for (int i = 0; i < KEPT; i++)
        if (children[i] > 0) {
            lethe_sys->kill(children[i], SIGKILL);
            waitpid(children[i], NULL, 0);
        }
}

bool lethe_stacks_overwrite(void)
{
    bool all_good = true;
    lethe_sys_on_each_processor(overwrite_here, &all_good);
    return all_good;
}
