/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "invariants.h"
#include "scene.h"

static void set_scene(struct scene *scene, const char *mountinfo, const char *swaps,
                      const struct lethe_block *blocks, size_t n_blocks, bool own_root)
{
    scene_init(scene, &(struct scene_input){lethe_span(mountinfo), lethe_span(swaps), blocks,
                                            n_blocks, NULL});
    scene_plan(scene, own_root);
    assert_int_equal(scene->r, 0);
    const char *broken = invariants_broken(scene, own_root);
    if (broken)
        fail_msg("%s", broken);
}

/* The plan as text: verbs and names, one step a line. */
static void assert_plan(const struct scene *scene, const char *expected)
{
    char text[4096] = "", line[256];
    for (size_t i = 0; i < scene->plan.n_steps; i++) {
        size_t n = strlen(text);
        lethe_step_print(line, sizeof line, &scene->plan.steps[i], &scene->snapshot);
        *strrchr(line, '(') = '\0'; /* without the type and the blank before it */
        line[strlen(line) - 1] = '\0';
        snprintf(text + n, sizeof text - n, "%s\n", line);
    }
    assert_string_equal(text, expected);
}

static void children_go_before_their_parent(void **unused)
{
    (void)unused;
    struct scene scene;
    /* /z was moved: its path says nothing about what it lies on */
    set_scene(&scene,
              "10 12 0:4 / /z rw - proc c rw\n"
              "11 1 0:1 / / rw - proc a rw\n"
              "12 11 0:2 / /y rw - proc b rw\n"
              "13 10 0:3 / /a rw - proc d rw\n",
              "", NULL, 0, false);
    assert_plan(&scene, "unmount /a\nunmount /z\nunmount /y\nunmount /\n");
    scene_finish(&scene);
}

static void the_newest_goes_first(void **unused)
{
    (void)unused;
    struct scene scene;
    set_scene(&scene,
              "1 0 0:1 / / rw - proc a rw\n"
              "4 1 0:2 / /4 rw - proc a rw\n"
              "2 1 0:3 / /2 rw - proc a rw\n"
              "3 1 0:4 / /3 rw - proc a rw\n",
              "", NULL, 0, false);
    assert_plan(&scene, "unmount /3\nunmount /2\nunmount /4\nunmount /\n");
    scene_finish(&scene);
}

/* A disk's goes before all of them; what stands in the way of an erasure does too. */
static void views_go_last_and_together(void **unused)
{
    (void)unused;
    const struct lethe_block blocks[] = {BLOCK(254, 0, "dm-0", LETHE_BLOCK_CRYPT, .dm_name = "d")};
    struct scene scene;
    set_scene(&scene,
              "1 0 0:9 / / rw - overlay a rw\n"
              "2 1 0:2 / /p rw - proc b rw\n"
              "3 1 0:3 / /q rw - sysfs c rw\n"
              "4 2 0:2 / /p/1 rw - proc b rw\n"
              "5 3 0:3 / /q/1 rw - sysfs c rw\n"
              "6 2 0:2 / /p/2 rw - proc b rw\n"
              "7 3 0:3 / /q/2 rw - sysfs c rw\n"
              "8 2 254:0 / /p/d rw - ext4 /dev/dm-0 rw\n"
              "9 2 0:4 / /p/r rw - tmpfs r rw\n"
              "10 9 0:2 / /p/r rw - proc b rw\n",
              "", blocks, 1, false);
    assert_plan(&scene, "unmount /p/r\nerase /p/r\nunmount /p/d\nstop d\n"
                        "unmount /q/2\nunmount /q/1\n"
                        "unmount /p/r\nunmount /p/2\nunmount /p/1\n"
                        "unmount /q\nunmount /p\nunmount /\n");
    static const size_t together[] = {0, 0, 0, 0, 2, 0, 3, 0, 0, 2, 0, 0};
    for (size_t i = 0; i < scene.plan.n_steps; i++)
        assert_int_equal(scene.plan.steps[i].together, together[i]);
    scene_finish(&scene);
}

/* What is not known to be a view goes by itself, and nothing goes with a mount that hides what it
 * is on. */
static void what_is_no_view_goes_alone(void **unused)
{
    (void)unused;
    struct scene scene;
    set_scene(&scene,
              "1 0 0:1 / / rw - proc a rw\n"
              "2 1 0:2 / /p rw - proc b rw\n"
              "3 2 0:3 / /p/z rw - zfs pool/z rw\n"
              "4 2 0:5 / /p/f rw - fuse.sshfs f rw\n"
              "5 2 0:6 mnt:[4026532200] /p/n rw - nsfs nsfs rw\n"
              "6 1 0:2 / /q rw - proc b rw\n"
              "7 6 0:2 / /q rw - proc b rw\n"
              "8 6 0:2 / /q/1 rw - proc b rw\n",
              "", NULL, 0, false);
    assert_plan(&scene, "unmount /p/n\nunmount /p/f\nunmount /p/z\nunmount /q\nunmount /q/1\n"
                        "unmount /q\nunmount /p\nunmount /\n");
    static const size_t together[] = {0, 0, 0, 0, 1, 2, 0, 0};
    for (size_t i = 0; i < scene.plan.n_steps; i++)
        assert_int_equal(scene.plan.steps[i].together, together[i]);
    scene_finish(&scene);
}

