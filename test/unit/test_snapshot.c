/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The reader of /proc and /sys, on trees made up for it; what real systems look like is in
 * test/data. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lethe/kernel/namespaces.h"
#include "lethe/kernel/snapshot.h"
#include "lethe/kernel/sys.h"
#include "scene.h"

static char directory[64];
static int root = -1;
static struct scene scene;

static int make_tree(void **unused)
{
    (void)unused;
    strcpy(directory, "/tmp/lethe-snapshot-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scene = (struct scene){.arena = heap_arena(1 << 20)};
    return root < 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int remove_tree(void **unused)
{
    (void)unused;
    close(root);
    scene_finish(&scene);
    return nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_parents(const char *path)
{
    char dir[200];
    snprintf(dir, sizeof dir, "%s", path);
    for (char *slash = dir; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        mkdirat(root, dir, 0700);
    }
}

static void put(const char *path, const char *text)
{
    make_parents(path);
    int fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void put_link(const char *path, const char *target)
{
    make_parents(path);
    assert_int_equal(symlinkat(target, root, path), 0);
}

static int take(void)
{
    const struct lethe_complaint complaint = scene_complaint(&scene);
    return lethe_snapshot_take(&scene.snapshot, root, false, &scene.arena, &complaint);
}

static size_t find(const char *name)
{
    for (size_t i = 0; i < scene.snapshot.n_blocks; i++)
        if (!strcmp(scene.snapshot.blocks[i].name, name))
            return i;
    return LETHE_NONE;
}

static void without_mountinfo_there_is_none(void **unused)
{
    (void)unused;
    assert_int_equal(take(), -ENOENT);
    put("proc/self/mountinfo/x", "");
    assert_int_equal(take(), -EISDIR);
}

static void what_else_is_missing_is_left_out(void **unused)
{
    (void)unused;
    put("proc/self/mountinfo", "1 0 0:1 / / rw - tmpfs a rw\nbad\n");
    assert_int_equal(take(), 0);
    assert_int_equal(scene.snapshot.n_mounts, 1);
    assert_int_equal(scene.snapshot.n_swaps + scene.snapshot.n_blocks + scene.snapshot.n_unions, 0);
    assert_int_equal(scene.complaints, 1);
}

static void reads_devices(void **unused)
{
    (void)unused;
    put("proc/self/mountinfo", "1 0 254:0 / / rw - ext4 /dev/mapper/home rw\n");
    put("proc/swaps", "Filename Type\n/dev/sda2 partition 1 0 0\n/swap file 1 0 0\n");
    put("sys/devices/sda/dev", "8:0\n");
    put("sys/devices/sda/sda1/dev", "8:1\n");
    put("sys/devices/sda/sda1/partition", "1\n");
    put("sys/devices/sda/sda2/dev", "8:2\n");
    put("sys/devices/dm-0/dev", "254:0\n");
    put("sys/devices/dm-0/dm/name", "home\n");
    put("sys/devices/dm-0/dm/uuid", "CRYPT-LUKS2-1-home\n");
    put("sys/devices/loop0/dev", "7:0\n");
    put("sys/devices/loop0/loop/backing_file", "/a file\n");
    put("sys/devices/zram0/dev", "252:0\n");
    put("sys/devices/zram0/size", "0\n");
    put("sys/devices/zram1/dev", "252:1\n");
    put("sys/devices/zram1/size", "2048\n");
    put("sys/devices/nbd0/dev", "43:0\n");
    put("sys/devices/nbd0/pid", "100\n");
    put("sys/devices/nbd1/dev", "43:1\n");
    put("sys/devices/md_home/dev", "9:127\n");
    put("sys/devices/md_home/md/array_state", "clean\n");
    put("sys/devices/odd/dev", "not a number\n");
    put_link("sys/devices/dm-0/slaves/sda1", "../../sda/sda1");
    put_link("sys/devices/dm-0/slaves/gone", "../../gone");
    put_link("sys/class/block/sda", "../../devices/sda");
    put_link("sys/class/block/sda1", "../../devices/sda/sda1");
    put_link("sys/class/block/sda2", "../../devices/sda/sda2");
    put_link("sys/class/block/dm-0", "../../devices/dm-0");
    put_link("sys/class/block/loop0", "../../devices/loop0");
    put_link("sys/class/block/zram0", "../../devices/zram0");
    put_link("sys/class/block/zram1", "../../devices/zram1");
    put_link("sys/class/block/nbd0", "../../devices/nbd0");
    put_link("sys/class/block/nbd1", "../../devices/nbd1");
    put_link("sys/class/block/md_home", "../../devices/md_home");
    put_link("sys/class/block/odd", "../../devices/odd");
    assert_int_equal(take(), 0);
    const struct lethe_snapshot *s = &scene.snapshot;
    assert_int_equal(s->n_blocks, 9);
    assert_int_equal(s->blocks[find("nbd0")].kind, LETHE_BLOCK_NBD);
    assert_int_equal(s->blocks[find("nbd1")].kind, LETHE_BLOCK_PLAIN); /* no connection */
    assert_int_equal(s->blocks[find("md_home")].kind, LETHE_BLOCK_MD);
    assert_int_equal(s->blocks[find("zram1")].kind, LETHE_BLOCK_ZRAM); /* and not the empty one */
    const struct lethe_block *dm = &s->blocks[find("dm-0")], *loop = &s->blocks[find("loop0")];
    assert_int_equal(dm->kind, LETHE_BLOCK_CRYPT);
    assert_string_equal(dm->dm_name, "home");
    assert_int_equal(dm->n_slaves, 1);
    assert_int_equal(dm->slaves[0], find("sda1"));
    assert_int_equal(s->blocks[find("sda1")].disk, find("sda"));
    assert_true(s->blocks[find("sda")].disk == LETHE_NONE);
    assert_int_equal(loop->kind, LETHE_BLOCK_LOOP);
    assert_string_equal(loop->file, "/a file");
    assert_int_equal(s->mounts[0].device, find("dm-0"));
    assert_int_equal(s->swaps[0].device, find("sda2"));
    assert_true(lethe_devno_is(s->swaps[1].devno, (struct lethe_devno){254, 0}));
}

static void put_device(const char *name, const char *number)
{
    char path[64];
    snprintf(path, sizeof path, "sys/class/block/%s/dev", name);
    put(path, number);
}

static void reads_what_file_systems_lie_on_too(void **unused)
{
    (void)unused;
    put("proc/self/mountinfo", "1 0 0:30 / / rw - btrfs /dev/sdb rw\n"
                               "2 1 8:48 / /a rw - ext4 /dev/sdd rw\n"
                               "3 1 8:64 / /b rw - ext4 /dev/sde rw\n");
    put_device("sda", "8:0");
    put_device("sdb", "8:16");
    put_device("sdc", "8:32");
    put_device("sdd", "8:48");
    put_device("sde", "8:64");
    put_device("sdf", "8:80");
    put_link("sys/fs/btrfs/5c1e/devices/sda", "../../../../class/block/sda");
    put_link("sys/fs/btrfs/5c1e/devices/sdb", "../../../../class/block/sdb");
    put_link("sys/fs/btrfs/77aa/devices/sdc", "../../../../class/block/sdc"); /* not mounted here */
    put_link("sys/fs/btrfs/77aa/devices/sdf", "../../../../class/block/sdf");
    put("sys/fs/btrfs/features/raid1", "1\n");
    put("sys/fs/ext4/sdd/journal_task", "200\n");
    put("sys/fs/ext4/sde/journal_task", "201\n");
    put("sys/fs/ext4/sdf/journal_task", "<none>\n");
    put("sys/fs/ext4/gone/journal_task", "200\n");
    put("proc/200/comm", "jbd2/sdc\n");
    put("proc/201/comm", "jbd2/sde-8\n");
    assert_int_equal(take(), 0);
    const struct lethe_block *b = scene.snapshot.blocks;
    const char *beside[][2] = {{"sdb", "sda"}, {"sdd", "sdc"}};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(b[find(beside[i][0])].n_beside, 1);
        assert_int_equal(b[find(beside[i][0])].beside[0], find(beside[i][1]));
    }
    size_t n = 0;
    for (size_t i = 0; i < scene.snapshot.n_blocks; i++)
        n += b[i].n_beside;
    assert_int_equal(n, 2);
}

static void a_name_that_is_only_a_directory_is_no_device(void **unused)
{
    (void)unused;
    put("proc/self/mountinfo", "1 0 0:9 / / rw - btrfs /dev/mapper/ rw\n");
    put("proc/swaps", "/dev/ partition 1 0 0\n");
    put("sys/class/block/sda/dev", "8:0\n");
    assert_int_equal(take(), 0);
    assert_true(scene.snapshot.mounts[0].device == LETHE_NONE);
    assert_true(scene.snapshot.swaps[0].device == LETHE_NONE);
}

static void reads_aufs_branches(void **unused)
{
    (void)unused;
    put("proc/self/mountinfo", "1 0 0:1 / / rw - aufs none rw,si=4b66fdfd1e615a97\n");
    put("sys/fs/aufs/si_4b66fdfd1e615a97/br0", "/live/overlay=rw\n");
    put("sys/fs/aufs/si_4b66fdfd1e615a97/br9", "/live/rootfs=rr\n");
    assert_int_equal(take(), 0);
    assert_int_equal(scene.snapshot.unions[0].n_branches, 2);
    assert_string_equal(scene.snapshot.unions[0].branches[1].path, "/live/rootfs");
}

/* openat2(2): Linux 5.6, and not in every emulator of another processor's programs. */
static void skip_without_openat2(void)
{
    if (syscall(SYS_openat2, -1, NULL, NULL, 0) && errno == ENOSYS)
        skip();
}

/* Nothing outside of the tree is read, whatever its links say. */
static void links_do_not_lead_out_of_the_tree(void **unused)
{
    (void)unused;
    skip_without_openat2();
    put("proc/self/mountinfo", "1 0 0:1 / / rw - tmpfs a rw\n");
    put_link("proc/swaps", "/proc/self/mountinfo"); /* the tree's own */
    put_link("sys", "../../../../../sys");
    assert_int_equal(take(), 0);
    assert_int_equal(scene.snapshot.n_blocks, 0);
    assert_int_equal(scene.complaints, 1); /* its one line is no swap */
}

/* Nor is what such a link says taken for a partition's disk. */
static void a_link_is_read_below_the_tree_only(void **unused)
{
    (void)unused;
    char text[64];
    skip_without_openat2();
    put("in/here", "");
    put_link("out", "/proc");
    put_link("in/link", "there");
    put_link("absolute", "/in");
    assert_false(lethe_sys_read_link(root, "out/self", text, sizeof text));
    assert_string_equal(text, "");
    assert_false(lethe_sys_read_link(root, "in/here", text, sizeof text));
    assert_true(lethe_sys_read_link(root, "absolute/link", text, sizeof text));
    assert_string_equal(text, "there");
}

static void reads_mount_namespaces(void **unused)
{
    (void)unused;
    put("proc/self/mountinfo", "1 0 0:1 / / rw - tmpfs a rw\n");
    assert_int_equal(take(), 0);
    assert_int_equal(lethe_namespaces_add(&scene.snapshot, root, false, &scene.arena), 0);
    assert_int_equal(scene.snapshot.n_namespaces, 0);
    put_link("proc/self/ns/mnt", "mnt:[40]");
    put_link("proc/7/ns/mnt", "mnt:[40]");
    put_link("proc/31/ns/mnt", "mnt:[9]");
    put_link("proc/30/ns/mnt", "mnt:[9]");
    put_link("proc/8/ns/mnt", "mnt:[8]");
    put_link("proc/9/ns/mnt", "mnt:[eight]");
    put_link("proc/10/ns/mnt", "net:[8]");
    put_link("proc/1x/ns/mnt", "mnt:[10]");
    put("proc/11/ns/mnt", "mnt:[10]");
    assert_int_equal(lethe_namespaces_add(&scene.snapshot, root, false, &scene.arena), 0);
    assert_int_equal(scene.snapshot.n_namespaces, 2);
    assert_int_equal(scene.snapshot.namespaces[0].id, 8);
    assert_int_equal(scene.snapshot.namespaces[1].id, 9);
    assert_int_equal(scene.snapshot.namespaces[1].pid, 30);
}

/* openat2(2) gives up with EAGAIN where ".." is on the way while anybody renames anything. */
static void renames_elsewhere_do_not_matter(void **unused)
{
    (void)unused;
    enum { TRIES = 20000 };
    char text[8];
    put("in/side/file", "1");
    put_link("link", "in/side/../../in/side/file");
    put("a", "");
    pid_t child = fork();
    while (!child)
        if (renameat(root, "a", root, "b") || renameat(root, "b", root, "a"))
            _exit(1);
    unsigned lost = 0;
    for (int i = 0; i < TRIES; i++)
        lost += !lethe_sys_read_line(root, "link", text, sizeof text);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(lost, 0);
}

static void a_fifo_does_not_hold_it_up(void **unused)
{
    (void)unused;
    put("proc/self/mountinfo", "1 0 0:1 / / rw - tmpfs a rw\n");
    assert_int_equal(mkfifoat(root, "proc/swaps", 0600), 0);
    alarm(10);
    assert_int_equal(take(), 0);
    alarm(0);
}

static void every_full_arena_is_told(void **unused)
{
    (void)unused;
    put("proc/self/mountinfo", "1 0 0:1 / / rw - overlay a rw,lowerdir=/a:/b,upperdir=/c\n");
    put("proc/swaps", "/dev/sda partition 1 0 0\n");
    put("sys/class/block/sda/dev", "8:0\n");
    put_link("sys/class/block/sda/slaves/sda", "..");
    const struct lethe_complaint complaint = scene_complaint(&scene);
    int r = -ENOMEM;
    for (size_t size = 0; r; size += 16) {
        struct lethe_arena arena = heap_arena(size);
        assert_true(size < 65536);
        r = lethe_snapshot_take(&scene.snapshot, root, false, &arena, &complaint);
        assert_true(!r || r == -ENOMEM);
        free(arena.base);
    }
}

static void an_arena_can_be_mapped(void **unused)
{
    (void)unused;
    struct lethe_arena arena = lethe_snapshot_map_arena();
    assert_non_null(arena.base);
    assert_in_range(arena.size, 1 << 20, 1 << 30);
    assert_non_null(lethe_arena_alloc(&arena, 1, 1000));
}

static void a_file_that_does_not_fit_is_told(void **unused)
{
    (void)unused;
    char text[8] = "xxxxxxx";
    put("file", "12345678\nabc");
    assert_int_equal(lethe_sys_read_file(root, "file", text, sizeof text), -EFBIG);
    assert_false(lethe_sys_read_line(root, "file", text, sizeof text));
    assert_string_equal(text, "");
    put("file", "1234\nabc");
    assert_int_equal(lethe_sys_read_file(root, "/file", (char[9]){0}, 9), 8);
    assert_true(lethe_sys_read_line(root, "file", (char[9]){0}, 9));
    assert_int_equal(lethe_sys_read_file(root, "none", text, sizeof text), -ENOENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_tree, remove_tree)

/* What a running system would be asked, a captured tree has in files: see lethe-plan(5). */
static void a_tree_answers_for_the_system(void **unused)
{
    (void)unused;
    put("proc/self/mountinfo", "1 0 0:1 / / rw - proc a rw\n"
                               "2 1 0:30 / /a rw - tmpfs a rw\n"
                               "3 1 0:31 / /b rw - btrfs /dev/disk/by-uuid/x rw\n"
                               "4 1 0:32 / /c rw - btrfs /dev/../proc/self/mountinfo rw\n");
    put("sys/devices/loop0/dev", "7:0\n");
    put("sys/devices/loop0/loop/backing_file", "/gone\n");
    put("sys/devices/loop0/loop/backing_dev", "0:30\n");
    put_link("sys/class/block/loop0", "../../devices/loop0");
    put("sys/devices/sda/dev", "8:0\n");
    put_link("sys/class/block/sda", "../../devices/sda");
    put("dev/disk/by-uuid/x", "8:0\n");
    assert_int_equal(take(), 0);
    assert_int_equal(scene.snapshot.blocks[find("loop0")].file_devno.minor, 30);
    assert_int_equal(scene.snapshot.mounts[2].device, find("sda"));
    assert_int_equal(scene.snapshot.mounts[3].device, LETHE_NONE);
}

static void finds_the_daemon_of_a_union(void **unused)
{
    (void)unused;
    put("proc/self/mountinfo", "1 0 0:1 / / rw - proc a rw\n"
                               "2 1 0:2 / /rw rw - tmpfs a rw\n"
                               "3 1 0:3 / /u rw - fuse.unionfs unionfs rw\n");
    put("proc/1/cmdline", "unionfs /rw=RW /u"); /* one word */
    put("proc/nothing/cmdline", "");
    make_parents("proc/20/x");
    int fd = openat(root, "proc/20/cmdline", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    static const char words[] = "unionfs\0/rw=RW:/ro=RO\0/u";
    assert_int_equal(write(fd, words, sizeof words), sizeof words);
    close(fd);
    assert_int_equal(take(), 0);
    assert_int_equal(scene.snapshot.n_unions, 1);
    assert_int_equal(scene.snapshot.unions[0].n_branches, 2);
    assert_int_equal(scene.snapshot.unions[0].branches[0].mount, 1);
    assert_true(scene.snapshot.unions[0].branches[0].writable);
}

static void an_absolute_path_is_not_below_the_working_directory(void **unused)
{
    (void)unused;
    char text[512];
    int kept = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fchdir(root), 0);
    bool good = lethe_sys_read_line(AT_FDCWD, "/proc/self/stat", text, sizeof text);
    assert_int_equal(fchdir(kept), 0);
    close(kept);
    assert_true(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_absolute_path_is_not_below_the_working_directory),
        TEST(without_mountinfo_there_is_none),
        TEST(what_else_is_missing_is_left_out),
        TEST(reads_devices),
        TEST(a_tree_answers_for_the_system),
        TEST(finds_the_daemon_of_a_union),
        TEST(reads_what_file_systems_lie_on_too),
        TEST(a_name_that_is_only_a_directory_is_no_device),
        TEST(reads_aufs_branches),
        TEST(links_do_not_lead_out_of_the_tree),
        TEST(a_link_is_read_below_the_tree_only),
        TEST(reads_mount_namespaces),
        TEST(renames_elsewhere_do_not_matter),
        TEST(a_fifo_does_not_hold_it_up),
        TEST(every_full_arena_is_told),
        TEST(an_arena_can_be_mapped),
        TEST(a_file_that_does_not_fit_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
