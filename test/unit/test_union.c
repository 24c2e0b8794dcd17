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

#include "lethe/plan/union.h"
#include "scene.h"

#define OVERLAY(options)                                                                           \
    "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"                                                         \
    "2 1 0:2 / /rw rw - tmpfs tmpfs rw\n"                                                          \
    "3 1 0:3 / /u rw - overlay overlay " options "\n"

static void assert_branch(const struct lethe_union *u, size_t i, const char *path, bool writable)
{
    assert_true(i < u->n_branches);
    assert_string_equal(u->branches[i].path, path);
    assert_int_equal(u->branches[i].writable, writable);
}

static void overlay_of_live_boot(void **unused)
{
    (void)unused;
    struct scene scene;
    scene_init_text(&scene, OVERLAY("rw,lowerdir=/squash/,upperdir=/rw/upper,workdir=/rw/work,"
                                    "redirect_dir=on"));
    assert_int_equal(scene.snapshot.n_unions, 1);
    const struct lethe_union *u = scene.snapshot.unions;
    assert_int_equal(u->mount, 2);
    assert_int_equal(u->n_branches, 3);
    assert_branch(u, 0, "/squash/", false);
    assert_branch(u, 1, "/rw/upper", true);
    assert_branch(u, 2, "/rw/work", true);
    assert_int_equal(u->branches[0].mount, 0);
    assert_int_equal(u->branches[1].mount, 1);
    assert_int_equal(u->branches[2].mount, 1);
    scene_finish(&scene);
}

static void overlay_layers_may_be_many(void **unused)
{
    (void)unused;
    struct scene scene;
    scene_init_text(&scene, OVERLAY("ro,lowerdir=/a:/b:/c::/data1::/data2,metacopy=on"));
    const struct lethe_union *u = scene.snapshot.unions;
    assert_int_equal(u->n_branches, 5);
    assert_branch(u, 0, "/a", false);
    assert_branch(u, 2, "/c", false);
    assert_branch(u, 3, "/data1", false);
    assert_branch(u, 4, "/data2", false);
    scene_finish(&scene);
}

/* mount -o 'lowerdir=/l\:a:/l b\\,upperdir=/rw/u\,p' as the kernel writes it into mountinfo. */
static void overlay_escapes(void **unused)
{
    (void)unused;
    struct scene scene;
    scene_init_text(&scene,
                    OVERLAY("rw,lowerdir=/l\\134:a:/l\\040b\\134\\134:/c\\134\\134\\134:d:"
                            "/e\\054f\\075\\011g,upperdir=/rw/u\\134\\054p,workdir=/rw/w\\134:k"));
    const struct lethe_union *u = scene.snapshot.unions;
    assert_int_equal(u->n_branches, 6);
    assert_branch(u, 0, "/l:a", false);
    assert_branch(u, 1, "/l b\\", false);
    assert_branch(u, 2, "/c\\:d", false);
    assert_branch(u, 3, "/e,f=\tg", false);
    assert_branch(u, 4, "/rw/u,p", true);
    assert_branch(u, 5, "/rw/w:k", true);
    scene_finish(&scene);
}

static void overlay_of_linux_6_5(void **unused)
{
    (void)unused;
    struct scene scene;
    scene_init_text(&scene, OVERLAY("rw,lowerdir+=/a:b,lowerdir+=/c\\134\\040d,datadir+=/e,"
                                    "upperdir=/rw/u,workdir=/rw/w"));
    const struct lethe_union *u = scene.snapshot.unions;
    assert_int_equal(u->n_branches, 5);
    assert_branch(u, 0, "/a:b", false);
    assert_branch(u, 1, "/c\\ d", false);
    assert_branch(u, 2, "/e", false);
    scene_finish(&scene);
}

static void relative_layers_lead_nowhere(void **unused)
{
    (void)unused;
    struct scene scene;
    scene_init_text(&scene, OVERLAY("rw,lowerdir=lower,upperdir=rw/u,workdir=./w"));
    const struct lethe_union *u = scene.snapshot.unions;
    assert_int_equal(u->n_branches, 3);
    assert_branch(u, 0, "lower", false);
    assert_branch(u, 1, "rw/u", true);
    for (size_t i = 0; i < 3; i++)
        assert_true(u->branches[i].mount == LETHE_NONE);
    scene_finish(&scene);
}