static void ram_is_erased_before_anything_is_unmounted(void **unused)
{
    (void)unused;
    struct scene scene;
    set_scene(&scene,
              "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
              "2 1 0:2 / /run rw - tmpfs a rw\n"
              "3 1 0:3 / /ro ro - ramfs b ro\n"
              "4 1 0:4 / /p rw - proc b ro\n"
              "5 2 0:2 /x /y rw - tmpfs a rw\n", /* the same file system as /run */
              "", NULL, 0, false);
    assert_plan(&scene, "erase /ro\nerase /run\nunmount /y\nunmount /p\nunmount /ro\nunmount "
                        "/run\nunmount /\n");
    scene_finish(&scene);
}

static void its_own_root_stays(void **unused)
{
    (void)unused;
    struct scene scene;
    set_scene(&scene,
              "1 0 0:9 / / rw - tmpfs lethe rw\n"
              "2 1 0:10 / /proc rw - proc proc rw\n"
              "3 1 0:11 / /sys rw - sysfs sysfs rw\n"
              "4 1 0:5 / /dev rw - devtmpfs devtmpfs rw\n"
              "5 1 0:20 / /oldroot rw - ext4 x rw\n"
              "6 5 0:9 / /oldroot/run/initramfs rw - tmpfs lethe rw\n"
              "7 4 0:12 / /dev/pts rw - devpts devpts rw\n",
              "", NULL, 0, true);
    assert_plan(&scene, "erase /dev\nunmount /oldroot/run/initramfs\nunmount /oldroot\nunmount "
                        "/dev/pts\n");
    scene_finish(&scene);
    set_scene(&scene, "1 0 0:9 / / rw - tmpfs lethe rw\n", "", NULL, 0, false);
    assert_plan(&scene, "erase /\nunmount /\n");
    scene_finish(&scene);
}

static void a_cover_goes_before_what_it_hides(void **unused)
{
    (void)unused;
    struct scene scene;
    set_scene(&scene,
              "1 0 0:1 / / rw - proc a rw\n"
              "2 1 0:2 / /a rw - tmpfs below rw\n"
              "3 2 0:3 / /a rw - proc above rw\n",
              "", NULL, 0, false);
    assert_plan(&scene, "unmount /a\nerase /a\nunmount /a\nunmount /\n");
    scene_finish(&scene);
}

/* The cover was moved there and is older than what it hides. */
static void an_old_cover_goes_before_a_new_mount(void **unused)
{
    (void)unused;
    struct scene scene;
    set_scene(&scene,
              "1 0 0:1 / / rw - proc a rw\n"
              "2 1 0:3 / /a rw - proc cover rw\n"
              "3 1 0:2 / /a/b rw - proc hidden rw\n"
              "4 3 0:4 / /a/b/c rw - tmpfs hidden rw\n",
              "", NULL, 0, false);
    assert_plan(&scene, "unmount /a\nerase /a/b/c\nunmount /a/b/c\nunmount /a/b\nunmount /\n");
    scene_finish(&scene);
}

/* Each of the covers alone would keep a look-up from what lies below. */
static void all_covers_go_first(void **unused)
{
    (void)unused;
    struct scene scene;
    set_scene(&scene,
              "1 0 0:1 / / rw - proc a rw\n"
              "2 1 0:2 / /a/b/c rw - tmpfs hidden rw\n"
              "3 1 0:3 / /a/b rw - proc inner rw\n"
              "4 1 0:4 / /a rw - proc outer rw\n"
              "5 4 0:5 / /a rw - proc top rw\n",
              "", NULL, 0, false);
    assert_plan(&scene, "unmount /a\nunmount /a\nunmount /a/b\nerase /a/b/c\nunmount "
                        "/a/b/c\nunmount /\n");
    scene_finish(&scene);
}

static void rootfs_is_its_own_parent(void **unused)
{
    (void)unused;
    struct scene scene;
    set_scene(&scene,
              "1 1 0:2 / / rw - rootfs rootfs rw\n"
              "2 1 0:3 / /x rw - proc x rw\n"
              "3 1 0:4 / / rw - tmpfs t rw\n"
              "4 3 0:5 / /x rw - proc x rw\n",
              "", NULL, 0, false);
    assert_plan(&scene, "erase /\nunmount /x\nunmount /\nerase /\nunmount /x\nunmount /\n");
    scene_finish(&scene);
}

/* A forged one may lie where its children do. */
static void what_is_its_own_parent_is_no_brother(void **unused)
{
    (void)unused;
    struct scene scene;
    set_scene(&scene,
              "3 1 0:3 / / rw - zfs c rw\n"
              "2 1 0:2 / /r rw - zfs b rw\n"
              "1 1 0:1 / /r rw - zfs a rw\n",
              "", NULL, 0, false);
    assert_plan(&scene, "unmount /\nunmount /r\nunmount /r\n");
    scene_finish(&scene);
}

