/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lethe/plan/roles.h"
#include "scene.h"

enum { MEDIUM_DISK, MEDIUM_PART, SQUASH, STORE_DISK, CRYPT, OTHER, N_BLOCKS };

/* A live system from a stick, its persistence on LUKS on another disk, and a disk nobody uses. */
static void tells_medium_from_persistence(void **unused)
{
    (void)unused;
    static const size_t on_store[] = {STORE_DISK};
    const struct lethe_block blocks[] = {
        BLOCK(8, 0, "sda", LETHE_BLOCK_PLAIN),
        BLOCK(8, 1, "sda1", LETHE_BLOCK_PLAIN, .disk = MEDIUM_DISK),
        BLOCK(7, 0, "loop0", LETHE_BLOCK_LOOP, .file = "/m/fs", .file_devno = {8, 1},
              .read_only = true),
        BLOCK(8, 16, "sdb", LETHE_BLOCK_PLAIN),
        BLOCK(254, 0, "dm-0", LETHE_BLOCK_CRYPT, .dm_name = "p", .slaves = on_store, .n_slaves = 1),
        BLOCK(8, 32, "sdc", LETHE_BLOCK_PLAIN),
    };
    enum lethe_role roles[N_BLOCKS];
    struct scene scene;
    scene_init(
        &scene,
        &(struct scene_input){
            .mountinfo = lethe_span(
                "1 0 0:9 / / rw - overlay o rw,lowerdir=/squash,upperdir=/rw/u,workdir=/rw/w\n"
                "2 1 8:1 / /m rw - vfat /dev/sda1 rw\n" /* the stick is mounted for writing */
                "3 1 7:0 / /squash ro - squashfs /dev/loop0 ro\n"
                "4 1 0:10 / /rw rw - tmpfs t rw\n"
                "5 1 254:0 / /p ro - ext4 /dev/mapper/p rw\n"),
            .blocks = blocks,
            .n_blocks = N_BLOCKS,
        });
    lethe_roles_find(&scene.snapshot, false, roles);
    assert_int_equal(roles[SQUASH], LETHE_ROLE_MEDIUM);
    assert_int_equal(roles[MEDIUM_PART], LETHE_ROLE_BOTH);
    assert_int_equal(roles[MEDIUM_DISK], LETHE_ROLE_BOTH);
    assert_int_equal(roles[CRYPT], LETHE_ROLE_PERSISTENCE);
    assert_int_equal(roles[STORE_DISK], LETHE_ROLE_PERSISTENCE);
    assert_int_equal(roles[OTHER], LETHE_ROLE_NONE);
    assert_string_equal(lethe_role_name(roles[OTHER]), "none");
    assert_string_equal(lethe_role_name(roles[CRYPT]), "persistence");
    assert_string_equal(lethe_role_name(roles[SQUASH]), "medium");
    assert_string_equal(lethe_role_name(roles[MEDIUM_DISK]), "both");
    scene_finish(&scene);
}

/* The initramfs of live-boot at the passphrase prompt: the image's loop is mounted, no union yet. A
 * loop that can be written to, and what is mounted without one, is no layer to be. */
