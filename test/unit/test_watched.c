/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A disk of this machine, in mounts of the test's own. */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lethe/kernel/sysfs.h"
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
    struct lethe_watched disk, other = {.kind = LETHE_WATCHED_DISK, .devno = {4095, 4095}};
    lethe_sysfs_look_in(-1);
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        lethe_sysfs_open() || !find_any_disk(&disk))
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

/* -- a sysfs of files -------------------------------------------------------------------------- */

static char top[] = "/tmp/lethe-watched-XXXXXX";

static void put(const char *folder, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", top, folder);
    for (char *at = path + strlen(top) + 1; (at = strchr(at, '/')); *at++ = '/') {
        *at = '\0';
        mkdir(path, 0700);
    }
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/%s/%s", top, folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fprintf(file, "%s\n", text) > 0);
    assert_int_equal(fclose(file), 0);
}

static void plug(const char *port, const char *product, const char *serial)
{
    char folder[64];
    snprintf(folder, sizeof folder, "bus/usb/devices/%s", port);
    put(folder, "idVendor", "46f4");
    put(folder, "idProduct", product);
    if (serial)
        put(folder, "serial", serial);
}

static void unplug(const char *port)
{
    char path[256];
    snprintf(path, sizeof path, "%s/bus/usb/devices/%s", top, port);
    char moved[300];
    snprintf(moved, sizeof moved, "%s/%s.gone", top, port);
    assert_int_equal(rename(path, moved), 0);
}

static int make_top(void **unused)
{
    (void)unused;
    int fd = mkdtemp(top) ? open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    lethe_sysfs_look_in(fd);
    return fd < 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static int remove_top(void **unused)
{
    (void)unused;
    lethe_sysfs_look_in(-1);
    return nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void what_comes_or_goes_changes_the_set(void **unused)
{
    (void)unused;
    const char *const may_go[] = {"usb:46F4:0003"}, *const wrong[] = {"usb:46f4"};
    struct lethe_watched set;
    plug("1-1", "0001", "stick");
    plug("1-2", "0002", NULL);
    put("bus/usb/devices/1-2:1.0", "bInterfaceNumber", "00");
    assert_int_equal(lethe_watched_freeze(&set, wrong, 1), -22);
    assert_int_equal(lethe_watched_freeze(&set, may_go, 1), 0);
    assert_true(set.is_there && lethe_watched_look(&set, false));
    plug("1-3", "0003", "mine");
    assert_true(lethe_watched_look(&set, false));
    plug("1-4", "0001", "stick");
    assert_false(lethe_watched_look(&set, false));
    unplug("1-4");
    assert_true(lethe_watched_find(&set));
    unplug("1-1");
    assert_false(lethe_watched_look(&set, false));
    plug("2-1", "0001", "other");
    assert_false(lethe_watched_find(&set));
    plug("2-1", "0001", "stick");
    assert_true(lethe_watched_find(&set));
}

static void mains_is_no_battery_and_no_mouse(void **unused)
{
    (void)unused;
    struct lethe_watched mains;
    lethe_watched_mains(&mains);
    assert_false(mains.is_there);
    put("class/power_supply/BAT0", "type", "Battery");
    put("class/power_supply/BAT0", "online", "1");
    put("class/power_supply/mouse", "type", "USB");
    put("class/power_supply/mouse", "scope", "Device");
    put("class/power_supply/mouse", "online", "1");
    put("class/power_supply/AC", "type", "Mains");
    put("class/power_supply/AC", "online", "0");
    assert_false(lethe_watched_look(&mains, false));
    put("class/power_supply/AC", "online", "1");
    assert_true(lethe_watched_find(&mains));
    put("class/power_supply/AC", "online", "0");
    assert_false(lethe_watched_look(&mains, false));
    put("class/power_supply/ucsi", "type", "USB");
    put("class/power_supply/ucsi", "online", "1");
    assert_true(lethe_watched_find(&mains));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_covered_sys_is_no_removal),
        cmocka_unit_test(what_comes_or_goes_changes_the_set),
        cmocka_unit_test(mains_is_no_battery_and_no_mouse),
    };
    return cmocka_run_group_tests(tests, make_top, remove_top);
}