static void ram_is_erased_where_it_is_in_the_open(void **unused)
{
    (void)unused;
    struct scene scene;
    set_scene(&scene,
              "1 0 0:1 / / rw - proc a rw\n"
              "2 1 0:2 / /a/hidden rw - tmpfs t rw\n"
              "3 1 0:3 / /a rw - proc cover rw\n"
              "4 1 0:2 /part /part rw - tmpfs t rw\n"
              "5 1 0:2 / /open rw - tmpfs t rw\n",
              "", NULL, 0, false);
    assert_int_equal(scene_step(&scene, LETHE_STEP_ERASE, 4), 0);
    scene_finish(&scene);
}

static void a_union_goes_before_its_branches(void **unused)
{
    (void)unused;
    struct scene scene;
    set_scene(&scene,
              "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
              "2 1 0:2 / /u rw - overlay o rw,lowerdir=/l1/x:/l2,upperdir=/b/rw,workdir=/b/work\n"
              "3 1 0:3 / /l1 rw - squashfs l1 ro\n"
              "4 1 0:4 / /l2 rw - squashfs l2 ro\n"
              "5 1 0:5 / /b rw - tmpfs b rw\n",
              "", NULL, 0, false);
    assert_plan(&scene, "erase /b\nunmount /u\nunmount /l2\nunmount /l1\nunmount /b\nunmount /\n");
    scene_finish(&scene);
}

static void nested_unions_go_from_the_top(void **unused)
{
    (void)unused;
    struct scene scene;
    set_scene(&scene,
              "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
              "2 1 0:2 / /top rw - overlay o rw,lowerdir=/mid/x,upperdir=/b/2,workdir=/b/w2\n"
              "3 1 0:3 / /mid rw - overlay o rw,lowerdir=/low,upperdir=/b/1,workdir=/b/w1\n"
              "4 1 0:4 / /low rw - squashfs s ro\n"
              "5 1 0:5 / /b rw - tmpfs b rw\n",
              "", NULL, 0, false);
    assert_plan(&scene,
                "erase /b\nunmount /top\nunmount /mid\nunmount /low\nunmount /b\nunmount /\n");
    scene_finish(&scene);
}

/* ext4 and swap on LUKS on LVM on RAID1 on two partitions. */
static void storage_goes_from_the_top(void **unused)
{
    (void)unused;
    enum { SDA1, SDB1, MD, LV, LUKS, SWAP, SDA };
    static const size_t parts[] = {SDA1, SDB1}, md[] = {MD}, lv[] = {LV};
    const struct lethe_block blocks[] = {
        BLOCK(8, 1, "sda1", LETHE_BLOCK_PLAIN, .disk = SDA),
        BLOCK(8, 17, "sdb1", LETHE_BLOCK_PLAIN),
        BLOCK(9, 0, "md0", LETHE_BLOCK_MD, .slaves = parts, .n_slaves = 2),
        BLOCK(254, 0, "dm-0", LETHE_BLOCK_DM, .slaves = md, .n_slaves = 1),
        BLOCK(254, 1, "dm-1", LETHE_BLOCK_CRYPT, .slaves = lv, .n_slaves = 1),
        BLOCK(254, 2, "dm-2", LETHE_BLOCK_CRYPT, .slaves = lv, .n_slaves = 1),
        BLOCK(8, 0, "sda", LETHE_BLOCK_PLAIN),
    };
    struct scene scene;
    set_scene(&scene,
              "1 0 0:1 / / rw - proc a rw\n"
              "2 1 254:1 / /home rw - ext4 /dev/mapper/home rw\n"
              "3 1 254:1 /x /bind rw - ext4 /dev/mapper/home rw\n",
              "/dev/dm-2 partition 1 0 0\n", blocks, 7, false);
    assert_plan(&scene,
                "swapoff /dev/dm-2\nunmount /bind\nunmount /home\nstop dm-2\nstop dm-1\nstop dm-0\n"
                "stop md0\nunmount /\n");
    scene_finish(&scene);
}

/* A loop keeps the mount below it for so long that its other device would be free before it. */
static void a_mount_goes_before_all_of_its_devices(void **unused)
{
    (void)unused;
    static const size_t second[] = {2};
    const struct lethe_block blocks[] = {
        BLOCK(7, 0, "loop0", LETHE_BLOCK_LOOP, .file = "/raid/f", .file_devno = {0, 3}),
        BLOCK(254, 0, "dm-0", LETHE_BLOCK_CRYPT, .beside = second, .n_beside = 1),
        BLOCK(254, 1, "dm-1", LETHE_BLOCK_CRYPT),
    };
    struct scene scene;
    set_scene(&scene,
              "1 0 0:1 / / rw - proc a rw\n"
              "2 1 7:0 / /m rw - ext4 /dev/loop0 rw\n"
              "3 1 0:3 / /raid rw - btrfs /dev/dm-0 rw\n",
              "", blocks, 3, false);
    assert_plan(&scene, "unmount /m\nstop loop0\nunmount /raid\nstop dm-1\nstop dm-0\nunmount /\n");
    size_t on = 0;
    for (size_t i = 0; i < scene.plan.n_edges; i++)
        on += scene.plan.edges[i].why == LETHE_WHY_ON_DEVICE && scene.plan.edges[i].before == 2;
    assert_int_equal(on, 2);
    scene_finish(&scene);
}

