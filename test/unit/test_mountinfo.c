/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lethe/plan/mountinfo.h"
#include "scene.h"

/* Parses the text out of memory that ends with it. */
static int parse(struct scene *scene, const char *text,
                 int (*parser)(struct lethe_snapshot *, struct lethe_span, struct lethe_arena *,
                               const struct lethe_complaint *))
{
    struct lethe_span span = exact_span(text);
    *scene = (struct scene){.arena = heap_arena(1 << 16)};
    const struct lethe_complaint complaint = scene_complaint(scene);
    int r = parser(&scene->snapshot, span, &scene->arena, &complaint);
    free((char *)span.at);
    return r;
}

static void reads_each_field(void **unused)
{
    (void)unused;
    struct scene scene;
    assert_int_equal(
        parse(&scene,
              "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime shared:1 master:2 - ext3 /dev/ro\\134ot "
              "rw,errors=con\\040tinue\n",
              lethe_mountinfo_parse),
        0);
    assert_int_equal(scene.snapshot.n_mounts, 1);
    const struct lethe_mount *m = scene.snapshot.mounts;
    assert_int_equal(m->id, 36);
    assert_int_equal(m->parent, 35);
    assert_true(lethe_devno_is(m->devno, (struct lethe_devno){98, 0}));
    assert_string_equal(m->root, "/mnt1");
    assert_string_equal(m->path, "/mnt 2");
    assert_string_equal(m->options, "rw,noatime");
    assert_string_equal(m->fstype, "ext3");
    assert_string_equal(m->source, "/dev/ro\\ot");
    assert_string_equal(m->super_options, "rw,errors=con\\040tinue"); /* escapes kept */
    assert_true(m->device == LETHE_NONE);
    scene_finish(&scene);
}

static void optional_fields_may_be_none_or_many(void **unused)
{
    (void)unused;
    struct scene scene;
    parse(&scene,
          "1 0 0:1 / / rw - tmpfs t rw\n"
          "2 1 0:2 / /a rw shared:1 master:2 propagate_from:3 unbindable - tmpfs t rw\n"
          "3 1 0:3 / /b rw - - - -\n" /* a file system whose type and source are "-" */
          "4 1 0:4 / /c rw - tmpfs  rw\n",
          lethe_mountinfo_parse);
    assert_int_equal(scene.complaints, 0);
    assert_int_equal(scene.snapshot.n_mounts, 4);
    assert_string_equal(scene.snapshot.mounts[1].fstype, "tmpfs");
    assert_string_equal(scene.snapshot.mounts[2].fstype, "-");
    assert_string_equal(scene.snapshot.mounts[3].source, ""); /* an empty source */
    assert_string_equal(scene.snapshot.mounts[3].super_options, "rw");
    scene_finish(&scene);
}

static void names_of_any_bytes_are_kept(void **unused)
{
    (void)unused;
    struct scene scene;
    parse(&scene, "2 1 0:2 /\\011 /a,b:\\043\\012\xff//deleted rw - tmpfs t rw", /* no newline */
          lethe_mountinfo_parse);
    assert_int_equal(scene.snapshot.n_mounts, 1);
    assert_string_equal(scene.snapshot.mounts[0].root, "/\t");
    assert_string_equal(scene.snapshot.mounts[0].path, "/a,b:#\n\xff//deleted");
    scene_finish(&scene);
}

static void bad_lines_are_told_and_left_out(void **unused)
{
    (void)unused;
    static const char *const bad[] = {
        "\n",
        "x 1 0:2 / /a rw - tmpfs t rw\n",
        "1\n",
        "1 -1 0:2 / /a rw - tmpfs t rw\n",
        "4294967296 1 0:2 / /a rw - tmpfs t rw\n",
        "1 2 02 / /a rw - tmpfs t rw\n",
        "1 2 0:2 / a rw - tmpfs t rw\n",
        "1 2 0:2 /\n",
        "1 2 0:2 / /a\n",
        "1 2 0:2 / /a rw\n",
        "1 2 0:2 / /a rw shared:1 tmpfs t rw\n",
        "1 2 0:2 / /a rw -\n",
        "1 2 0:2 / /a rw - ",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[256];
        struct scene scene;
        snprintf(text, sizeof text, "1 0 0:1 / / rw - tmpfs t rw\n%s", bad[i]);
        assert_int_equal(parse(&scene, text, lethe_mountinfo_parse), 0);
        assert_int_equal(scene.snapshot.n_mounts, 1);
        assert_int_equal(scene.complaints, 1);
        assert_int_equal(scene.first_line, 2);
        scene_finish(&scene);
    }
}

