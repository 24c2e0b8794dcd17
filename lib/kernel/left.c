/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/left.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include "lethe/log.h"
#include "lethe/meminfo.h"
#include "lethe/sys.h"

static void add_holders(char *text, size_t size, const struct lethe_block *block)
{
    char path[300];
    snprintf(path, sizeof path, "/sys/class/block/%.255s/holders", block->name);
    DIR *dir = opendir(path);
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.') {
            size_t n = strlen(text);
            snprintf(text + n, size - n, ", held by %.32s", entry->d_name);
        }
    closedir(dir);
}

/* A loop that can't be written to is a part of the medium: what it shows is nobody's secret. */
static bool is_medium(const struct lethe_block *block)
{
    char text[8];
    return block->kind == LETHE_BLOCK_LOOP &&
           lethe_read_block(block->name, "ro", text, sizeof text) && !strcmp(text, "1");
}

unsigned lethe_left_report(const struct lethe_plan *plan, const struct lethe_snapshot *snapshot,
                           bool init_stays)
{
    enum { LINES_MAX = 20 };
    unsigned left = 0;
    char what[120], text[300];
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct lethe_step *step = &plan->steps[i];
        if (step->kind == LETHE_STEP_ERASE || step->kind == LETHE_STEP_ERASE_DEVICE)
            continue;
        if (init_stays && step->kind == LETHE_STEP_STOP &&
            is_medium(&snapshot->blocks[step->index]))
            continue;
        snprintf(text, sizeof text, "left: could not %s",
                 lethe_step_print(what, sizeof what, step, snapshot));
        if (step->kind == LETHE_STEP_STOP)
            add_holders(text, sizeof text, &snapshot->blocks[step->index]);
        if (left++ < LINES_MAX)
            lethe_log(LETHE_LOG_ERROR, "%s", text);
    }
    if (left > LINES_MAX)
        lethe_log(LETHE_LOG_ERROR, "left: %u more", left - LINES_MAX);
    return left;
}

/* KiB of tmpfs pages beyond Lethe's own root, which somebody must be holding. */
static uint64_t held_shmem_kib(void)
{
    enum { OWN_KIB_MAX = 2048 };
    char text[4096];
    ssize_t n = lethe_read_file(AT_FDCWD, "/proc/meminfo", text, sizeof text);
    uint64_t kib = lethe_meminfo((struct lethe_span){text, n > 0 ? (size_t)n : 0}, "Shmem");
    return kib > OWN_KIB_MAX ? kib : 0;
}

unsigned lethe_left_report_shmem(void)
{
    uint64_t held = held_shmem_kib();
    if (held)
        lethe_log(LETHE_LOG_ERROR,
                  "left: %llu KiB of shared memory are held by something that no mount shows",
                  (unsigned long long)held);
    return held != 0;
}
