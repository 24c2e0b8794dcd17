/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A disk of this machine, in mounts of the test's own. */
#include <dirent.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lethe/kernel/watched.h"

enum { PASSED, SKIPPED, MISSED_FIRST, GONE_COVERED, GONE_UNMOUNTED, FOUND_ELSEWHERE };

static bool find_any_disk(struct lethe_watched *disk)
{
    bool found = false;
    DIR *disks = opendir("/sys/block");
    for (struct dirent *entry; disks && !found && (entry = readdir(disks));)
        found = entry->d_name[0] != '.' && !lethe_watched_disk(disk, entry->d_name);
    if (disks)
        closedir(disks);
    return found;
}

static int look_on(void)
{
    struct lethe_watched disk, other = {.is_block = true, .devno = {4095, 4095}};
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        lethe_watched_open() || !find_any_disk(&disk))
        return SKIPPED;
    if (!lethe_watched_look(&disk, false))
        return MISSED_FIRST;
    if (mount("x", "/sys", "tmpfs", 0, NULL))
        return SKIPPED;
    if (!lethe_watched_look(&disk, false))
        return GONE_COVERED;
    for (int covers = 0; covers < 2; covers++) /* the cover, then sysfs itself */
        if (umount2("/sys", MNT_DETACH))
            return SKIPPED;
    if (!lethe_watched_look(&disk, false))
        return GONE_UNMOUNTED;
    return lethe_watched_look(&other, false) ? FOUND_ELSEWHERE : PASSED;
}

static void a_covered_sys_is_no_removal(void **unused)
{
    (void)unused;
    int status;
    pid_t child = fork();
    if (!child)
        _exit(look_on());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == SKIPPED)
        skip();
    assert_int_equal(WEXITSTATUS(status), PASSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_covered_sys_is_no_removal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