static void untidy_paths_lead_to_their_mount(void **unused)
{
    (void)unused;
    struct scene scene;
    scene_init_text(&scene, OVERLAY("rw,lowerdir=//:/.,upperdir=/.//rw///u/,workdir=//rw/./w"));
    const struct lethe_union *u = scene.snapshot.unions;
    assert_int_equal(u->branches[0].mount, 0);
    assert_int_equal(u->branches[1].mount, 0);
    assert_int_equal(u->branches[2].mount, 1);
    assert_int_equal(u->branches[3].mount, 1);
    assert_string_equal(u->branches[2].path, "/.//rw///u/"); /* but is kept as it is */
    scene_finish(&scene);
}

static void options_that_say_nothing_are_no_branches(void **unused)
{
    (void)unused;
    static const char *const options[] = {
        "rw,lowerdir=,upperdir=,workdir=", "rw,lowerdir=::::", "rw,lowerdir", "rw,,,", "",
        "rw,xlowerdir=/a,upperdirs=/b"};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        char text[200];
        struct scene scene;
        snprintf(text, sizeof text, "1 0 0:3 / / rw - overlay overlay %s\n", options[i]);
        scene_init_text(&scene, text);
        assert_int_equal(scene.snapshot.n_unions, 1);
        assert_int_equal(scene.snapshot.unions[0].n_branches, 0);
        scene_finish(&scene);
    }
}

static void other_types_are_no_unions(void **unused)
{
    (void)unused;
    struct scene scene;
    scene_init_text(&scene, "1 0 0:3 / / rw - tmpfs overlay rw,lowerdir=/a,upperdir=/b\n");
    assert_int_equal(scene.snapshot.n_unions, 0);
    scene_finish(&scene);
}

static void five_hundred_layers_are_kept(void **unused)
{
    (void)unused;
    char text[8192];
    int n = snprintf(text, sizeof text, "1 0 0:3 / / rw - overlay overlay rw,lowerdir=/0");
    for (int i = 1; i < 500; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, ":/%d", i);
    struct scene scene;
    scene_init_text(&scene, text);
    assert_int_equal(scene.snapshot.unions[0].n_branches, 500);
    assert_branch(scene.snapshot.unions, 499, "/499", false);
    scene_finish(&scene);
}

/* A real kernel 6.1 with aufs said this. */
static const char aufs_mounts[] =
    "1 1 0:2 / / rw - rootfs rootfs rw,size=247268k,nr_inodes=61817\n"
    "16 1 0:14 / /live rw,relatime - tmpfs tmpfs rw\n"
    "17 16 7:0 / /live/rootfs ro,relatime - squashfs /dev/loop0 ro,errors=continue\n"
    "18 16 0:15 / /live/overlay rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "19 16 0:16 / /live/second rw,relatime - tmpfs tm\\040pfs rw\n"
    "20 1 0:17 / /mnt/u rw,noatime - aufs aufs rw,si=4b66fdfd1e615a97,noxino\n"
    "21 1 0:18 / /mnt/v rw,relatime - aufs aufs2 rw,si=4b66fdfd1e616a97\n";

static void aufs_tells_its_branches_in_sysfs(void **unused)
{
    (void)unused;
    static const struct scene_file files[] = {
        {"sys/fs/aufs/si_4b66fdfd1e615a97/br0", "/live/overlay=rw\n"},
        {"sys/fs/aufs/si_4b66fdfd1e615a97/br1", "/live/rootfs=rr+wh\n"},
        {"sys/fs/aufs/si_4b66fdfd1e615a97/brid0", "64\n"},
        {"sys/fs/aufs/si_4b66fdfd1e616a97/br0", "/live/second=rw+nolwh\n"},
        {"sys/fs/aufs/si_4b66fdfd1e616a97/br3", "/live/rootfs=ro\n"}, /* gaps are possible */
        {NULL, NULL},
    };
    struct scene scene;
    scene_init(&scene, &(struct scene_input){.mountinfo = lethe_span(aufs_mounts), .files = files});
    assert_int_equal(scene.snapshot.n_unions, 2);
    const struct lethe_union *u = scene.snapshot.unions;
    assert_int_equal(u[0].n_branches, 2);
    assert_branch(&u[0], 0, "/live/overlay", true);
    assert_branch(&u[0], 1, "/live/rootfs", false);
    assert_int_equal(scene.snapshot.mounts[u[0].branches[0].mount].id, 18);
    assert_int_equal(scene.snapshot.mounts[u[0].branches[1].mount].id, 17);
    assert_int_equal(u[1].n_branches, 2);
    assert_branch(&u[1], 0, "/live/second", true);
    assert_branch(&u[1], 1, "/live/rootfs", false);
    scene_finish(&scene);
}

