/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lethe/plan/devices.h"
#include "scene.h"

static void knows_a_device_by_its_name(void **unused)
{
    (void)unused;
    static const struct {
        const char *name, *uuid;
        enum lethe_block_kind kind;
    } cases[] = {
        {"sda", "", LETHE_BLOCK_PLAIN},
        {"nvme0n1p2", "", LETHE_BLOCK_PLAIN},
        {"sr0", "", LETHE_BLOCK_PLAIN},
        {"mmcblk0", "", LETHE_BLOCK_PLAIN},
        {"loop7", "", LETHE_BLOCK_LOOP},
        {"loop0p1", "", LETHE_BLOCK_PLAIN},
        {"loop", "", LETHE_BLOCK_PLAIN},
        {"md127", "", LETHE_BLOCK_MD},
        {"md127p1", "", LETHE_BLOCK_PLAIN}, /* stopping it would stop the whole array */
        {"mdx", "", LETHE_BLOCK_PLAIN},
        {"md_d0p1", "", LETHE_BLOCK_PLAIN},
        {"md0x", "", LETHE_BLOCK_PLAIN},
        {"loop7x", "", LETHE_BLOCK_PLAIN},
        {"zram0", "", LETHE_BLOCK_ZRAM},
        {"ram15", "", LETHE_BLOCK_BRD},
        {"nbd0", "", LETHE_BLOCK_NBD},
        {"nbd0p1", "", LETHE_BLOCK_PLAIN},
        {"bcache0", "", LETHE_BLOCK_BCACHE},
        {"bcache0p1", "", LETHE_BLOCK_PLAIN},
        {"random", "", LETHE_BLOCK_PLAIN},
        {"dm-0", "", LETHE_BLOCK_DM},
        {"dm-0", "LVM-abc", LETHE_BLOCK_DM},
        {"dm-0", "CRYPT-LUKS2-5e1f-home", LETHE_BLOCK_CRYPT},
        {"dm-0", "CRYPT-LUKS1-5e1f-home", LETHE_BLOCK_CRYPT},
        {"dm-12", "CRYPT-PLAIN-swap", LETHE_BLOCK_CRYPT},
        {"dm-12", "CRYPT-TEMP-x", LETHE_BLOCK_CRYPT},
        {"dm-0", "CRYPT-VERITY-5e1f-root", LETHE_BLOCK_DM}, /* holds no key */
        {"dm-0", "CRYPT-INTEGRITY-x", LETHE_BLOCK_DM},      /* knows no "key wipe" */
        {"dm-0", "CRYPT-SUBDEV-5e1f-home_dif", LETHE_BLOCK_DM},
        {"", "", LETHE_BLOCK_PLAIN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (lethe_devices_kind(cases[i].name, cases[i].uuid, false) != cases[i].kind)
            fail_msg("%s (%s) is taken for kind %d", cases[i].name, cases[i].uuid,
                     lethe_devices_kind(cases[i].name, cases[i].uuid, false));
}

/* As mdadm.conf(5) has it for CREATE names=yes. */
static void knows_an_array_by_its_directory(void **unused)
{
    (void)unused;
    assert_int_equal(lethe_devices_kind("md_home", "", true), LETHE_BLOCK_MD);
    assert_int_equal(lethe_devices_kind("md_d0", "", true), LETHE_BLOCK_MD);
    assert_int_equal(lethe_devices_kind("md_d0p1", "", false), LETHE_BLOCK_PLAIN);
}

static void ties_mounts_and_swaps_to_devices(void **unused)
{
    (void)unused;
    const struct lethe_block blocks[] = {
        BLOCK(8, 1, "sda1", LETHE_BLOCK_PLAIN),
        BLOCK(254, 0, "dm-0", LETHE_BLOCK_CRYPT, .dm_name = "home", .dm_uuid = "CRYPT-"),
    };
    struct scene scene;
    scene_init(&scene, &(struct scene_input){
                           .mountinfo = lethe_span("1 0 8:1 / / rw - ext4 /dev/root rw\n"
                                                   "2 1 0:9 / /b rw - btrfs /dev/mapper/home rw\n"
                                                   "3 1 0:10 / /t rw - tmpfs /dev/sda1 rw\n"
                                                   "4 1 8:99 / /x rw - ext4 /dev/sda1 rw\n"
                                                   "5 1 0:11 / /p rw - proc proc rw\n"),
                           .swaps = lethe_span("/dev/dm-0 partition 1 0 0\n"
                                               "/dev/gone partition 1 0 0\n"
                                               "/b/file file 1 0 0\n"),
                           .blocks = blocks,
                           .n_blocks = 2,
                       });
    const struct lethe_mount *m = scene.snapshot.mounts;
    assert_int_equal(m[0].device, 0); /* by number */
    assert_int_equal(m[1].device, 1); /* by its source's name */
    assert_true(m[2].device == LETHE_NONE);
    assert_true(m[3].device == LETHE_NONE);
    assert_true(m[4].device == LETHE_NONE);
    assert_true(lethe_mount_is_stored(&m[1]));
    assert_false(lethe_mount_is_stored(&m[2]));
    const struct lethe_swap *s = scene.snapshot.swaps;
    assert_int_equal(s[0].device, 1);
    assert_true(s[1].device == LETHE_NONE);
    assert_true(s[2].device == LETHE_NONE);
    assert_true(lethe_devno_is(s[2].devno, (struct lethe_devno){0, 9}));
    scene_finish(&scene);
}

static void ties_an_xfs_to_its_log(void **unused)
{
    (void)unused;
    const struct lethe_block blocks[] = {
        BLOCK(8, 1, "sda1", LETHE_BLOCK_PLAIN),
        BLOCK(8, 2, "sda2", LETHE_BLOCK_PLAIN),
        BLOCK(254, 0, "dm-0", LETHE_BLOCK_PLAIN, .dm_name = "a log"),
    };
    struct scene scene;
    scene_init(&scene,
               &(struct scene_input){
                   .mountinfo = lethe_span(
                       "1 0 8:1 / / rw - xfs /dev/sda1 "
                       "rw,logbufs=8,logdev=/dev/mapper/a\\040log,rtdev=/dev/sda2,noquota\n"
                       "2 1 8:1 / /b rw - xfs /dev/sda1 rw,logdev=/dev/sda2,logdev,rtdev=\n"
                       "3 1 8:2 / /c rw - ext4 /dev/sda2 rw,logdev=/dev/sda1\n"
                       "4 1 254:0 / /d rw - xfs /dev/dm-0 rw,logdev=/dev/dm-0,rtdev=/dev/gone\n"),
                   .blocks = blocks,
                   .n_blocks = 3,
               });
    const struct lethe_block *b = scene.snapshot.blocks;
    assert_int_equal(b[0].n_beside, 2);
    assert_int_equal(b[0].beside[0], 2);
    assert_int_equal(b[0].beside[1], 1);
    assert_int_equal(b[1].n_beside, 0);
    assert_int_equal(b[2].n_beside, 0);
    scene_finish(&scene);
}

static void keeps_only_so_many_beside(void **unused)
{
    (void)unused;
    struct lethe_block blocks[100] = {{.n_beside = 0}};
    const struct lethe_snapshot snapshot = {.blocks = blocks, .n_blocks = 100};
    struct lethe_arena arena = heap_arena(1024), none = {0};
    assert_int_equal(lethe_devices_add_beside(&snapshot, 0, 1, &none), -ENOMEM);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(lethe_devices_add_beside(&snapshot, 0, i, &arena), 0);
    assert_int_equal(blocks[0].n_beside, 32);
    assert_int_equal(blocks[0].beside[31], 32);
    free(arena.base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_a_device_by_its_name),
        cmocka_unit_test(knows_an_array_by_its_directory),
        cmocka_unit_test(ties_mounts_and_swaps_to_devices),
        cmocka_unit_test(ties_an_xfs_to_its_log),
        cmocka_unit_test(keeps_only_so_many_beside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
