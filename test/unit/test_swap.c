/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lethe/plan/swap.h"
#include "scene.h"

enum { DISK, PART, CRYPT, VOLUME, STRIPE, ZRAM, LOOP_DISK, LOOP_RAM, LOOP_LOST, NBD, N };
static const size_t on_part[] = {PART}, on_crypt[] = {CRYPT}, on_both[] = {CRYPT, PART};

static const struct lethe_block blocks[] = {
    [DISK] = BLOCK(8, 0, "sda", LETHE_BLOCK_PLAIN),
    [PART] = BLOCK(8, 1, "sda1", LETHE_BLOCK_PLAIN, .disk = DISK),
    [CRYPT] = BLOCK(253, 0, "dm-0", LETHE_BLOCK_CRYPT, .slaves = on_part, .n_slaves = 1),
    [VOLUME] = BLOCK(253, 1, "dm-1", LETHE_BLOCK_DM, .slaves = on_crypt, .n_slaves = 1),
    [STRIPE] = BLOCK(9, 0, "md0", LETHE_BLOCK_MD, .slaves = on_both, .n_slaves = 2),
    [ZRAM] = BLOCK(252, 0, "zram0", LETHE_BLOCK_ZRAM),
    [LOOP_DISK] = BLOCK(7, 0, "loop0", LETHE_BLOCK_LOOP, .file = "/c/f", .file_devno = {253, 1}),
    [LOOP_RAM] = BLOCK(7, 1, "loop1", LETHE_BLOCK_LOOP, .file = "/t/f", .file_devno = {0, 3}),
    [LOOP_LOST] = BLOCK(7, 2, "loop2", LETHE_BLOCK_LOOP, .file = "/x/f", .file_devno = {0, 99}),
    [NBD] = BLOCK(43, 0, "nbd0", LETHE_BLOCK_NBD),
};

#define MOUNTS                                                                                     \
    "1 0 0:2 / / rw - proc x rw\n"                                                                 \
    "2 1 253:1 / /c rw - ext4 /dev/dm-1 rw\n"                                                      \
    "3 1 0:3 / /t rw - tmpfs t rw\n"                                                               \
    "4 1 8:1 / /p rw - ext4 /dev/sda1 rw\n"                                                        \
    "5 1 0:5 / /n rw - nfs server:/x rw\n"                                                         \
    "6 1 0:6 / /u rw - overlay o rw,lowerdir=/c/l,upperdir=/p/u,workdir=/p/w\n"                    \
    "7 1 0:7 / /r rw - overlay o rw,lowerdir=/c/l,upperdir=/t/u,workdir=/t/w\n"                    \
    "8 1 252:0 / /z rw - ext4 /dev/zram0 rw\n"

static enum lethe_swap_place place_of(const char *path, const char *type)
{
    char line[200];
    struct scene scene;
    snprintf(line, sizeof line, "%s %s 1 0 -2\n", path, type);
    scene_init(&scene, &(struct scene_input){.mountinfo = lethe_span(MOUNTS),
                                             .swaps = lethe_span(line),
                                             .blocks = blocks,
                                             .n_blocks = N});
    assert_int_equal(scene.r, 0);
    enum lethe_swap_place place = lethe_swap_place(&scene.snapshot, &scene.snapshot.swaps[0]);
    scene_finish(&scene);
    return place;
}

static void devices_are_followed_down(void **unused)
{
    (void)unused;
    assert_int_equal(place_of("/dev/sda1", "partition"), LETHE_SWAP_PLAIN);
    assert_int_equal(place_of("/dev/dm-0", "partition"), LETHE_SWAP_ENCRYPTED);
    assert_int_equal(place_of("/dev/dm-1", "partition"), LETHE_SWAP_ENCRYPTED);
    assert_int_equal(place_of("/dev/md0", "partition"), LETHE_SWAP_PLAIN);
    assert_int_equal(place_of("/dev/zram0", "partition"), LETHE_SWAP_RAM);
    assert_int_equal(place_of("/dev/loop0", "partition"), LETHE_SWAP_ENCRYPTED);
    assert_int_equal(place_of("/dev/loop1", "partition"), LETHE_SWAP_RAM);
    assert_int_equal(place_of("/dev/loop2", "partition"), LETHE_SWAP_UNKNOWN);
    assert_int_equal(place_of("/dev/nbd0", "partition"), LETHE_SWAP_REMOTE);
    assert_int_equal(place_of("/dev/nowhere", "partition"), LETHE_SWAP_UNKNOWN);
}

static void files_are_followed_to_their_devices(void **unused)
{
    (void)unused;
    assert_int_equal(place_of("/c/swap", "file"), LETHE_SWAP_ENCRYPTED);
    assert_int_equal(place_of("/p/swap", "file"), LETHE_SWAP_PLAIN);
    assert_int_equal(place_of("/n/swap", "file"), LETHE_SWAP_REMOTE);
    assert_int_equal(place_of("/u/swap", "file"), LETHE_SWAP_PLAIN);
}

/* The kernel takes no swap file on a tmpfs: the path led elsewhere once. */
static void a_file_is_not_where_no_swap_file_can_be(void **unused)
{
    (void)unused;
    assert_int_equal(place_of("/t/swap", "file"), LETHE_SWAP_UNKNOWN);
    assert_int_equal(place_of("/r/swap", "file"), LETHE_SWAP_UNKNOWN);
    assert_int_equal(place_of("/z/swap", "file"), LETHE_SWAP_RAM);
}

static void only_what_stays_is_told(void **unused)
{
    (void)unused;
    assert_null(lethe_swap_stays(LETHE_SWAP_RAM));
    assert_null(lethe_swap_stays(LETHE_SWAP_ENCRYPTED));
    assert_non_null(lethe_swap_stays(LETHE_SWAP_UNKNOWN));
    assert_non_null(lethe_swap_stays(LETHE_SWAP_REMOTE));
    assert_non_null(lethe_swap_stays(LETHE_SWAP_PLAIN));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices_are_followed_down),
        cmocka_unit_test(files_are_followed_to_their_devices),
        cmocka_unit_test(a_file_is_not_where_no_swap_file_can_be),
        cmocka_unit_test(only_what_stays_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