static void aufs_without_sysfs_tells_them_in_its_options(void **unused)
{
    (void)unused;
    struct scene scene;
    scene_init_text(&scene,
                    "1 0 0:2 / / rw - aufs none rw,si=1,br:/a=rw+nolwh:/b=x=ro+wh:/c\\040d=rr\n");
    const struct lethe_union *u = scene.snapshot.unions;
    assert_int_equal(u->n_branches, 3);
    assert_branch(u, 0, "/a", true);
    assert_branch(u, 1, "/b=x", false);
    assert_branch(u, 2, "/c d", false);
    scene_finish(&scene);
}

static void aufs_holds_its_xino_file(void **unused)
{
    (void)unused;
    static const struct scene_file files[] = {
        {"sys/fs/aufs/si_1a/br0", "/rw1=rw\n"},
        {"sys/fs/aufs/si_1a/br1", "/rw2=rw+nolwh\n"},
        {"sys/fs/aufs/si_1a/xi_path", "/x/.aufs.xino\n"},
        {NULL, NULL},
    };
    struct scene scene;
    scene_init(&scene, &(struct scene_input){
                           .mountinfo = lethe_span("1 0 0:1 / / rw - proc a rw\n"
                                                   "2 1 0:2 / /x rw - tmpfs x rw\n"
                                                   "3 1 0:3 / /u rw - aufs none rw,si=1a\n"),
                           .files = files});
    assert_int_equal(scene.snapshot.unions[0].n_branches, 3);
    assert_true(scene.snapshot.unions[0].branches[1].writable);
    assert_int_equal(scene.snapshot.unions[0].branches[2].mount, 1);
    scene_finish(&scene);
}

/* Which branches a FUSE union has by this command line (its words end with '|'). */
static void assert_fuse(const char *type, const char *words, const char *expected)
{
    char mounts[400], text[1000] = "", command[400];
    snprintf(mounts, sizeof mounts, "1 0 0:1 / / rw - proc a rw\n2 1 0:2 / /m rw - %s /s1:/s2 rw\n",
             type);
    snprintf(command, sizeof command, "%s", words);
    const struct scene_file files[] = {{"daemon", command}, {NULL, NULL}};
    struct scene scene;
    scene_init(&scene, &(struct scene_input){.mountinfo = lethe_span(mounts), .files = files});
    assert_int_equal(scene.r, 0);
    assert_int_equal(scene.snapshot.n_unions, 1);
    for (size_t i = 0; i < scene.snapshot.unions[0].n_branches; i++) {
        const struct lethe_branch *b = &scene.snapshot.unions[0].branches[i];
        size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, "%s=%s ", b->path, b->writable ? "rw" : "ro");
    }
    assert_string_equal(text, expected);
    scene_finish(&scene);
}

static void fuse_unions_tell_their_branches_on_the_command_line(void **unused)
{
    (void)unused;
    assert_fuse(
        "fuse.fuse-overlayfs",
        "fuse-overlayfs|-o|lowerdir=/a\\,b:/c\\\\d\\054e,upperdir=/u:v|-oworkdir=/w,xattr|/m|",
        "/a,b=ro /c\\d,e=ro /u:v=rw /w=rw ");
    assert_fuse("fuse.unionfs", "/usr/bin/unionfs|-o|cow,x=/y|/rw=RW:/ro=RO:/none|/m|",
                "/rw=rw /ro=ro /none=ro ");
    assert_fuse("fuse.mergerfs", "mergerfs|/d1:/d2=NC,4G:/d3=RO|/m|-o|rw|",
                "/d1=rw /d2=rw /d3=ro ");
    assert_fuse("fuse.mergerfs", "mergerfs|/d1:/d2|m|", "/d1=rw /d2=rw ");
    assert_fuse("fuse.mergerfs", "mergerfs|/d1:/d2|/other|", "/s1=rw /s2=rw "); /* its source */
    assert_fuse("fuse.unionfs", "cat|/d1:/d2|/m|", "");
    assert_fuse("fuse.unionfs", "|", "");
}

