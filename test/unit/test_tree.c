/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "scene.h"

static void assert_leads_to(const struct scene *scene, const char *path, unsigned id)
{
    size_t found = lethe_tree_lookup(&scene->tree, path);
    assert_true(found != LETHE_NONE);
    assert_int_equal(scene->snapshot.mounts[found].id, id);
}

static void look_up_finds_the_mount_below_a_path(void **unused)
{
    (void)unused;
    struct scene scene;
    scene_init_text(&scene, "21 1 0:20 / / rw - ext4 /dev/sda1 rw\n"
                            "22 21 0:21 / /run rw - tmpfs tmpfs rw\n"
                            "23 22 0:22 / /run/user/1000 rw - tmpfs tmpfs rw\n"
                            "24 21 0:23 / /runner rw - tmpfs tmpfs rw\n");
    assert_int_equal(scene.r, 0);
    assert_leads_to(&scene, "/", 21);
    assert_leads_to(&scene, "/ru", 21);
    assert_leads_to(&scene, "/run", 22);
    assert_leads_to(&scene, "/run/", 22);
    assert_leads_to(&scene, "/run/user", 22);
    assert_leads_to(&scene, "/run/user/1000/x/y", 23);
    assert_leads_to(&scene, "/run/user/10000", 22);
    assert_leads_to(&scene, "/runner/up", 24);
    scene_finish(&scene);
}

static void look_up_climbs_what_is_stacked(void **unused)
{
    (void)unused;
    struct scene scene;
    scene_init_text(&scene, "21 1 0:20 / / rw - ext4 /dev/sda1 rw\n"
                            "22 21 0:21 / /a rw - tmpfs one rw\n"
                            "23 22 0:22 / /a rw - tmpfs two rw\n"
                            "24 23 0:23 / /a rw - tmpfs three rw\n"
                            "25 24 0:24 / /a/b rw - tmpfs four rw\n");
    assert_leads_to(&scene, "/a", 24);
    assert_leads_to(&scene, "/a/b/c", 25);
    scene_finish(&scene);
}

static void look_up_does_not_enter_what_is_hidden(void **unused)
{
    (void)unused;
    struct scene scene;
    scene_init_text(&scene, "21 1 0:20 / / rw - ext4 /dev/sda1 rw\n"
                            "22 21 0:21 / /a/b rw - tmpfs hidden rw\n"
                            "23 21 0:22 / /a rw - tmpfs cover rw\n");
    assert_leads_to(&scene, "/a/b", 23);
    scene_finish(&scene);
}

static void the_root_is_the_mount_without_a_parent(void **unused)
{
    (void)unused;
    struct scene scene;
    /* the second root lies on the first; /x belongs to the first, so it can't be seen */
    scene_init_text(&scene, "1 1 0:2 / / rw - rootfs rootfs rw\n"
                            "20 1 0:3 / /x rw - tmpfs t rw\n"
                            "30 1 0:4 / / rw - ext4 /dev/sda1 rw\n");
    assert_int_equal(scene.snapshot.mounts[scene.tree.root].id, 1);
    assert_leads_to(&scene, "/", 30);
    assert_leads_to(&scene, "/x", 30);
    scene_finish(&scene);
}

static void without_a_root_nothing_is_found(void **unused)
{
    (void)unused;
    struct scene scene;
    scene_init_text(&scene, "20 1 0:3 / /x rw - tmpfs t rw\n");
    assert_int_equal(lethe_tree_build(&scene.tree, &scene.snapshot, &scene.arena), -ENOENT);
    assert_true(lethe_tree_lookup(&scene.tree, "/x") == LETHE_NONE);
    scene_finish(&scene);
}

static void a_forged_circle_ends(void **unused)
{
    (void)unused;
    struct scene scene;
    scene_init_text(&scene, "1 2 0:1 / / rw - tmpfs a rw\n"
                            "2 1 0:2 / / rw - tmpfs b rw\n"
                            "3 3 0:3 / /x rw - tmpfs c rw\n");
    lethe_tree_lookup(&scene.tree, "/x/y"); /* that it comes back is all there is to ask */
    scene_finish(&scene);
}

static void a_full_arena_is_told(void **unused)
{
    (void)unused;
    struct scene scene;
    scene_init_text(&scene, "21 1 0:20 / / rw - ext4 /dev/sda1 rw\n");
    struct lethe_arena small = heap_arena(16);
    assert_int_equal(lethe_tree_build(&scene.tree, &scene.snapshot, &small), -ENOMEM);
    free(small.base);
    scene_finish(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(look_up_finds_the_mount_below_a_path),
        cmocka_unit_test(look_up_climbs_what_is_stacked),
        cmocka_unit_test(look_up_does_not_enter_what_is_hidden),
        cmocka_unit_test(the_root_is_the_mount_without_a_parent),
        cmocka_unit_test(without_a_root_nothing_is_found),
        cmocka_unit_test(a_forged_circle_ends),
        cmocka_unit_test(a_full_arena_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
