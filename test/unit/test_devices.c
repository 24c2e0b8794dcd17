/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lethe/devices.h"
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
        if (lethe_block_kind(cases[i].name, cases[i].uuid, false) != cases[i].kind)
            fail_msg("%s (%s) is taken for kind %d", cases[i].name, cases[i].uuid,
                     lethe_block_kind(cases[i].name, cases[i].uuid, false));
}

/* As mdadm.conf(5) has it for CREATE names=yes. */
static void knows_an_array_by_its_directory(void **unused)
{
    (void)unused;
    assert_int_equal(lethe_block_kind("md_home", "", true), LETHE_BLOCK_MD);
    assert_int_equal(lethe_block_kind("md_d0", "", true), LETHE_BLOCK_MD);
    assert_int_equal(lethe_block_kind("md_d0p1", "", false), LETHE_BLOCK_PLAIN);
}

static void ties_mounts_and_swaps_to_devices(void **unused)
{
    (void)unused;
    const struct lethe_block blocks[] = {
        {{8, 1}, "sda1", LETHE_BLOCK_PLAIN, "", "", "", {0, 0}, LETHE_NONE, NULL, 0},
        {{254, 0}, "dm-0", LETHE_BLOCK_CRYPT, "home", "CRYPT-", "", {0, 0}, LETHE_NONE, NULL, 0},
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_a_device_by_its_name),
        cmocka_unit_test(knows_an_array_by_its_directory),
        cmocka_unit_test(ties_mounts_and_swaps_to_devices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