static void an_odd_si_is_no_path(void **unused)
{
    (void)unused;
    static const struct scene_file files[] = {{"sys/fs/aufs/si_/../../../x/br0", "/a=rw"},
                                              {NULL, NULL}};
    struct scene scene;
    scene_init(&scene,
               &(struct scene_input){
                   .mountinfo = lethe_span("1 0 0:2 / / rw - aufs none rw,si=/../../../x\n"
                                           "2 1 0:3 / /a rw - aufs none rw,si=12345678901234567\n"
                                           "3 1 0:4 / /b rw - aufs none rw,si=,br:\n"),
                   .files = files});
    assert_int_equal(scene.snapshot.n_unions, 3);
    assert_int_equal(scene.snapshot.unions[0].n_branches, 0);
    assert_int_equal(scene.snapshot.unions[1].n_branches, 0);
    assert_int_equal(scene.snapshot.unions[2].n_branches, 0);
    scene_finish(&scene);
}

static void a_full_arena_is_told(void **unused)
{
    (void)unused;
    struct scene scene;
    scene_init_text(&scene, OVERLAY("rw,lowerdir=/a:/b:/c:/d:/e:/f:/g:/h:/i,upperdir=/rw/u"));
    const struct lethe_union_reader none = {0};
    int r = -ENOMEM;
    for (size_t size = 16; r; size += 16) {
        struct lethe_arena arena = heap_arena(size);
        assert_true(size < 4096);
        r = lethe_union_find_all(&scene.snapshot, &scene.tree, &arena, &none);
        assert_true(!r || r == -ENOMEM);
        free(arena.base);
    }
    scene_finish(&scene);
}

/* The initramfs had the branch at another place: below a directory that is "/" now, or not yet below
 * one. A mount of RAM whose path is only a part of the branch's is none. */
static void a_branch_is_found_where_it_was_moved(void **unused)
{
    (void)unused;
    static const struct {
        const char *upper, *mount;
        bool found;
    } cases[] = {{"/memory/changes/u", "/mnt/live/memory/changes", true},
                 {"/mnt-root/nix/.rw/store", "/nix/.rw", true},
                 {"/cow/upper", "/run", false},
                 {"/memory/changes/u", "/mnt/live/other", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[300];
        struct scene scene;
        snprintf(text, sizeof text,
                 "1 0 0:3 / / rw - overlay o rw,lowerdir=/l,upperdir=%s\n"
                 "2 1 0:2 / %s rw - tmpfs t rw\n",
                 cases[i].upper, cases[i].mount);
        scene_init_text(&scene, text);
        const struct lethe_branch *b = &scene.snapshot.unions[0].branches[1];
        assert_int_equal(b->is_moved, cases[i].found);
        assert_int_equal(b->mount == 1, cases[i].found);
        scene_finish(&scene);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overlay_of_live_boot),
        cmocka_unit_test(overlay_layers_may_be_many),
        cmocka_unit_test(overlay_escapes),
        cmocka_unit_test(overlay_of_linux_6_5),
        cmocka_unit_test(relative_layers_lead_nowhere),
        cmocka_unit_test(untidy_paths_lead_to_their_mount),
        cmocka_unit_test(options_that_say_nothing_are_no_branches),
        cmocka_unit_test(other_types_are_no_unions),
        cmocka_unit_test(five_hundred_layers_are_kept),
        cmocka_unit_test(aufs_tells_its_branches_in_sysfs),
        cmocka_unit_test(aufs_without_sysfs_tells_them_in_its_options),
        cmocka_unit_test(aufs_holds_its_xino_file),
        cmocka_unit_test(fuse_unions_tell_their_branches_on_the_command_line),
        cmocka_unit_test(an_odd_si_is_no_path),
        cmocka_unit_test(a_branch_is_found_where_it_was_moved),
        cmocka_unit_test(a_full_arena_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
