/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lethe/plan/stays.h"
#include "scene.h"

/* Returns why the branch with this path stays, NULL when nothing says that it does. */
static const char *why_branch_stays(const char *mountinfo, bool own_root, const char *path)
{
    struct scene scene;
    struct lethe_stays_list left;
    const char *reason = NULL;
    scene_init_text(&scene, mountinfo);
    assert_int_equal(scene.r, 0);
    const struct lethe_snapshot *s = &scene.snapshot;
    assert_int_equal(lethe_stays_find(&left, s, own_root, &scene.arena), 0);
    for (size_t i = 0; i < left.n; i++) {
        const struct lethe_stays *l = &left.list[i];
        if (l->kind == LETHE_STAYS_BRANCH &&
            !strcmp(s->unions[l->index].branches[l->branch].path, path))
            reason = l->reason;
    }
    scene_finish(&scene);
    return reason;
}

#define ROOT "1 0 0:1 / / rw - overlay o rw,lowerdir=/l,upperdir=/lost\n"
#define RUN "2 1 0:2 / /run rw - tmpfs t rw\n"
#define BOX "3 1 0:3 / /box rw - overlay o rw,lowerdir=/run,upperdir=/box/lost\n"
#define SHOWN "4 1 0:4 / /shown rw - overlay o rw,lowerdir=/l,upperdir=/run/up\n"
#define ANCHOR "5 2 0:5 / /run/initramfs/branches/5 rw - tmpfs t rw\n"
#define ANOTHER "6 2 0:2 / /run/initramfs/branches/2 rw - tmpfs t rw\n"

/* What an arm has bound speaks for the root's union alone, and not where another union's branch is
 * all that it has bound. */
static void an_anchor_is_the_branch_of_the_root(void **unused)
{
    (void)unused;
    assert_non_null(why_branch_stays(ROOT RUN BOX, false, "/lost"));
    assert_null(why_branch_stays(ROOT RUN BOX ANCHOR, false, "/lost"));
    assert_non_null(why_branch_stays(ROOT RUN BOX ANCHOR, false, "/box/lost"));
    assert_non_null(why_branch_stays(ROOT RUN SHOWN ANOTHER, false, "/lost"));
    assert_null(why_branch_stays(ROOT RUN SHOWN ANOTHER ANCHOR, false, "/lost"));
}

/* Its file system may well be erased, by a mount that nobody can know to be its. */
static void nothing_is_claimed_of_a_relative_path(void **unused)
{
    (void)unused;
    const char *relative = why_branch_stays(
        "1 0 0:1 / / rw - tmpfs t rw\n2 1 0:2 / /u rw - overlay o rw,lowerdir=l,upperdir=up\n",
        false, "up");
    assert_non_null(relative);
    assert_null(strstr(relative, "zeroed"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_anchor_is_the_branch_of_the_root),
        cmocka_unit_test(nothing_is_claimed_of_a_relative_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
