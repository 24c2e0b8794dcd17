/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/page_cache.h"

#include <sys/wait.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

static const char drop_caches[] = "/proc/sys/vm/drop_caches", page_cache[] = "1";

void lethe_page_cache_drop(void)
{
    enum { OTHERS_MAX = 15 };
    pid_t others[OTHERS_MAX];
    int n = 0;
    for (long processors = sysconf(_SC_NPROCESSORS_ONLN); n < OTHERS_MAX && n + 1 < processors;
         n++) {
        others[n] = fork();
        if (!others[n])
            _exit(lethe_sys->write_file(drop_caches, page_cache) != 0);
        if (others[n] < 0)
            break;
    }
    lethe_sys->write_file(drop_caches, page_cache);
    while (n--)
        waitpid(others[n], NULL, 0);
}