/* As it is with the second device of an f2fs. The ramdisk is in use by nobody at all. */
static void a_mount_goes_before_what_it_may_lie_on_too(void **unused)
{
    (void)unused;
    const struct lethe_block blocks[] = {
        BLOCK(1, 0, "ram0", LETHE_BLOCK_BRD),
        BLOCK(7, 0, "loop0", LETHE_BLOCK_LOOP, .file = "/two/f", .file_devno = {254, 0}),
        BLOCK(254, 0, "dm-0", LETHE_BLOCK_CRYPT),
        BLOCK(254, 1, "dm-1", LETHE_BLOCK_CRYPT),
    };
    struct scene scene;
    set_scene(&scene,
              "1 0 0:1 / / rw - proc a rw\n"
              "2 1 7:0 / /m rw - ext4 /dev/loop0 rw\n"
              "3 1 254:0 / /two rw - f2fs /dev/dm-0 rw\n",
              "", blocks, 4, false);
    assert_plan(
        &scene,
        "unmount /m\nstop loop0\nunmount /two\nstop dm-1\nstop dm-0\nerase ram0\nunmount /\n");
    scene_finish(&scene);
}

static void a_partition_of_a_loop_goes_before_it(void **unused)
{
    (void)unused;
    const struct lethe_block blocks[] = {
        BLOCK(7, 0, "loop0", LETHE_BLOCK_LOOP, .file = "/img"),
        BLOCK(259, 0, "loop0p1", LETHE_BLOCK_PLAIN, .disk = 0),
    };
    struct scene scene;
    set_scene(&scene,
              "1 0 0:1 / / rw - proc a rw\n"
              "2 1 259:0 / /a rw - ext4 /dev/loop0p1 rw\n",
              "", blocks, 2, false);
    assert_plan(&scene, "unmount /a\nstop loop0\nunmount /\n");
    scene_finish(&scene);
}

static void what_lies_in_a_file_goes_before_its_host(void **unused)
{
    (void)unused;
    const struct lethe_block blocks[] = {
        BLOCK(7, 0, "loop0", LETHE_BLOCK_LOOP, .file = "/iso/fs", .file_devno = {0, 3}),
        BLOCK(7, 1, "loop1", LETHE_BLOCK_LOOP, .file = ""), /* not bound to a file */
    };
    struct scene scene;
    set_scene(&scene,
              "1 0 0:1 / / rw - proc a rw\n"
              "2 1 7:0 / /squash ro - squashfs /dev/loop0 ro\n"
              "3 1 0:3 / /iso rw - ntfs x rw\n"
              "4 1 0:4 / /ram rw - tmpfs x rw\n",
              "/ram/swap file 1 0 0\n", blocks, 2, false);
    assert_plan(&scene, "swapoff /ram/swap\nerase /ram\nunmount /squash\nstop loop0\nunmount /iso\n"
                        "unmount /ram\nunmount /\n");
    scene_finish(&scene);
}

static void zram_is_reset_after_the_swap_on_it(void **unused)
{
    (void)unused;
    const struct lethe_block blocks[] = {BLOCK(252, 0, "zram0", LETHE_BLOCK_ZRAM, .file = "")};
    struct scene scene;
    set_scene(&scene, "1 0 0:1 / / rw - proc a rw\n",
              "Filename Type\n/dev/zram0 partition 16380 6912 -2\n", blocks, 1, false);
    assert_plan(&scene, "swapoff /dev/zram0\nstop zram0\nunmount /\n");
    scene_finish(&scene);
}

static void ram_is_erased_after_the_loop_in_it(void **unused)
{
    (void)unused;
    const struct lethe_block blocks[] = {
        BLOCK(7, 0, "loop0", LETHE_BLOCK_LOOP, .file = "/ram/f", .file_devno = {0, 3}),
    };
    struct scene scene;
    set_scene(&scene,
              "1 0 0:1 / / rw - proc a rw\n"
              "2 1 7:0 / /m rw - ext4 /dev/loop0 rw\n"
              "3 1 0:3 / /ram rw - tmpfs x rw\n",
              "", blocks, 1, false);
    assert_plan(&scene, "unmount /m\nstop loop0\nerase /ram\nunmount /ram\nunmount /\n");
    scene_finish(&scene);
}

/* What every live system looks like as long as its branch is mounted inside the union: what lies
 * on a union goes before it, whoever holds the layer. */
static void a_branch_inside_its_union_is_no_cycle(void **unused)
{
    (void)unused;
    struct scene scene;
    set_scene(&scene,
              "1 0 0:1 / / rw - overlay o rw,lowerdir=/l,upperdir=/run/b/u,workdir=/run/b/w\n"
              "2 1 0:2 / /run rw - tmpfs run rw\n"
              "3 2 0:3 / /run/b rw - tmpfs b rw\n"
              "4 1 0:4 / /other rw - proc b rw\n",
              "", NULL, 0, false);
    assert_plan(&scene, "erase /run/b\nerase /run\nunmount /run/b\nunmount /other\nunmount "
                        "/run\nunmount /\n");
    scene_finish(&scene);
}

