/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scene.h"

static void knows_ram_by_its_type(void **unused)
{
    (void)unused;
    static const char *const ram[] = {"tmpfs", "ramfs", "hugetlbfs", "devtmpfs", "rootfs"};
    static const char *const other[] = {"overlay", "ext4", "proc",      "tmpfs2",
                                        "tmp",     "",     "fuse.tmpfs"};
    struct lethe_mount m = {0};
    for (size_t i = 0; i < sizeof ram / sizeof *ram; i++) {
        m.fstype = ram[i];
        assert_true(lethe_mount_is_ram(&m));
    }
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        m.fstype = other[i];
        assert_false(lethe_mount_is_ram(&m));
    }
}

static void knows_its_own_mounts(void **unused)
{
    (void)unused;
    static const char *const own[] = {"/", "/proc", "/sys", "/dev"};
    struct lethe_mount m = {0};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        m.path = own[i];
        assert_true(lethe_mount_is_own(&m, true));
        assert_false(lethe_mount_is_own(&m, false));
    }
    m.path = "/dev/pts";
    assert_false(lethe_mount_is_own(&m, true));
    m.path = "/oldroot";
    assert_false(lethe_mount_is_own(&m, true));
}

static void knows_devices_that_are_ram(void **unused)
{
    (void)unused;
    static const size_t on_loop[] = {0}, on_disk[] = {1}, on_dm[] = {4, 3};
    const struct lethe_block blocks[] = {
        BLOCK(7, 0, "loop0", LETHE_BLOCK_LOOP, .file = "/img", .file_devno = {0, 20}),
        BLOCK(8, 0, "sda", LETHE_BLOCK_PLAIN),
        BLOCK(7, 1, "loop1", LETHE_BLOCK_LOOP, .file = "/img", .file_devno = {8, 0}),
        BLOCK(254, 0, "dm-0", LETHE_BLOCK_DM, .dm_name = "a", .slaves = on_loop, .n_slaves = 1),
        BLOCK(254, 1, "dm-1", LETHE_BLOCK_DM, .dm_name = "b", .slaves = on_disk, .n_slaves = 1),
        BLOCK(254, 2, "dm-2", LETHE_BLOCK_DM, .dm_name = "c", .slaves = on_dm, .n_slaves = 2),
        BLOCK(1, 0, "ram0", LETHE_BLOCK_BRD),
        BLOCK(252, 0, "zram0", LETHE_BLOCK_ZRAM),
    };
    static const bool expected[] = {true, false, false, true, false, true, true, true};
    struct scene scene;
    scene_init(&scene, &(struct scene_input){
                           .mountinfo = lethe_span("1 0 0:20 / / rw - tmpfs t rw\n"
                                                   "2 1 8:0 / /disk rw - ext4 /dev/sda rw\n"),
                           .blocks = blocks,
                           .n_blocks = sizeof blocks / sizeof *blocks,
                       });
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        assert_int_equal(lethe_block_is_ram(&scene.snapshot, i), expected[i]);
    scene_finish(&scene);
}

static void knows_what_lies_on_the_network(void **unused)
{
    (void)unused;
    static const size_t on_part[] = {1}, nbd[] = {0};
    const struct lethe_block blocks[] = {
        BLOCK(43, 0, "nbd0", LETHE_BLOCK_NBD),
        BLOCK(43, 1, "nbd0p1", LETHE_BLOCK_PLAIN, .disk = 0),
        BLOCK(254, 0, "dm-0", LETHE_BLOCK_CRYPT, .dm_name = "a", .slaves = on_part, .n_slaves = 1),
        BLOCK(7, 0, "loop0", LETHE_BLOCK_LOOP, .file = "/nfs/img", .file_devno = {0, 30}),
        BLOCK(8, 0, "sda", LETHE_BLOCK_PLAIN),
        BLOCK(8, 1, "sda1", LETHE_BLOCK_PLAIN, .disk = 4, .beside = nbd, .n_beside = 1),
    };
    static const bool expected[] = {false, true, true, true, false, true};
    struct scene scene;
    scene_init(&scene, &(struct scene_input){
                           .mountinfo = lethe_span("1 0 0:20 / / rw - tmpfs t rw\n"
                                                   "2 1 0:30 / /nfs rw - nfs4 x:/ rw\n"
                                                   "3 1 254:0 / /a rw - ext4 /dev/dm-0 rw\n"
                                                   "4 1 7:0 / /b rw - ext4 /dev/loop0 rw\n"
                                                   "5 1 8:0 / /c rw - ext4 /dev/sda rw\n"
                                                   "6 1 0:40 / /d rw - btrfs /dev/sda1 rw\n"),
                           .blocks = blocks,
                           .n_blocks = sizeof blocks / sizeof *blocks,
                       });
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_int_equal(lethe_mount_is_answered_for(&scene.snapshot, i), expected[i]);
    assert_true(lethe_block_lies_on(&scene.snapshot, 2, 0));
    assert_true(lethe_block_lies_on(&scene.snapshot, 4, 4));
    assert_false(lethe_block_lies_on(&scene.snapshot, 0, 2));
    scene_finish(&scene);
}

/* Each of them lies on all the others. */
static void devices_in_circles_end(void **unused)
{
    (void)unused;
    static const size_t all[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    struct lethe_block blocks[10];
    for (unsigned i = 0; i < 10; i++)
        blocks[i] = (struct lethe_block)BLOCK(254, i, "dm-0", LETHE_BLOCK_DM, .slaves = all,
                                              .n_slaves = 10, .beside = all, .n_beside = 10);
    const struct lethe_snapshot snapshot = {.blocks = blocks, .n_blocks = 10};
    assert_false(lethe_block_is_ram(&snapshot, 0));
}

static void a_type_says_who_has_the_files(void **unused)
{
    (void)unused;
    static const struct {
        const char *type;
        bool ram, remote, pseudo;
    } types[] = {
        {"tmpfs", true, false, false},     {"ramfs", true, false, false},
        {"nfs4", false, true, false},      {"virtiofs", false, true, false},
        {"fuse", false, true, false},      {"fuse.sshfs", false, true, false},
        {"fuseblk", false, true, false},   {"fusectl", false, false, true},
        {"fuseblk.x", false, true, false}, {"fuser", false, false, false},
        {"sysfs", false, false, true},     {"autofs", false, false, true},
        {"overlay", false, false, false},  {"zfs", false, false, false},
        {"nsfs", false, false, false},     {"ext4", false, false, false},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const struct lethe_mount m = {.fstype = types[i].type};
        assert_int_equal(lethe_mount_is_ram(&m), types[i].ram);
        assert_int_equal(lethe_mount_is_remote(&m), types[i].remote);
        assert_int_equal(lethe_mount_is_pseudo(&m), types[i].pseudo);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_ram_by_its_type),
        cmocka_unit_test(knows_its_own_mounts),
        cmocka_unit_test(knows_devices_that_are_ram),
        cmocka_unit_test(knows_what_lies_on_the_network),
        cmocka_unit_test(devices_in_circles_end),
        cmocka_unit_test(a_type_says_who_has_the_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
