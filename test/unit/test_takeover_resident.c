/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whether what PID 1 has mapped is in memory (takeover.h), by a /proc of files. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "jail.h"
#include "lethe/kernel/sys.h"
#include "lethe/kernel/takeover.h"

enum { PLACES = 6 };

static const struct lethe_sys *kernel;

/* What the jail shows the test. */
struct seen {
    bool of_nothing, of_no_file, resident[PLACES];
};

static struct seen *seen;

static const size_t NONE = SIZE_MAX, NO_ANSWER = SIZE_MAX - 1;
static size_t missing = SIZE_MAX; /* the page, of all asked about, that is not in memory */
static size_t asked;

static int mincore_but_one(void *at, size_t size, unsigned char *pages)
{
    const size_t page = kernel->page_size();
    (void)at;
    if (missing == NO_ANSWER)
        return -ENOMEM;
    for (size_t i = 0; i * page < size; i++)
        pages[i] = asked++ != missing;
    return 0;
}

static void put_mapped(size_t first, size_t pages, int inode)
{
    const size_t page = kernel->page_size();
    char name[64], path[128], line[256];
    snprintf(name, sizeof name, "%zx-%zx", first * page, (first + pages) * page);
    snprintf(path, sizeof path, "/proc/1/map_files/%s", name);
    jail_put(path, "mapped");
    snprintf(line, sizeof line, "%s r-xp 00000000 08:01 %d /x\n", name, inode);
    FILE *maps = fopen("/proc/1/maps", "ae");
    if (!maps || fputs(line, maps) < 0 || fclose(maps))
        _exit(1);
}

static void ask_resident(const void *unused)
{
    const size_t places[PLACES] = {NONE, 0, 299, 300, 302, NO_ANSWER};
    struct lethe_sys table = *kernel;
    (void)unused;
    table.mincore = mincore_but_one;
    lethe_sys = &table;
    seen->of_nothing = lethe_takeover_is_resident();
    jail_put("/proc/1/maps", "");
    put_mapped(50, 4, 0);
    seen->of_no_file = lethe_takeover_is_resident();
    put_mapped(100, 300, 11); /* more than are asked about at once */
    put_mapped(500, 3, 12);
    for (size_t i = 0; i < PLACES; i++) {
        missing = places[i];
        asked = 0;
        seen->resident[i] = lethe_takeover_is_resident();
    }
}

static void one_missing_page_of_any_file_is_seen(void **unused)
{
    (void)unused;
    jail_run(ask_resident, NULL);
    assert_true(seen->resident[0]);
    for (int i = 1; i < PLACES; i++)
        assert_false(seen->resident[i]);
    assert_false(seen->of_nothing);
    assert_false(seen->of_no_file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_missing_page_of_any_file_is_seen),
    };
    kernel = lethe_sys;
    seen = jail_share(sizeof *seen);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