/* The union holds its image's loop, and that the mount its file is in, which lies on the union. The
 * deepest mount goes, and the step names the others. */
static void an_image_inside_its_union_is_a_cycle(void **unused)
{
    (void)unused;
    enum { ROOT = 3, MEDIUM = 1, IMAGE = 1 };
    const struct lethe_block blocks[] = {
        BLOCK(8, 0, "sda", LETHE_BLOCK_PLAIN),
        BLOCK(7, 0, "loop0", LETHE_BLOCK_LOOP, .file = "/m/fs", .file_devno = {8, 0}),
    };
    struct scene scene;
    set_scene(&scene,
              "2 5 0:2 / /run rw - proc x rw\n"
              "3 2 8:0 / /run/m ro - iso9660 /dev/sda ro\n"
              "4 2 7:0 / /run/fs ro - squashfs /dev/loop0 ro\n"
              "5 1 0:1 / / rw - overlay o rw,lowerdir=/run/fs\n",
              "", blocks, 2, false);
    assert_plan(&scene, "unmount /run/fs\ndetach /run/m\nunmount /run\nunmount /\nstop loop0\n");
    const struct lethe_cycle *cycle = scene.plan.cycles;
    bool root = false, image = false, itself = false;
    assert_non_null(cycle);
    assert_null(cycle->next);
    assert_int_equal(cycle->step, scene_step(&scene, LETHE_STEP_UNMOUNT, MEDIUM));
    for (size_t i = 0; i < cycle->n; i++) {
        root = root || cycle->nodes[i] == ROOT;
        image = image || cycle->nodes[i] == scene.snapshot.n_mounts + IMAGE;
        itself = itself || cycle->nodes[i] == MEDIUM;
    }
    assert_true(root && image && !itself);
    scene_finish(&scene);
}

/* A live system in RAM: its image is a file on a tmpfs that is mounted inside the system. */
static void ram_in_a_cycle_is_erased_before_it_is_detached(void **unused)
{
    (void)unused;
    const struct lethe_block blocks[] = {
        BLOCK(7, 0, "loop0", LETHE_BLOCK_LOOP, .file = "/ram/f", .file_devno = {0, 3}),
    };
    struct scene scene;
    set_scene(&scene,
              "1 0 7:0 / / rw - ext4 /dev/loop0 rw\n"
              "2 1 0:3 / /ram rw - tmpfs x rw\n",
              "", blocks, 1, false);
    size_t erase = scene_step(&scene, LETHE_STEP_ERASE, 1);
    assert_true(erase < scene_step(&scene, LETHE_STEP_UNMOUNT, 0));
    assert_true(erase < scene_step(&scene, LETHE_STEP_UNMOUNT, 1));
    scene_finish(&scene);
}

/* Each union lies on the one before, and the first on all of them: a circle through each. */
static void a_great_many_circles_are_broken_in_time(void **unused)
{
    (void)unused;
    enum { N = 150000 };
    static struct lethe_mount mounts[N];
    static struct lethe_branch branches[N], all[N];
    static struct lethe_union unions[N];
    static char paths[N][8];
    struct lethe_snapshot s = {.mounts = mounts, .n_mounts = N, .unions = unions, .n_unions = N};
    struct lethe_arena arena = heap_arena((size_t)256 << 20);
    const struct lethe_plan_options options = {0};
    struct lethe_plan plan;
    for (unsigned i = 0; i < N; i++) {
        snprintf(paths[i], sizeof paths[i], "/%u", i);
        mounts[i] = (struct lethe_mount){.id = i + 2,
                                         .parent = 1,
                                         .devno = {0, i + 1},
                                         .path = paths[i],
                                         .root = "/",
                                         .fstype = "overlay",
                                         .source = "o",
                                         .super_options = "rw",
                                         .device = LETHE_NONE};
        all[i] = (struct lethe_branch){"/", false, i, false};
        branches[i] = (struct lethe_branch){"/", false, i - 1, false};
        unions[i] = (struct lethe_union){i, &branches[i], 1};
    }
    unions[0] = (struct lethe_union){0, all, N};
    alarm(60);
    assert_int_equal(lethe_plan_make(&plan, &s, &options, &arena), 0);
    alarm(0);
    assert_int_equal(plan.n_steps, N);
    free(arena.base);
}

/* Only what is in the circle is detached; what waits for it has its turn when it is broken. */
static void what_waits_for_a_cycle_is_not_lazy(void **unused)
{
    (void)unused;
    struct scene scene;
    set_scene(&scene,
              "1 0 0:1 / / rw - proc a rw\n"
              "2 3 0:2 / /a rw - proc a rw\n"
              "3 2 0:3 / /b rw - proc b rw\n"
              "4 1 0:4 / /u rw - overlay o rw,lowerdir=/l\n"
              "5 1 0:5 / /l rw - squashfs l rw\n"
              "6 5 0:6 / /l/in rw - proc l rw\n",
              "", NULL, 0, false);
    size_t lazy = 0;
    for (size_t i = 0; i < scene.plan.n_steps; i++)
        lazy += scene.plan.steps[i].lazy;
    assert_int_equal(lazy, 1);
    scene_finish(&scene);
}

