/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lethe/roles.h"
#include "scene.h"

enum { MEDIUM_DISK, MEDIUM_PART, SQUASH, STORE_DISK, CRYPT, OTHER, N_BLOCKS };

/* A live system from a stick, its persistence on LUKS on another disk, and a disk nobody uses. */
static void tells_medium_from_persistence(void **unused)
{
    (void)unused;
    static const size_t on_store[] = {STORE_DISK};
    const struct lethe_block blocks[] = {
        {{8, 0}, "sda", LETHE_BLOCK_PLAIN, "", "", "", {0, 0}, LETHE_NONE, NULL, 0},
        {{8, 1}, "sda1", LETHE_BLOCK_PLAIN, "", "", "", {0, 0}, MEDIUM_DISK, NULL, 0},
        {{7, 0}, "loop0", LETHE_BLOCK_LOOP, "", "", "/m/fs", {8, 1}, LETHE_NONE, NULL, 0},
        {{8, 16}, "sdb", LETHE_BLOCK_PLAIN, "", "", "", {0, 0}, LETHE_NONE, NULL, 0},
        {{254, 0}, "dm-0", LETHE_BLOCK_CRYPT, "p", "", "", {0, 0}, LETHE_NONE, on_store, 1},
        {{8, 32}, "sdc", LETHE_BLOCK_PLAIN, "", "", "", {0, 0}, LETHE_NONE, NULL, 0},
    };
    enum lethe_role roles[N_BLOCKS];
    struct scene scene;
    scene_init(
        &scene,
        &(struct scene_input){
            .mountinfo = lethe_span(
                "1 0 0:9 / / rw - overlay o rw,lowerdir=/squash,upperdir=/rw/u,workdir=/rw/w\n"
                "2 1 8:1 / /m rw - vfat /dev/sda1 rw\n" /* the stick is mounted for writing */
                "3 1 7:0 / /squash ro - squashfs /dev/loop0 ro\n"
                "4 1 0:10 / /rw rw - tmpfs t rw\n"
                "5 1 254:0 / /p ro - ext4 /dev/mapper/p rw\n"),
            .blocks = blocks,
            .n_blocks = N_BLOCKS,
        });
    lethe_roles_find(&scene.snapshot, roles);
    assert_int_equal(roles[SQUASH], LETHE_ROLE_MEDIUM);
    assert_int_equal(roles[MEDIUM_PART], LETHE_ROLE_MEDIUM);
    assert_int_equal(roles[MEDIUM_DISK], LETHE_ROLE_MEDIUM);
    assert_int_equal(roles[CRYPT], LETHE_ROLE_PERSISTENCE);
    assert_int_equal(roles[STORE_DISK], LETHE_ROLE_PERSISTENCE);
    assert_int_equal(roles[OTHER], LETHE_ROLE_NONE);
    assert_string_equal(lethe_role_name(roles[OTHER]), "none");
    assert_string_equal(lethe_role_name(roles[CRYPT]), "persistence");
    assert_string_equal(lethe_role_name(roles[SQUASH]), "medium");
    scene_finish(&scene);
}

/* Each lies on all the others: the walk must not try every way. */
static void devices_in_circles_end(void **unused)
{
    (void)unused;
    static const size_t all[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    struct lethe_block blocks[10];
    enum lethe_role roles[10];
    struct scene scene;
    for (unsigned i = 0; i < 10; i++)
        blocks[i] = (struct lethe_block){{254, i}, "dm-0", LETHE_BLOCK_DM, "",  "",
                                         "",       {0, 0}, (i + 1) % 10,   all, 10};
    scene_init(&scene, &(struct scene_input){
                           .mountinfo = lethe_span("1 0 254:3 / / rw - ext4 /dev/dm-3 rw\n"),
                           .blocks = blocks,
                           .n_blocks = 10,
                       });
    lethe_roles_find(&scene.snapshot, roles);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(roles[i], LETHE_ROLE_PERSISTENCE);
    scene_finish(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_medium_from_persistence),
        cmocka_unit_test(devices_in_circles_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
