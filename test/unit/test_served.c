/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lethe/plan/served.h"
#include "scene.h"

enum { DISK, LOOP, ARRAY, BLOCKS };

static const size_t on_disk[] = {DISK};

/* A home in a file on NTFS, with a tmpfs mounted in it, and other things that need no daemon. */
static const char mountinfo[] = "1 0 0:1 / / rw - tmpfs a rw\n"
                                "2 1 8:0 / /stick rw - fuseblk /dev/sda rw\n"
                                "3 1 7:5 / /home rw - ext4 /dev/loop5 rw\n"
                                "4 3 0:4 / /home/ram rw - tmpfs b rw\n"
                                "5 1 0:5 / /run rw - tmpfs c rw\n"
                                "6 1 0:6 / /proc rw - proc d rw\n";

static const struct lethe_block blocks[] = {
    [DISK] = {.devno = {8, 0},
              .name = "sda",
              .dm_name = "",
              .dm_uuid = "",
              .file = "",
              .disk = LETHE_NONE},
    [LOOP] = {.devno = {7, 5},
              .name = "loop5",
              .kind = LETHE_BLOCK_LOOP,
              .dm_name = "",
              .dm_uuid = "",
              .file = "/stick/home",
              .file_devno = {8, 0},
              .disk = LETHE_NONE},
    [ARRAY] = {.devno = {9, 126},
               .name = "md126",
               .kind = LETHE_BLOCK_MD,
               .dm_name = "",
               .dm_uuid = "",
               .file = "",
               .disk = LETHE_NONE,
               .slaves = on_disk,
               .n_slaves = 1},
};

static void only_what_is_served_and_what_goes_before(void **unused)
{
    (void)unused;
    struct scene scene;
    struct lethe_plan served;
    char text[1024] = "", line[128];
    scene_init(&scene,
               &(struct scene_input){lethe_span(mountinfo), lethe_span(""), blocks, BLOCKS, NULL});
    scene_plan(&scene, false);
    assert_int_equal(scene.r, 0);
    assert_int_equal(lethe_served_pick(&served, &scene.plan, &scene.snapshot, &scene.arena), 0);
    for (size_t i = 0; i < served.n_steps; i++) {
        lethe_step_print(line, sizeof line, &served.steps[i], &scene.snapshot);
        size_t length = strlen(text);
        snprintf(text + length, sizeof text - length, "%s\n", line);
        assert_int_equal(served.steps[i].together, 0);
    }
    assert_string_equal(text, "erase /home/ram (tmpfs)\n"
                              "unmount /home/ram (tmpfs)\n"
                              "unmount /home (ext4)\n"
                              "stop loop5 (loop)\n"
                              "unmount /stick (fuseblk)\n"
                              "stop md126 (md)\n");
    scene_finish(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_served_and_what_goes_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