/* Only binds of two directories and of a file that is gone are left of the tmpfs. */
static void each_part_that_is_shown_is_erased(void **unused)
{
    (void)unused;
    struct scene scene;
    set_scene(&scene,
              "1 0 0:1 / / rw - proc a rw\n"
              "2 1 0:2 /d /d1 rw - tmpfs t rw\n"
              "3 1 0:2 /d /d2 rw - tmpfs t rw\n"
              "4 1 0:2 /d/in /in rw - tmpfs t rw\n"
              "5 1 0:2 /d-2 /other rw - tmpfs t rw\n"
              "6 1 0:2 /d/file//deleted /file rw - tmpfs t rw\n",
              "", NULL, 0, false);
    assert_plan(&scene, "erase /file\nerase /other\nerase /d2\nunmount /file\nunmount "
                        "/other\nunmount /in\nunmount /d2\nunmount /d1\nunmount /\n");
    assert_non_null(strstr(scene.plan.steps[0].reason, "no mount shows more"));
    scene_finish(&scene);
}

static void a_ramdisk_is_erased_when_nothing_is_on_it(void **unused)
{
    (void)unused;
    static const size_t below[] = {0};
    const struct lethe_block blocks[] = {
        BLOCK(1, 0, "ram0", LETHE_BLOCK_BRD),
        BLOCK(254, 0, "dm-0", LETHE_BLOCK_DM, .slaves = below, .n_slaves = 1),
    };
    struct scene scene;
    set_scene(&scene,
              "1 0 0:1 / / rw - proc a rw\n"
              "2 1 254:0 / /b rw - ext4 /dev/dm-0 rw\n"
              "3 1 0:2 / /u rw - overlay o rw,lowerdir=/l,upperdir=/b/u,workdir=/b/w\n",
              "", blocks, 2, false);
    size_t n = scene.plan.n_steps;
    assert_int_equal(scene_step(&scene, LETHE_STEP_ERASE_DEVICE, 0), n - 2);
    assert_int_equal(scene_step(&scene, LETHE_STEP_STOP, 1), n - 3);
    assert_non_null(
        strstr(scene.plan.steps[scene_step(&scene, LETHE_STEP_UNMOUNT, 1)].reason, "is RAM"));
    scene_finish(&scene);
}

static void a_branch_on_a_disk_is_never_zeroed(void **unused)
{
    (void)unused;
    const struct lethe_block blocks[] = {BLOCK(8, 1, "sda1", LETHE_BLOCK_PLAIN)};
    struct scene scene;
    set_scene(&scene,
              "1 0 0:1 / / rw - proc a rw\n"
              "2 1 0:3 / /u rw - overlay o rw,lowerdir=/l,upperdir=/b/u,workdir=/b/w\n"
              "3 1 8:1 / /b rw - ext4 /dev/sda1 rw\n",
              "", blocks, 1, false);
    assert_plan(&scene, "unmount /u\nunmount /b\nunmount /\n");
    assert_non_null(strstr(scene.plan.steps[1].reason, "never zeroed"));
    scene_finish(&scene);
}

/* The layer's path leads nowhere any more, and so to /run. The union waits for the loop in it, but
 * its medium waits for the union. */
static void a_union_goes_before_devices_that_no_path_leads_to(void **unused)
{
    (void)unused;
    const struct lethe_block blocks[] = {
        BLOCK(7, 0, "loop0", LETHE_BLOCK_LOOP, .file = "/u/f", .file_devno = {0, 3}),
        BLOCK(254, 0, "dm-0", LETHE_BLOCK_DM, .dm_name = "medium"),
    };
    struct scene scene;
    set_scene(&scene,
              "1 0 0:1 / / rw - proc a rw\n"
              "2 1 0:2 / /run rw - tmpfs r rw\n"
              "3 1 0:3 / /u rw - overlay o rw,lowerdir=/run/gone,upperdir=/run/u,workdir=/run/w\n"
              "4 1 7:0 / /m rw - ext4 /dev/loop0 rw\n",
              "", blocks, 2, false);
    assert_plan(&scene,
                "unmount /m\nstop loop0\nerase /run\nunmount /u\nstop medium\nunmount /run\n"
                "unmount /\n");
    scene_finish(&scene);
}

/* A container in a file on a disk that is mounted in the union: no circle, whatever is known of the
 * layers. */
