/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lethe/plan/below.h"
#include "scene.h"

enum { STICK, PART, FILE_LOOP, HOME, UNION_LOOP, ZRAM, BACKING, OTHER, N_BLOCKS };

/* A container in a file on a stick's partition, another in a file of a union whose branch lies in
 * it, swap in a file of that, and swap on a zram. */
static void begin(struct scene *scene)
{
    static const size_t on_loop[] = {FILE_LOOP}, on_backing[] = {BACKING};
    static const struct lethe_block blocks[] = {
        BLOCK(8, 0, "sda", LETHE_BLOCK_PLAIN),
        BLOCK(8, 1, "sda1", LETHE_BLOCK_PLAIN, .disk = STICK),
        BLOCK(7, 5, "loop5", LETHE_BLOCK_LOOP, .file = "/stick/container", .file_devno = {8, 1}),
        BLOCK(254, 0, "dm-0", LETHE_BLOCK_CRYPT, .dm_name = "home", .slaves = on_loop,
              .n_slaves = 1),
        BLOCK(7, 6, "loop6", LETHE_BLOCK_LOOP, .file = "/u/file", .file_devno = {0, 9}),
        BLOCK(253, 0, "zram0", LETHE_BLOCK_ZRAM, .slaves = on_backing, .n_slaves = 1),
        BLOCK(8, 32, "sdc", LETHE_BLOCK_PLAIN),
        BLOCK(8, 48, "sdd", LETHE_BLOCK_PLAIN),
    };
    scene_init(scene,
               &(struct scene_input){
                   .mountinfo = lethe_span("1 0 0:5 / / rw - rootfs rootfs rw\n"
                                           "2 1 8:1 / /stick rw - ext4 /dev/sda1 rw\n"
                                           "3 1 254:0 / /home rw - ext4 /dev/mapper/home rw\n"
                                           "4 1 0:9 / /u rw - overlay u "
                                           "rw,lowerdir=/l,upperdir=/home/up,workdir=/home/work\n"),
                   .swaps = lethe_span("Filename Type Size Used Priority\n"
                                       "/home/swap file 1000 12 -2\n"
                                       "/dev/zram0 partition 1000 0 -3\n"),
                   .blocks = blocks,
                   .n_blocks = N_BLOCKS,
               });
}

static void assert_marked(const bool *marks, const char *expected)
{
    char got[N_BLOCKS + 1] = "";
    for (int i = 0; i < N_BLOCKS; i++)
        got[i] = marks[i] ? 'x' : '-';
    assert_string_equal(got, expected);
}

static void goes_down_through_files(void **unused)
{
    (void)unused;
    struct scene scene;
    bool home[N_BLOCKS] = {false}, in_union[N_BLOCKS] = {false};
    begin(&scene);
    lethe_below_mark(&scene.snapshot, HOME, home);
    assert_marked(home, "xxxx----");
    lethe_below_mark(&scene.snapshot, UNION_LOOP, in_union);
    assert_marked(in_union, "xxxxx---");
    scene_finish(&scene);
}

static void knows_what_swaps_lie_on(void **unused)
{
    (void)unused;
    struct scene scene;
    bool file[N_BLOCKS] = {false}, zram[N_BLOCKS] = {false};
    begin(&scene);
    const struct lethe_snapshot *s = &scene.snapshot;
    assert_int_equal(s->n_swaps, 2);
    assert_int_equal(s->swaps[0].used_kib, 12);
    assert_int_equal(s->swaps[1].used_kib, 0);
    lethe_below_mark_swap(s, &s->swaps[0], file);
    assert_marked(file, "xxxx----");
    lethe_below_mark_swap(s, &s->swaps[1], zram);
    assert_marked(zram, "-----xx-");
    scene_finish(&scene);
}

static void circles_end(void **unused)
{
    (void)unused;
    struct scene scene;
    static const size_t both[] = {0, 1};
    const struct lethe_block blocks[] = {
        BLOCK(254, 0, "dm-0", LETHE_BLOCK_DM, .slaves = both, .n_slaves = 2),
        BLOCK(7, 0, "loop0", LETHE_BLOCK_LOOP, .file = "/f", .file_devno = {7, 0}, .slaves = both,
              .n_slaves = 2),
    };
    bool marks[2] = {false};
    scene_init(&scene, &(struct scene_input){
                           .mountinfo = lethe_span("1 0 7:0 / / rw - ext4 /dev/loop0 rw\n"),
                           .blocks = blocks,
                           .n_blocks = 2,
                       });
    lethe_below_mark(&scene.snapshot, 0, marks);
    assert_true(marks[0] && marks[1]);
    lethe_below_mark(&scene.snapshot, LETHE_NONE, marks);
    scene_finish(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_down_through_files),
        cmocka_unit_test(knows_what_swaps_lie_on),
        cmocka_unit_test(circles_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
