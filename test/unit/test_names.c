/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lethe/plan/names.h"
#include "scene.h"

static struct lethe_arena arena;
static struct lethe_names names;

static int set_up(void **unused)
{
    (void)unused;
    arena = heap_arena(1 << 16);
    names = (struct lethe_names){.arena = &arena};
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    free(arena.base);
    return 0;
}

#define assert_path(from, to) assert_string_equal(lethe_names_path(&names, from), to)

static void the_same_name_has_the_same_other_name(void **unused)
{
    (void)unused;
    assert_path("/home/anna/Letters", "/home/name1/name2");
    assert_path("/mnt/Letters/anna", "/mnt/name2/name1");
    assert_path("/mnt/Letters", "/mnt/name2");
    assert_path("relative/anna/", "name3/name1/");
    assert_path("/", "/");
    assert_path("", "");
}

static void what_every_system_has_stays(void **unused)
{
    (void)unused;
    static const char *const paths[] = {"/run/user/1000", "/dev/mapper/control", "/dev/sda1",
                                        "/dev/nvme0n1p2", "/dev/loop0p1",        "/x/../.",
                                        "/a//deleted"};
    assert_path(paths[0], paths[0]);
    assert_path(paths[1], paths[1]);
    assert_path(paths[2], paths[2]);
    assert_path(paths[3], paths[3]);
    assert_path(paths[4], paths[4]);
    assert_path(paths[5], "/name1/../.");
    assert_path(paths[6], "/name2//deleted");
    assert_path("/dev/zd16p1", "/dev/zd16p1");
    assert_path("/dev/rbd0", "/dev/rbd0");
    assert_path("/dev/ublkb0", "/dev/ublkb0");
    assert_path("/dev/sdaughter", "/dev/name3");
    assert_path("/dev/loop", "/dev/name4");
    assert_path("/run/user/10001", "/run/user/name5");
}

static void a_file_that_is_gone_is_said_to_be(void **unused)
{
    (void)unused;
    assert_path("/mnt/secret.img", "/mnt/name1");
    assert_path("/mnt/secret.img (deleted)", "/mnt/name1 (deleted)");
}

static void kept_names_are_kept(void **unused)
{
    (void)unused;
    names.keep = true;
    assert_path("/home/anna", "/home/anna");
    assert_string_equal(lethe_names_dm_uuid(&names, "CRYPT-LUKS2-12ab-home"),
                        "CRYPT-LUKS2-12ab-home");
}

static void a_uuid_is_cut_to_its_kind(void **unused)
{
    (void)unused;
    assert_string_equal(lethe_names_dm_uuid(&names, "CRYPT-LUKS2-12ab-home"), "CRYPT-LUKS2-");
    assert_string_equal(lethe_names_dm_uuid(&names, "CRYPT-PLAIN-swap"), "CRYPT-PLAIN-");
    assert_string_equal(lethe_names_dm_uuid(&names, "LVM-AbCd"), "LVM-");
    assert_string_equal(lethe_names_dm_uuid(&names, "CRYPT-mine-home"), "CRYPT-");
    assert_string_equal(lethe_names_dm_uuid(&names, "diary-of-anna"), "");
    assert_string_equal(lethe_names_dm_uuid(&names, "word"), "");
    assert_string_equal(lethe_names_dm_uuid(&names, ""), "");
}

static void a_fuse_program_is_not_named(void **unused)
{
    (void)unused;
    assert_string_equal(lethe_names_type(&names, "ext4"), "ext4");
    assert_string_equal(lethe_names_type(&names, "fuse.sshfs"), "fuse.sshfs");
    assert_string_equal(lethe_names_type(&names, "fuse.annas-vault"), "fuse.name1");
    assert_string_equal(lethe_names_type(&names, "fuseblk"), "fuseblk");
    assert_string_equal(lethe_names_type(&names, "fuseblk.annas-vault"), "fuseblk.name1");
}

static const char *options(const char *type, const char *text)
{
    const struct lethe_mount m = {.fstype = type, .source = "s", .super_options = text};
    return lethe_names_options(&names, &m);
}

static void options_hold_no_more_than_the_plan_needs(void **unused)
{
    (void)unused;
    assert_string_equal(options("cifs", "rw,username=anna,password=x"), "rw");
    assert_string_equal(options("tmpfs", "ro,size=5k,uid=1000"), "ro");
    assert_string_equal(options("aufs", "rw,si=4b66fdfd1e615a97,noxino"), "rw,si=4b66fdfd1e615a97");
    assert_string_equal(
        options("overlay", "rw,lowerdir=/a\\134:b:/c::/d,upperdir=/run/x\\040y,metacopy=on"),
        "rw,lowerdir=/name1:/name2::/name3,upperdir=/run/name4,metacopy=on");
    assert_path("/a:b", "/name1");
    assert_path("/x y", "/name4");
    assert_string_equal(options("overlay", "rw,lowerdir+=/a:b,datadir+=/c"),
                        "rw,lowerdir+=/name1,datadir+=/name2");
}

static void kept_options_are_escaped_again(void **unused)
{
    (void)unused;
    static const char text[] = "rw,lowerdir=/a\\134:b:/c\\134\\134d::/e\\054f,upperdir=/x\\040y";
    names.keep = true;
    assert_string_equal(options("overlay", text), text);
}

static void a_full_arena_is_told(void **unused)
{
    (void)unused;
    arena.size = arena.used;
    assert_null(lethe_names_path(&names, "/home/anna"));
    assert_null(options("overlay", "rw,lowerdir=/a"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_same_name_has_the_same_other_name),
        TEST(what_every_system_has_stays),
        TEST(a_file_that_is_gone_is_said_to_be),
        TEST(kept_names_are_kept),
        TEST(a_uuid_is_cut_to_its_kind),
        TEST(a_fuse_program_is_not_named),
        TEST(options_hold_no_more_than_the_plan_needs),
        TEST(kept_options_are_escaped_again),
        TEST(a_full_arena_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