static void layers_to_be_count_in_the_initramfs_only(void **unused)
{
    (void)unused;
    static const char mounts[] = "1 1 0:2 / / rw - rootfs rootfs rw\n"
                                 "2 1 8:0 / /run/live/medium ro - vfat /dev/sda ro\n"
                                 "3 1 7:0 / /run/live/rootfs ro - squashfs /dev/loop0 ro\n"
                                 "4 1 8:16 / /mnt ro - iso9660 /dev/sdb ro\n"
                                 "5 1 8:32 / /store rw - ext4 /dev/sdc rw\n"
                                 "6 1 7:1 / /more rw - ext4 /dev/loop1 rw\n";
    const struct lethe_block blocks[] = {
        BLOCK(8, 0, "sda", LETHE_BLOCK_PLAIN),
        BLOCK(7, 0, "loop0", LETHE_BLOCK_LOOP, .file = "/f", .file_devno = {8, 0},
              .read_only = true),
        BLOCK(8, 16, "sdb", LETHE_BLOCK_PLAIN),
        BLOCK(8, 32, "sdc", LETHE_BLOCK_PLAIN),
        BLOCK(7, 1, "loop1", LETHE_BLOCK_LOOP, .file = "/g", .file_devno = {8, 32}),
    };
    for (int early = 1; early >= 0; early--) {
        enum lethe_role roles[5];
        struct scene scene;
        char text[sizeof mounts];
        memcpy(text, mounts, sizeof mounts);
        if (!early)
            memcpy(strstr(text, "rootfs"), "others", 6);
        scene_init(&scene, &(struct scene_input){
                               .mountinfo = lethe_span(text), .blocks = blocks, .n_blocks = 5});
        lethe_roles_find(&scene.snapshot, false, roles);
        lethe_roles_add_layers_to_be(&scene.snapshot, roles);
        assert_int_equal(roles[0], early ? LETHE_ROLE_MEDIUM : LETHE_ROLE_NONE);
        assert_int_equal(roles[1], early ? LETHE_ROLE_MEDIUM : LETHE_ROLE_NONE);
        assert_int_equal(roles[2], LETHE_ROLE_NONE);
        assert_int_equal(roles[3], LETHE_ROLE_PERSISTENCE);
        scene_finish(&scene);
    }
}

/* Both layers of each union lie on the other: the walk must not try every way. */
static void unions_in_circles_end(void **unused)
{
    (void)unused;
    struct scene scene;
    scene_init(&scene,
               &(struct scene_input){
                   .mountinfo = lethe_span("1 0 0:9 / / rw - overlay o rw,lowerdir=/a/1:/a/2\n"
                                           "2 1 0:10 / /a rw - overlay o rw,lowerdir=/b/1:/b/2\n"
                                           "3 1 0:11 / /b rw - overlay o rw,lowerdir=/a/1:/a/2\n"),
               });
    assert_int_equal(lethe_roles_find(&scene.snapshot, false, NULL), LETHE_ORIGIN_SEEN);
    scene_finish(&scene);
}