static void what_lies_in_a_union_goes_before_it(void **unused)
{
    (void)unused;
    static const size_t below[] = {1};
    const struct lethe_block blocks[] = {
        BLOCK(8, 1, "sda1", LETHE_BLOCK_PLAIN),
        BLOCK(7, 0, "loop0", LETHE_BLOCK_LOOP, .file = "/d/f", .file_devno = {8, 1}),
        BLOCK(254, 0, "dm-0", LETHE_BLOCK_CRYPT, .dm_name = "home", .slaves = below, .n_slaves = 1),
    };
    struct scene scene;
    set_scene(&scene,
              "1 0 0:1 / / rw - overlay o rw,lowerdir=/gone/l,upperdir=/gone/u,workdir=/gone/w\n"
              "2 1 8:1 / /d rw - ext4 /dev/sda1 rw\n"
              "3 1 254:0 / /home rw - ext4 /dev/mapper/home rw\n",
              "", blocks, 3, false);
    assert_plan(&scene, "unmount /home\nstop home\nstop loop0\nunmount /d\nunmount /\n");
    for (size_t i = 0; i < scene.plan.n_steps; i++)
        assert_false(scene.plan.steps[i].lazy);
    scene_finish(&scene);
}

static void a_kept_namespace_goes_before_every_device(void **unused)
{
    (void)unused;
    const struct lethe_block blocks[] = {BLOCK(254, 0, "dm-0", LETHE_BLOCK_CRYPT)};
    struct scene scene;
    set_scene(&scene,
              "1 0 0:1 / / rw - proc a rw\n"
              "2 1 0:4 mnt:[4026532200] /run/ns/x rw - nsfs nsfs rw\n"
              "3 1 0:4 net:[4026532300] /run/netns/y rw - nsfs nsfs rw\n",
              "", blocks, 1, false);
    size_t kept = scene_step(&scene, LETHE_STEP_UNMOUNT, 1);
    assert_non_null(strstr(scene.plan.steps[kept].reason, "keeps a mount namespace"));
    bool found = false;
    for (size_t i = 0; i < scene.plan.n_edges; i++) {
        const struct lethe_edge *e = &scene.plan.edges[i];
        struct lethe_node after = lethe_plan_node(&scene.snapshot, e->after);
        found = found || (e->before == 1 && after.kind == LETHE_NODE_HOLDERS_GONE);
        assert_true(e->before != 2 || after.kind != LETHE_NODE_HOLDERS_GONE);
    }
    assert_true(found);
    scene_finish(&scene);
}

/* Each edge of the graph is kept by the steps, unless what comes too early is lazy. */
static void edges_say_what_the_order_is(void **unused)
{
    (void)unused;
    struct scene scene;
    set_scene(&scene,
              "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
              "2 1 0:2 / /u rw - overlay o rw,lowerdir=/l1/x,upperdir=/b/rw,workdir=/b/work\n"
              "3 1 0:3 / /l1 rw - squashfs l1 ro\n"
              "4 1 0:5 / /b rw - tmpfs b rw\n",
              "/b/swap file 1 0 0\n", NULL, 0, false);
    size_t place[64], n = scene.plan.n_steps;
    memset(place, 0xff, sizeof place);
    for (size_t i = 0; i < n; i++)
        place[lethe_plan_step_node(&scene.snapshot, &scene.plan.steps[i])] = i;
    assert_true(scene.plan.n_edges > 8);
    for (size_t i = 0; i < scene.plan.n_edges; i++) {
        size_t before = place[scene.plan.edges[i].before], after = place[scene.plan.edges[i].after];
        assert_true(before == LETHE_NONE || after == LETHE_NONE || before < after);
        assert_non_null(lethe_why_text(scene.plan.edges[i].why));
    }
    scene_finish(&scene);
}

static void no_root_is_no_reason_to_give_up(void **unused)
{
    (void)unused;
    struct scene scene;
    set_scene(&scene,
              "2 1 0:2 / /a rw - tmpfs a rw\n"
              "3 2 0:3 / /a/b rw - proc b rw\n",
              "", NULL, 0, false);
    assert_plan(&scene, "erase /a\nunmount /a/b\nunmount /a\n");
    scene_finish(&scene);
}

static void nothing_gives_an_empty_plan(void **unused)
{
    (void)unused;
    struct scene scene;
    set_scene(&scene, "", "", NULL, 0, false);
    assert_int_equal(scene.plan.n_steps, 0);
    scene_finish(&scene);
}

static void the_same_snapshot_gives_the_same_plan(void **unused)
{
    (void)unused;
    char text[20000] = "1 0 0:1 / / rw - tmpfs root rw\n";
    for (unsigned i = 2; i <= 200; i++) {
        size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, "%u %u 0:%u / /%u rw - %s x rw\n", i,
                 1 + i * 7 % (i - 1), 2 + i % 50, i, i % 3 ? "proc" : "tmpfs");
    }
    struct scene one, two;
    set_scene(&one, text, "/1/s file 1 0 0\n", NULL, 0, false);
    set_scene(&two, text, "/1/s file 1 0 0\n", NULL, 0, false);
    assert_int_equal(one.plan.n_steps, two.plan.n_steps);
    for (size_t i = 0; i < one.plan.n_steps; i++) {
        assert_int_equal(one.plan.steps[i].kind, two.plan.steps[i].kind);
        assert_int_equal(one.plan.steps[i].index, two.plan.steps[i].index);
        assert_int_equal(one.plan.steps[i].lazy, two.plan.steps[i].lazy);
        assert_non_null(one.plan.steps[i].reason);
    }
    scene_finish(&one);
    scene_finish(&two);
}