static void a_nul_is_no_text(void **unused)
{
    (void)unused;
    static const char mounts[] = "1 0 0:1 / / rw - \0 t rw\n1 0 0:1 / /\0 rw - tmpfs t rw",
                      swaps[] = "/\0dev file 1";
    struct scene scene = {.arena = heap_arena(4096)};
    const struct lethe_complaint complaint = scene_complaint(&scene);
    lethe_mountinfo_parse(&scene.snapshot, (struct lethe_span){mounts, sizeof mounts - 1},
                          &scene.arena, &complaint);
    lethe_mountinfo_parse_swaps(&scene.snapshot, (struct lethe_span){swaps, sizeof swaps - 1},
                                &scene.arena, &complaint);
    assert_int_equal(scene.complaints, 3);
    assert_int_equal(scene.snapshot.n_mounts + scene.snapshot.n_swaps, 0);
    scene_finish(&scene);
}

static void the_rest_is_read_behind_a_bad_line(void **unused)
{
    (void)unused;
    struct scene scene;
    parse(&scene, "nonsense\n2 1 0:2 / /a rw - tmpfs t rw\n", lethe_mountinfo_parse);
    assert_int_equal(scene.first_line, 1);
    assert_int_equal(scene.snapshot.n_mounts, 1);
    assert_string_equal(scene.snapshot.mounts[0].path, "/a");
    scene_finish(&scene);
}

static void an_empty_text_has_no_mounts(void **unused)
{
    (void)unused;
    struct scene scene;
    assert_int_equal(parse(&scene, "", lethe_mountinfo_parse), 0);
    assert_int_equal(scene.snapshot.n_mounts, 0);
    assert_int_equal(scene.complaints, 0);
    scene_finish(&scene);
}

static void every_full_arena_is_told(void **unused)
{
    (void)unused;
    const struct lethe_span mounts = lethe_span("2 1 0:2 / /a rw - tmpfs source rw,size=1\n"),
                            swaps = lethe_span("/dev/sda1 partition 1 0 -2\n");
    struct scene scene = {0};
    const struct lethe_complaint complaint = scene_complaint(&scene);
    int r = -ENOMEM, s = -ENOMEM;
    for (size_t size = 16; r || s; size += 16) {
        struct lethe_arena arena = heap_arena(size);
        assert_true(size < 4096);
        r = lethe_mountinfo_parse(&scene.snapshot, mounts, &arena, &complaint);
        assert_true(!r || r == -ENOMEM);
        lethe_arena_reset(&arena);
        s = lethe_mountinfo_parse_swaps(&scene.snapshot, swaps, &arena, &complaint);
        assert_true(!s || s == -ENOMEM);
        free(arena.base);
    }
}

static void reads_swaps(void **unused)
{
    (void)unused;
    struct scene scene;
    parse(&scene,
          "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
          "/dev/zram0                              partition\t2097148\t\t0\t\t100\n"
          "/var/swap\\040file file 1024 0 -2\n"
          "/swap\\040(deleted)                     file\t\t1024\t0\t-3\n",
          lethe_mountinfo_parse_swaps);
    assert_int_equal(scene.complaints, 0);
    assert_int_equal(scene.snapshot.n_swaps, 3);
    const struct lethe_swap *s = scene.snapshot.swaps;
    assert_string_equal(s[0].path, "/dev/zram0");
    assert_false(s[0].is_file);
    assert_true(s[0].device == LETHE_NONE);
    assert_string_equal(s[1].path, "/var/swap file");
    assert_true(s[1].is_file);
    assert_string_equal(s[2].path, "/swap (deleted)");
    scene_finish(&scene);
}

static void bad_swaps_are_told_and_left_out(void **unused)
{
    (void)unused;
    struct scene scene;
    parse(&scene, "\n/dev/sda1\n/dev/sda1 disk 1 0 0\nswap file 1 0 0\n  \t\n/s file",
          lethe_mountinfo_parse_swaps);
    assert_int_equal(scene.complaints, 5);
    assert_int_equal(scene.first_line, 1);
    assert_int_equal(scene.snapshot.n_swaps, 1);
    scene_finish(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_each_field),
        cmocka_unit_test(optional_fields_may_be_none_or_many),
        cmocka_unit_test(names_of_any_bytes_are_kept),
        cmocka_unit_test(bad_lines_are_told_and_left_out),
        cmocka_unit_test(a_nul_is_no_text),
        cmocka_unit_test(the_rest_is_read_behind_a_bad_line),
        cmocka_unit_test(an_empty_text_has_no_mounts),
        cmocka_unit_test(every_full_arena_is_told),
        cmocka_unit_test(reads_swaps),
        cmocka_unit_test(bad_swaps_are_told_and_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