/* Each lies on all the others: the walk must not try every way. */
static void devices_in_circles_end(void **unused)
{
    (void)unused;
    static const size_t all[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    struct lethe_block blocks[10];
    enum lethe_role roles[10];
    struct scene scene;
    for (unsigned i = 0; i < 9; i++)
        blocks[i] =
            (struct lethe_block)BLOCK(254, i, "dm-0", LETHE_BLOCK_DM, .disk = (i + 1) % 10,
                                      .slaves = all, .n_slaves = 10, .beside = all, .n_beside = 10);
    blocks[9] = (struct lethe_block)BLOCK(8, 0, "sda", LETHE_BLOCK_PLAIN);
    scene_init(&scene, &(struct scene_input){
                           .mountinfo = lethe_span("1 0 254:3 / / rw - ext4 /dev/dm-3 rw\n"),
                           .blocks = blocks,
                           .n_blocks = 10,
                       });
    lethe_roles_find(&scene.snapshot, false, roles);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(roles[i], LETHE_ROLE_PERSISTENCE);
    scene_finish(&scene);
}

static const struct lethe_block stick[] = {
    BLOCK(8, 0, "sda", LETHE_BLOCK_PLAIN),
    BLOCK(8, 1, "sda1", LETHE_BLOCK_PLAIN, .disk = 0),
    BLOCK(7, 0, "loop0", LETHE_BLOCK_LOOP, .file = "/stick/live.iso", .file_devno = {8, 1}),
    BLOCK(7, 1, "loop1", LETHE_BLOCK_LOOP, .file = "/iso/fs", .file_devno = {7, 0}),
    BLOCK(11, 0, "sr0", LETHE_BLOCK_PLAIN),
};
enum { STICK, STICK_PART, ISO, IN_ISO, DRIVE, N_STICK };

/* What the system runs from, `n` of the devices above (beginning with `first`) being there. */
static enum lethe_origin find_origin(const char *mountinfo, size_t first, size_t n,
                                     enum lethe_role *roles)
{
    struct scene scene;
    for (size_t i = 0; i < N_STICK; i++)
        roles[i] = LETHE_ROLE_NONE;
    scene_init(&scene, &(struct scene_input){.mountinfo = lethe_span(mountinfo),
                                             .blocks = stick + first,
                                             .n_blocks = n});
    enum lethe_origin origin = lethe_roles_find(&scene.snapshot, false, roles + first);
    scene_finish(&scene);
    return origin;
}

#define LIVE                                                                                       \
    "1 0 0:9 / / rw - overlay o rw,lowerdir=/squash,upperdir=/rw/u,workdir=/rw/w\n"                \
    "3 1 7:1 / /squash ro - squashfs /dev/loop1 ro\n"                                              \
    "4 1 0:10 / /rw rw - tmpfs t rw\n"

/* An ISO image on a stick; somebody has mounted a disc, and a stick for writing. */
static void the_origin_is_what_the_root_lies_on(void **unused)
{
    (void)unused;
    enum lethe_role roles[N_STICK];
    assert_int_equal(
        find_origin(LIVE "5 1 11:0 / /mnt ro - iso9660 /dev/sr0 ro\n", 0, N_STICK, roles),
        LETHE_ORIGIN_SEEN);
    assert_int_equal(roles[STICK], LETHE_ROLE_MEDIUM);
    assert_int_equal(roles[STICK_PART], LETHE_ROLE_MEDIUM);
    assert_int_equal(roles[ISO], LETHE_ROLE_MEDIUM);
    assert_int_equal(roles[IN_ISO], LETHE_ROLE_MEDIUM);
    assert_int_equal(roles[DRIVE], LETHE_ROLE_NONE);
}

static void an_origin_in_ram_is_no_device(void **unused)
{
    (void)unused;
    enum lethe_role roles[N_STICK];
    assert_int_equal(
        find_origin("1 0 0:9 / / rw - overlay o rw,lowerdir=/ram,upperdir=/rw/u,workdir=/rw/w\n"
                    "3 1 0:11 / /ram ro - tmpfs t ro\n"
                    "4 1 0:10 / /rw rw - tmpfs t rw\n"
                    "5 1 8:1 / /mnt ro - vfat /dev/sda1 ro\n",
                    0, N_STICK, roles),
        LETHE_ORIGIN_SEEN);
    for (size_t i = 0; i < N_STICK; i++)
        assert_int_equal(roles[i], LETHE_ROLE_NONE);
}

static void an_origin_that_has_gone_is_missed(void **unused)
{
    (void)unused;
    enum lethe_role roles[N_STICK];
    /* the loops are still there */
    assert_int_equal(find_origin(LIVE, ISO, 2, roles), LETHE_ORIGIN_GONE);
    assert_int_equal(roles[ISO], LETHE_ROLE_MEDIUM);
    assert_int_equal(find_origin("1 0 8:1 / / ro - squashfs /dev/sda1 ro\n", DRIVE, 1, roles),
                     LETHE_ORIGIN_GONE);
}

static void without_sysfs_nothing_has_gone(void **unused)
{
    (void)unused;
    enum lethe_role roles[N_STICK];
    assert_int_equal(find_origin(LIVE, 0, 0, roles), LETHE_ORIGIN_SEEN);
}

#define LOST "1 0 0:9 / / rw - overlay o rw,lowerdir=/fs,upperdir=/gone/u\n"

/* The layers were named in the initramfs: a disc that somebody has mounted is nobody's proof, a
 * loop in a file of a layer's name is. */
static void lost_layers_are_looked_for_among_loops(void **unused)
{
    (void)unused;
    enum lethe_role roles[N_STICK];
    const char *disc = LOST "5 1 11:0 / /cdrom ro - iso9660 /dev/sr0 ro\n";
    assert_int_equal(find_origin(disc, 0, N_STICK, roles), LETHE_ORIGIN_GUESSED);
    assert_int_equal(roles[STICK], LETHE_ROLE_MEDIUM);
    assert_int_equal(roles[IN_ISO], LETHE_ROLE_MEDIUM);
    assert_int_equal(roles[DRIVE], LETHE_ROLE_NONE);
    assert_int_equal(find_origin(disc, DRIVE, 1, roles), LETHE_ORIGIN_LOST);
    assert_int_equal(roles[DRIVE], LETHE_ROLE_NONE);
}

/* The stick with the image of a loop that nothing uses was pulled out: nothing says that the
 * system's medium was. */
static void a_guess_never_misses_anything(void **unused)
{
    (void)unused;
    enum lethe_role roles[N_STICK];
    assert_int_equal(find_origin(LOST, ISO, 2, roles), LETHE_ORIGIN_LOST);
    assert_int_equal(roles[ISO], LETHE_ROLE_NONE);
}

/* A copy of the layer in the initramfs's RAM; somebody's stick has an image on a loop. */
static void a_layer_on_no_disk_is_no_guess(void **unused)
{
    (void)unused;
    const char *const images[] = {"/m/my.iso", "/m/live/fs"};
    for (size_t i = 0; i < 2; i++) {
        const struct lethe_block blocks[] = {
            BLOCK(8, 0, "sda", LETHE_BLOCK_PLAIN),
            BLOCK(7, 0, "loop0", LETHE_BLOCK_LOOP, .file = images[i], .file_devno = {8, 0},
                  .read_only = true),
            BLOCK(7, 1, "loop1", LETHE_BLOCK_LOOP, .file = "/fs", .file_devno = {0, 2},
                  .read_only = true),
        };
        enum lethe_role roles[3];
        struct scene scene;
        scene_init(&scene, &(struct scene_input){
                               .mountinfo = lethe_span(LOST), .blocks = blocks, .n_blocks = 3});
        assert_int_equal(lethe_roles_find(&scene.snapshot, false, roles), LETHE_ORIGIN_LOST);
        assert_int_equal(roles[0], LETHE_ROLE_NONE);
        scene_finish(&scene);
    }
}

/* Loops of the same name on two disks. */
static void two_candidates_are_none(void **unused)
{
    (void)unused;
    const struct lethe_block blocks[] = {
        BLOCK(8, 0, "sda", LETHE_BLOCK_PLAIN),
        BLOCK(11, 0, "sr0", LETHE_BLOCK_PLAIN),
        BLOCK(7, 0, "loop0", LETHE_BLOCK_LOOP, .file = "/a/fs", .file_devno = {8, 0}),
        BLOCK(7, 1, "loop1", LETHE_BLOCK_LOOP, .file = "/b/fs", .file_devno = {11, 0}),
    };
    enum lethe_role roles[4];
    struct scene scene;
    scene_init(&scene, &(struct scene_input){
                           .mountinfo = lethe_span(LOST), .blocks = blocks, .n_blocks = 4});
    assert_int_equal(lethe_roles_find(&scene.snapshot, false, roles), LETHE_ORIGIN_LOST);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(roles[i], LETHE_ROLE_NONE);
    scene_finish(&scene);
}

/* One layer is seen, on sda. A lost one may lie on one disk more, but not on one of two. */
static void beside_a_layer_that_is_seen_one_disk_more_counts(void **unused)
{
    (void)unused;
    const struct lethe_block blocks[] = {
        BLOCK(8, 0, "sda", LETHE_BLOCK_PLAIN),
        BLOCK(8, 16, "sdb", LETHE_BLOCK_PLAIN),
        BLOCK(7, 0, "loop0", LETHE_BLOCK_LOOP, .file = "/b/fs", .file_devno = {8, 16}),
        BLOCK(8, 32, "sdc", LETHE_BLOCK_PLAIN),
        BLOCK(7, 1, "loop1", LETHE_BLOCK_LOOP, .file = "/c/fs", .file_devno = {8, 32}),
    };
    const char *mountinfo = "1 0 0:9 / / rw - overlay o rw,lowerdir=/fs:/seen,upperdir=/gone/u\n"
                            "3 1 8:0 / /seen ro - squashfs /dev/sda ro\n";
    for (size_t n = 3; n <= 5; n += 2) {
        enum lethe_role roles[5];
        struct scene scene;
        scene_init(&scene, &(struct scene_input){.mountinfo = lethe_span(mountinfo),
                                                 .blocks = blocks,
                                                 .n_blocks = n});
        assert_int_equal(lethe_roles_find(&scene.snapshot, false, roles), LETHE_ORIGIN_GUESSED);
        assert_int_equal(roles[0], LETHE_ROLE_MEDIUM);
        assert_int_equal(roles[1], n == 3 ? LETHE_ROLE_MEDIUM : LETHE_ROLE_NONE);
        scene_finish(&scene);
    }
}

/* dmsquash-live without overlayfs: a snapshot of a read-only image, what is written to it in RAM.
 */
static void the_base_of_a_snapshot_is_the_medium(void **unused)
{
    (void)unused;
    enum { DISC, IMAGE, COW, ROOT, N };
    static const size_t on[] = {IMAGE, COW};
    const struct lethe_block blocks[] = {
        [DISC] = BLOCK(11, 0, "sr0", LETHE_BLOCK_PLAIN),
        [IMAGE] = BLOCK(7, 0, "loop0", LETHE_BLOCK_LOOP, .file = "/m/img", .file_devno = {11, 0}),
        [COW] = BLOCK(7, 1, "loop1", LETHE_BLOCK_LOOP, .file = "/cow", .file_devno = {0, 2}),
        [ROOT] = BLOCK(253, 0, "dm-0", LETHE_BLOCK_DM, .slaves = on, .n_slaves = 2),
    };
    enum lethe_role roles[N];
    struct scene scene;
    scene_init(&scene, &(struct scene_input){
                           .mountinfo = lethe_span("1 0 253:0 / / rw - ext4 /dev/dm-0 rw\n"
                                                   "2 1 11:0 / /m ro - iso9660 /dev/sr0 ro\n"),
                           .blocks = blocks,
                           .n_blocks = N});
    assert_int_equal(lethe_roles_find(&scene.snapshot, false, roles), LETHE_ORIGIN_SEEN);
    assert_int_equal(roles[DISC], LETHE_ROLE_MEDIUM);
    assert_int_equal(roles[IMAGE], LETHE_ROLE_MEDIUM);
    assert_int_equal(roles[COW], LETHE_ROLE_NONE);
    assert_int_equal(roles[ROOT], LETHE_ROLE_NONE);
    scene_finish(&scene);
}

/* A container's layers, a snap's image and a disc that somebody has mounted. */
static void nothing_else_is_the_medium(void **unused)
{
    (void)unused;
    enum { STORE, SNAP, DISC, N };
    const struct lethe_block blocks[] = {
        [STORE] = BLOCK(8, 16, "sdb", LETHE_BLOCK_PLAIN),
        [SNAP] = BLOCK(7, 2, "loop2", LETHE_BLOCK_LOOP, .file = "/p/snap", .file_devno = {8, 16},
                       .read_only = true),
        [DISC] = BLOCK(11, 0, "sr0", LETHE_BLOCK_PLAIN),
    };
    enum lethe_role roles[N];
    struct scene scene;
    scene_init(&scene,
               &(struct scene_input){
                   .mountinfo = lethe_span(
                       "1 0 0:9 / / rw - tmpfs t rw\n"
                       "2 1 8:16 / /p rw - ext4 /dev/sdb rw\n"
                       "3 1 0:60 / /c rw - overlay o rw,lowerdir=/p/l,upperdir=/p/u,workdir=/p/w\n"
                       "4 1 7:2 / /snap ro - squashfs /dev/loop2 ro\n"
                       "5 1 11:0 / /dvd ro - iso9660 /dev/sr0 ro\n"),
                   .blocks = blocks,
                   .n_blocks = N});
    assert_int_equal(lethe_roles_find(&scene.snapshot, false, roles), LETHE_ORIGIN_SEEN);
    assert_int_equal(roles[STORE], LETHE_ROLE_PERSISTENCE);
    assert_int_equal(roles[SNAP], LETHE_ROLE_NONE);
    assert_int_equal(roles[DISC], LETHE_ROLE_NONE);
    scene_finish(&scene);
}

/* After the pivot. */
static void the_old_root_counts_where_the_root_is_lethes(void **unused)
{
    (void)unused;
    enum lethe_role roles[N_STICK] = {LETHE_ROLE_NONE};
    struct scene scene;
    scene_init(&scene, &(struct scene_input){
                           .mountinfo = lethe_span("1 0 0:9 / / rw - tmpfs lethe rw\n"
                                                   "2 1 8:1 / /oldroot ro - ext4 /dev/sda1 ro\n"),
                           .blocks = stick,
                           .n_blocks = N_STICK});
    lethe_roles_find(&scene.snapshot, true, roles);
    assert_int_equal(roles[STICK], LETHE_ROLE_MEDIUM);
    assert_int_equal(roles[DRIVE], LETHE_ROLE_NONE);
    scene_finish(&scene);
}

static void a_root_without_a_union_counts_when_it_is_read_only(void **unused)
{
    (void)unused;
    enum lethe_role roles[N_STICK];
    find_origin("1 0 8:1 / / ro - squashfs /dev/sda1 ro\n", 0, N_STICK, roles);
    assert_int_equal(roles[STICK], LETHE_ROLE_MEDIUM);
    find_origin("1 0 8:1 / / rw - ext4 /dev/sda1 rw,x\n", 0, N_STICK, roles);
    assert_int_equal(roles[STICK], LETHE_ROLE_PERSISTENCE);
    find_origin("", 0, N_STICK, roles);
    assert_int_equal(roles[STICK], LETHE_ROLE_NONE);
}

/* Porteus' layers and branch lie below /mnt/live once the root was changed. */
#define LAYER_MOVED_TO(path, branch)                                                               \
    "1 0 0:9 / / rw - overlay o rw,lowerdir=/memory/core,upperdir=/memory/changes/u,workdir="      \
    "/memory/changes/w\n"                                                                          \
    "2 1 8:1 / " path " ro - squashfs /dev/sda1 ro\n"                                              \
    "3 1 0:10 / " branch " rw - tmpfs t rw\n"

static void a_moved_layer_is_where_its_branch_is(void **unused)
{
    (void)unused;
    enum lethe_role roles[N_STICK];
    const enum lethe_origin origin = find_origin(
        LAYER_MOVED_TO("/mnt/live/memory/core", "/mnt/live/memory/changes"), 0, ISO, roles);
    assert_int_equal(origin, LETHE_ORIGIN_GUESSED);
    assert_int_equal(roles[STICK], LETHE_ROLE_MEDIUM);
    find_origin(LAYER_MOVED_TO("/media/stick/memory/core", "/mnt/live/memory/changes"), 0, ISO,
                roles);
    assert_int_equal(roles[STICK], LETHE_ROLE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_moved_layer_is_where_its_branch_is),
        cmocka_unit_test(the_origin_is_what_the_root_lies_on),
        cmocka_unit_test(an_origin_in_ram_is_no_device),
        cmocka_unit_test(an_origin_that_has_gone_is_missed),
        cmocka_unit_test(without_sysfs_nothing_has_gone),
        cmocka_unit_test(lost_layers_are_looked_for_among_loops),
        cmocka_unit_test(a_guess_never_misses_anything),
        cmocka_unit_test(a_layer_on_no_disk_is_no_guess),
        cmocka_unit_test(two_candidates_are_none),
        cmocka_unit_test(beside_a_layer_that_is_seen_one_disk_more_counts),
        cmocka_unit_test(the_base_of_a_snapshot_is_the_medium),
        cmocka_unit_test(nothing_else_is_the_medium),
        cmocka_unit_test(the_old_root_counts_where_the_root_is_lethes),
        cmocka_unit_test(a_root_without_a_union_counts_when_it_is_read_only),
        cmocka_unit_test(tells_medium_from_persistence),
        cmocka_unit_test(devices_in_circles_end),
        cmocka_unit_test(unions_in_circles_end),
        cmocka_unit_test(layers_to_be_count_in_the_initramfs_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