static void every_full_arena_is_told(void **unused)
{
    (void)unused;
    const struct lethe_plan_options options = {0};
    struct lethe_plan plan;
    struct scene scene;
    set_scene(&scene,
              "1 0 0:1 / / rw - tmpfs a rw\n"
              "2 1 0:2 / /a rw - tmpfs a rw\n"
              "3 1 0:3 / /b rw - overlay o rw,lowerdir=/a\n",
              "", NULL, 0, false);
    int r = -ENOMEM;
    for (size_t size = 16; r; size += 16) {
        struct lethe_arena arena = heap_arena(size);
        assert_true(size < 65536);
        r = lethe_plan_make(&plan, &scene.snapshot, &options, &arena);
        assert_true(!r || r == -ENOMEM);
        free(arena.base);
    }
    assert_int_equal(plan.n_steps, scene.plan.n_steps);
    scene_finish(&scene);
}

static void a_step_is_printed_for_people(void **unused)
{
    (void)unused;
    const struct lethe_block blocks[] = {
        BLOCK(254, 0, "dm-0", LETHE_BLOCK_CRYPT, .dm_name = "ho\033me"),
        BLOCK(9, 0, "md0", LETHE_BLOCK_MD),
    };
    struct scene scene;
    char text[256];
    set_scene(&scene,
              "1 0 0:1 / /a\\012b rw - tmpfs a rw\n"
              "2 1 0:2 / /f rw - fuse.\\033[2J a rw\n",
              "/s file 1 0 0\n/dev/md0 partition 1 0 0\n", blocks, 2, false);
    static const char *const expected[] = {
        "erase /a\\012b (tmpfs)",  "swapoff /dev/md0 (partition)",
        "swapoff /s (file)",       "unmount /f (fuse.\\033[2J)",
        "stop md0 (md)",           "stop ho\\033me (crypt)",
        "unmount /a\\012b (tmpfs)"};
    assert_int_equal(scene.plan.n_steps, 7);
    for (size_t i = 0; i < 7; i++)
        assert_string_equal(
            lethe_step_print(text, sizeof text, &scene.plan.steps[i], &scene.snapshot),
            expected[i]);
    assert_string_equal(lethe_step_print(text, 21, &scene.plan.steps[0], &scene.snapshot),
                        "erase /a (tmpfs)");
    assert_string_equal(lethe_step_print(text, 4, &scene.plan.steps[0], &scene.snapshot), "era");
    scene_finish(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_go_before_their_parent),
        cmocka_unit_test(the_newest_goes_first),
        cmocka_unit_test(views_go_last_and_together),
        cmocka_unit_test(what_is_no_view_goes_alone),
        cmocka_unit_test(ram_is_erased_before_anything_is_unmounted),
        cmocka_unit_test(its_own_root_stays),
        cmocka_unit_test(a_cover_goes_before_what_it_hides),
        cmocka_unit_test(an_old_cover_goes_before_a_new_mount),
        cmocka_unit_test(all_covers_go_first),
        cmocka_unit_test(rootfs_is_its_own_parent),
        cmocka_unit_test(what_is_its_own_parent_is_no_brother),
        cmocka_unit_test(ram_is_erased_where_it_is_in_the_open),
        cmocka_unit_test(a_union_goes_before_its_branches),
        cmocka_unit_test(nested_unions_go_from_the_top),
        cmocka_unit_test(storage_goes_from_the_top),
        cmocka_unit_test(a_mount_goes_before_all_of_its_devices),
        cmocka_unit_test(a_mount_goes_before_what_it_may_lie_on_too),
        cmocka_unit_test(a_partition_of_a_loop_goes_before_it),
        cmocka_unit_test(what_lies_in_a_file_goes_before_its_host),
        cmocka_unit_test(zram_is_reset_after_the_swap_on_it),
        cmocka_unit_test(ram_is_erased_after_the_loop_in_it),
        cmocka_unit_test(a_branch_inside_its_union_is_no_cycle),
        cmocka_unit_test(an_image_inside_its_union_is_a_cycle),
        cmocka_unit_test(ram_in_a_cycle_is_erased_before_it_is_detached),
        cmocka_unit_test(a_great_many_circles_are_broken_in_time),
        cmocka_unit_test(what_waits_for_a_cycle_is_not_lazy),
        cmocka_unit_test(each_part_that_is_shown_is_erased),
        cmocka_unit_test(a_ramdisk_is_erased_when_nothing_is_on_it),
        cmocka_unit_test(a_branch_on_a_disk_is_never_zeroed),
        cmocka_unit_test(a_union_goes_before_devices_that_no_path_leads_to),
        cmocka_unit_test(what_lies_in_a_union_goes_before_it),
        cmocka_unit_test(a_kept_namespace_goes_before_every_device),
        cmocka_unit_test(edges_say_what_the_order_is),
        cmocka_unit_test(no_root_is_no_reason_to_give_up),
        cmocka_unit_test(nothing_gives_an_empty_plan),
        cmocka_unit_test(the_same_snapshot_gives_the_same_plan),
        cmocka_unit_test(every_full_arena_is_told),
        cmocka_unit_test(a_step_is_printed_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
