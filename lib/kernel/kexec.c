/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/kexec.h"

#include <fcntl.h>
#include <string.h>

#include "lethe/kernel/log.h"
#include "lethe/kernel/sys.h"

static bool is_loaded(const char *file)
{
    char loaded[8];
    return lethe_sys_read_line(AT_FDCWD, file, loaded, sizeof loaded) && !strcmp(loaded, "1");
}

bool lethe_kexec_is_loaded(void)
{
    return is_loaded("/sys/kernel/kexec_loaded");
}

void lethe_kexec_unload_crash(void)
{
    lethe_sys->kexec_unload(true);
}

static unsigned unload(bool crash, const char *file, const char *what)
{
    lethe_sys->kexec_unload(crash);
    if (!is_loaded(file))
        return 0;
    lethe_log(LETHE_LOG_ERROR, "left: %s, which could not be unloaded", what);
    return 1;
}

unsigned lethe_kexec_unload(bool boots_next)
{
    unsigned left = unload(true, "/sys/kernel/kexec_crash_loaded", "a crash kernel");
    if (!boots_next)
        left += unload(false, "/sys/kernel/kexec_loaded", "a kernel loaded for kexec");
    return left;
}
