/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lethe/kernel/ram_fs.h"
#include "lethe/kernel/sys.h"

enum { PAGE = 4096, MIB = 1 << 20 };

static int memory_file(void)
{
    int fd = memfd_create("lethe-test", MFD_ALLOW_SEALING | MFD_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void fill(int fd, off_t from, size_t n)
{
    char *text = malloc(n);
    memset(text, 's', n);
    assert_int_equal(pwrite(fd, text, n, from), n);
    free(text);
}

static off_t blocks_of(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return st.st_blocks;
}

/* How many bytes of the first n, holes and the rest of the last page too, are not zero. */
static size_t count_left(int fd, size_t n)
{
    size_t left = 0;
    assert_int_equal(ftruncate(fd, (off_t)n), 0);
    char *text = mmap(NULL, n, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(text != MAP_FAILED);
    for (size_t i = 0; i < n; i++)
        left += text[i] != 0;
    munmap(text, n);
    return left;
}

static void zeroes_a_file_of_any_size(void **unused)
{
    (void)unused;
    static const size_t sizes[] = {1, 100, PAGE - 1, PAGE, PAGE + 1, MIB - 1, MIB, 3 * MIB + 5};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint64_t bytes = 5;
        size_t pages = (sizes[i] + PAGE - 1) / PAGE * PAGE;
        int fd = memory_file();
        fill(fd, 0, sizes[i]);
        assert_int_equal(lethe_ram_fs_zero(fd, &bytes), 0);
        assert_int_equal(bytes, 5 + pages);
        assert_int_equal(count_left(fd, pages), 0);
        close(fd);
    }
}

static void an_empty_file_is_no_work(void **unused)
{
    (void)unused;
    uint64_t bytes = 0;
    int fd = memory_file();
    assert_int_equal(lethe_ram_fs_zero(fd, &bytes), 0);
    assert_int_equal(bytes, 0);
    close(fd);
}

static void holes_stay_holes(void **unused)
{
    (void)unused;
    uint64_t bytes = 0;
    int fd = memory_file();
    fill(fd, 5 * MIB + 7, 2 * PAGE);
    fill(fd, 64 * MIB, 10);
    assert_int_equal(ftruncate(fd, 100 * MIB), 0);
    off_t before = blocks_of(fd);
    assert_int_equal(lethe_ram_fs_zero(fd, &bytes), 0);
    assert_int_equal(blocks_of(fd), before);
    assert_int_equal(bytes, 4 * PAGE);
    assert_int_equal(count_left(fd, 100 * MIB), 0);
    close(fd);
}

static void a_file_that_is_all_hole_is_no_work(void **unused)
{
    (void)unused;
    uint64_t bytes = 0;
    int fd = memory_file();
    assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0);
    assert_int_equal(lethe_ram_fs_zero(fd, &bytes), 0);
    assert_int_equal(bytes, 0);
    assert_int_equal(blocks_of(fd), 0);
    close(fd);
}

/* Any user can make one: rounded up to a page, such a size is negative. */
static void zeroes_a_file_of_the_largest_size(void **unused)
{
    (void)unused;
    static const off_t sizes[] = {INT64_MAX, INT64_MAX - 1, INT64_MAX - PAGE, INT64_MAX - PAGE + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint64_t bytes = 0;
        char text[100];
        int fd = memory_file();
        fill(fd, sizes[i] - 100, 100);
        fill(fd, 0, 100);
        assert_int_equal(ftruncate(fd, sizes[i]), 0);
        assert_int_equal(lethe_ram_fs_zero(fd, &bytes), 0);
        assert_in_range(bytes, PAGE, 3 * PAGE);
        for (off_t from = 0; from >= 0; from = from ? -1 : sizes[i] - 100) {
            assert_int_equal(pread(fd, text, 100, from), 100);
            for (size_t at = 0; at < 100; at++)
                assert_int_equal(text[at], 0);
        }
        close(fd);
    }
}

/* What a process wrote through a mapping behind the file's end lies in RAM like all else. */
static void the_rest_of_the_last_page_is_zeroed(void **unused)
{
    (void)unused;
    uint64_t bytes = 0;
    int fd = memory_file();
    fill(fd, 0, 10);
    char *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(map != MAP_FAILED);
    memset(map, 's', PAGE);
    assert_int_equal(lethe_ram_fs_zero(fd, &bytes), 0);
    for (size_t i = 0; i < PAGE; i++)
        assert_int_equal(map[i], 0);
    munmap(map, PAGE);
    close(fd);
}

static void a_mapping_sees_the_same_pages(void **unused)
{
    (void)unused;
    uint64_t bytes = 0;
    int fd = memory_file();
    fill(fd, 0, 2 * MIB);
    char *map = mmap(NULL, 2 * MIB, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_true(map != MAP_FAILED);
    assert_int_equal(lethe_ram_fs_zero(fd, &bytes), 0);
    assert_int_equal(map[0] | map[MIB] | map[2 * MIB - 1], 0);
    munmap(map, 2 * MIB);
    close(fd);
}

static void what_can_not_be_written_is_told(void **unused)
{
    (void)unused;
    uint64_t bytes = 0;
    int fd = memory_file();
    fill(fd, 0, 10);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    assert_int_equal(lethe_ram_fs_zero(fd, &bytes), -EPERM);
    close(fd);
    assert_int_equal(lethe_ram_fs_zero(-1, &bytes), -EBADF);
}

/* The rest needs to mount: in a mount namespace of its own, and a user namespace where it is not
 * root's, or where `users` asks for one. Only a child may enter one. */
static bool enter_namespace(bool users)
{
    char map[64], groups[64];
    unsigned uid = geteuid();
    snprintf(map, sizeof map, "0 %u 1", uid);
    snprintf(groups, sizeof groups, "0 %u 1", getegid());
    if (unshare(users || uid ? CLONE_NEWUSER | CLONE_NEWNS : CLONE_NEWNS))
        return false;
    if ((users || uid) && (lethe_sys->write_file("/proc/self/setgroups", "deny") ||
                           lethe_sys->write_file("/proc/self/uid_map", map) ||
                           lethe_sys->write_file("/proc/self/gid_map", groups)))
        return false;
    return !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
           !mount("lethe-test", "/tmp", "tmpfs", 0, NULL);
}

enum { PASSED, SKIPPED = 77 };

static void in_namespaces(bool users, int (*body)(void))
{
    int status;
    pid_t child = fork();
    if (!child)
        _exit(enter_namespace(users) ? body() : SKIPPED);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == SKIPPED)
        skip();
    if (WEXITSTATUS(status))
        fail_msg("failed at line %d (modulo 256)", WEXITSTATUS(status));
}

static void in_namespace(int (*body)(void))
{
    in_namespaces(false, body);
}

/* In the child; the line number is its exit status. */
#define CHECK(good)                                                                                \
    do {                                                                                           \
        if (!(good))                                                                               \
            return __LINE__ % 256 == SKIPPED ? 1 : __LINE__ % 256;                                 \
    } while (0)

static bool put(const char *path, size_t n)
{
    char text[PAGE];
    memset(text, 's', sizeof text);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write(fd, text, n) == (ssize_t)n;
    close(fd);
    return good;
}

static int count_used_blocks(const char *path)
{
    struct statfs fs;
    return statfs(path, &fs) ? -1 : (int)(fs.f_blocks - fs.f_bfree);
}

static int erases_a_tree(void)
{
    struct stat st;
    struct lethe_ram_fs_erased erased;
    CHECK(!mkdir("/tmp/a", 0700) && !mkdir("/tmp/a/b", 0700) && !mkdir("/tmp/a/other", 0700));
    CHECK(put("/tmp/one", 10) && put("/tmp/a/two", PAGE) && put("/tmp/a/b/three", 1));
    CHECK(!symlink("/tmp/a", "/tmp/link") && !mkfifo("/tmp/fifo", 0600));
    CHECK(!link("/tmp/one", "/tmp/a/again"));
    CHECK(!chmod("/tmp/a/two", 0));
    CHECK(!stat("/tmp", &st));
    if (syscall(SYS_open_tree, -1, "", 0) && errno == ENOSYS) /* Linux 5.2 */
        return SKIPPED;
    /* another file system on top, and one that covers what is to be erased */
    CHECK(!mount("x", "/tmp/a/other", "tmpfs", 0, NULL) && put("/tmp/a/other/kept", 10));
    CHECK(!mount("x", "/tmp/a/b", "tmpfs", 0, NULL) && put("/tmp/a/b/kept", 10));
    int seen = open("/tmp/one", O_RDONLY | O_CLOEXEC);
    CHECK(!lethe_ram_fs_erase("/tmp", st.st_dev, LETHE_RAM_FS_KEEPS_NONE, &erased));
    CHECK(!erased.failed);
    CHECK(erased.files >= 3);
    CHECK(erased.bytes >= 3 * PAGE);
    CHECK(!access("/tmp/a/other/kept", F_OK) && !access("/tmp/a/b/kept", F_OK));
    CHECK(!fstat(seen, &st) && !st.st_size && !st.st_nlink);
    CHECK(!umount("/tmp/a/other") && !umount("/tmp/a/b"));
    CHECK(access("/tmp/one", F_OK) && access("/tmp/a/two", F_OK) && access("/tmp/a/b/three", F_OK));
    CHECK(count_used_blocks("/tmp") == 0);
    return PASSED;
}

static int erases_what_is_read_only(void)
{
    struct stat st;
    struct lethe_ram_fs_erased erased;
    CHECK(put("/tmp/credential", 10));
    CHECK(!stat("/tmp", &st));
    CHECK(!mount(NULL, "/tmp", NULL, MS_REMOUNT | MS_RDONLY, NULL));
    CHECK(!lethe_ram_fs_erase("/tmp", st.st_dev, LETHE_RAM_FS_KEEPS_NONE, &erased));
    CHECK(!erased.failed && erased.files == 1);
    CHECK(access("/tmp/credential", F_OK));
    return PASSED;
}

/* All that is left of a tmpfs are binds of a directory and of a file that is gone. */
static int erases_parts(void)
{
    struct stat st;
    struct lethe_ram_fs_erased erased;
    CHECK(!mkdir("/tmp/on", 0700) && !mount("x", "/tmp/on", "tmpfs", 0, NULL));
    CHECK(!mkdir("/tmp/dir", 0700) && put("/tmp/file", 1) && !mkdir("/tmp/on/part", 0700));
    CHECK(put("/tmp/on/part/one", PAGE) && put("/tmp/on/two", PAGE) && put("/tmp/on/three", PAGE));
    CHECK(!stat("/tmp/on", &st));
    CHECK(!mount("/tmp/on/part", "/tmp/dir", NULL, MS_BIND, NULL));
    CHECK(!mount("/tmp/on/two", "/tmp/file", NULL, MS_BIND, NULL) && !unlink("/tmp/on/two"));
    int held = open("/tmp/on/three", O_RDONLY | O_CLOEXEC);
    CHECK(held >= 0 && !umount2("/tmp/on", MNT_DETACH));
    CHECK(!lethe_ram_fs_erase("/tmp/dir", st.st_dev, LETHE_RAM_FS_KEEPS_NONE, &erased));
    CHECK(!erased.failed && erased.files == 1 && erased.bytes == PAGE);
    CHECK(!lethe_ram_fs_erase("/tmp/file", st.st_dev, LETHE_RAM_FS_KEEPS_NONE, &erased));
    CHECK(!erased.failed && erased.files == 1 && erased.bytes == PAGE);
    CHECK(!stat("/tmp/file", &st) && !st.st_size);
    CHECK(!mkfifo("/tmp/node", 0600) && !stat("/tmp/node", &st));
    CHECK(!lethe_ram_fs_erase("/tmp/node", st.st_dev, LETHE_RAM_FS_KEEPS_NONE, &erased) &&
          !erased.files);
    return PASSED;
}

/* A mount whose path the kernel would not take. */
static int erases_beyond_path_max(void)
{
    enum { LEVELS = 30, LENGTH = 200 };
    static char path[LEVELS * (LENGTH + 1) + 8] = "/tmp";
    char name[LENGTH + 2] = "/", *end = path + 4;
    struct stat st;
    struct lethe_ram_fs_erased erased;
    memset(name + 1, 'd', LENGTH);
    CHECK(!chdir("/tmp"));
    for (int i = 0; i < LEVELS; i++) {
        CHECK(!mkdir(name + 1, 0700));
        CHECK(i == LEVELS - 1 || !chdir(name + 1));
        end = stpcpy(end, name);
    }
    CHECK(!mount("x", name + 1, "tmpfs", 0, NULL) && !stat(name + 1, &st) && !chdir(name + 1));
    CHECK(put("secret", PAGE) && !chdir("/"));
    CHECK(access(path, F_OK) && errno == ENAMETOOLONG);
    CHECK(!lethe_ram_fs_erase(path, st.st_dev, LETHE_RAM_FS_KEEPS_NONE, &erased));
    CHECK(!erased.failed && erased.files == 1 && erased.bytes == PAGE);
    CHECK(lethe_sys->umount("/tmp", 0) == -EBUSY);
    CHECK(!lethe_sys->umount(path, 0) && lethe_sys->umount(path, 0) == -EINVAL);
    CHECK(!lethe_sys->umount("/tmp", 0));
    return PASSED;
}

static int keeps_names(void)
{
    struct stat st;
    struct lethe_ram_fs_erased erased;
    CHECK(!mkdir("/tmp/a", 0700) && put("/tmp/a/file", 10));
    CHECK(!stat("/tmp", &st));
    CHECK(!lethe_ram_fs_erase("/tmp", st.st_dev, LETHE_RAM_FS_KEEPS_ALL, &erased));
    CHECK(erased.files == 1 && erased.bytes == PAGE);
    CHECK(!stat("/tmp/a/file", &st) && !st.st_size && !st.st_blocks);
    CHECK(!symlink("file", "/tmp/a/link") && !stat("/tmp", &st));
    CHECK(!lethe_ram_fs_erase("/tmp", st.st_dev, LETHE_RAM_FS_KEEPS_NODES, &erased));
    CHECK(access("/tmp/a/file", F_OK) && !lstat("/tmp/a/link", &st));
    return PASSED;
}

/* 1,000 directories deep and 5,000 files wide. */
static int erases_what_is_deep_and_wide(void)
{
    char name[32];
    struct stat st;
    struct lethe_ram_fs_erased erased;
    CHECK(!stat("/tmp", &st));
    CHECK(!chdir("/tmp"));
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "file-%d", i);
        CHECK(put(name, 1));
    }
    for (int i = 0; i < 1000; i++)
        CHECK(put("f", 1) && !mkdir("directory", 0700) && !chdir("directory"));
    CHECK(!chdir("/"));
    CHECK(!lethe_ram_fs_erase("/tmp", st.st_dev, LETHE_RAM_FS_KEEPS_NONE, &erased));
    CHECK(!erased.failed);
    CHECK(erased.files == 6000);
    CHECK(count_used_blocks("/tmp") == 0);
    CHECK(!stat("/tmp", &st) && st.st_nlink == 2);
    return PASSED;
}

/* What lies between is not searched to its end, which is told. */
static int erases_the_ends_of_a_huge_file_of_ramfs(void)
{
    uint64_t bytes = 0;
    char text[10];
    if (mount("x", "/tmp", "ramfs", 0, NULL))
        return SKIPPED;
    CHECK(put("/tmp/huge", 10));
    int fd = open("/tmp/huge", O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0 && pwrite(fd, "s", 1, INT64_MAX - 1) == 1);
    /* a program of 32 bits can't map the upper end */
    CHECK(lethe_ram_fs_zero(fd, &bytes) == (sizeof(long) > 4 ? -ETIMEDOUT : -EINVAL));
    CHECK(pread(fd, text, 10, 0) == 10 && !text[0] && !text[9]);
    CHECK(pread(fd, text, 1, INT64_MAX - 1) == 1 && !text[0]);
    return PASSED;
}

static int leaves_another_file_system_alone(void)
{
    struct stat st;
    struct lethe_ram_fs_erased erased;
    CHECK(!stat("/tmp", &st));
    CHECK(!mount("x", "/tmp", "tmpfs", 0, NULL) && put("/tmp/kept", 10));
    CHECK(lethe_ram_fs_erase("/tmp", st.st_dev, LETHE_RAM_FS_KEEPS_NONE, &erased) == -ESTALE);
    CHECK(!access("/tmp/kept", F_OK));
    CHECK(lethe_ram_fs_erase("/tmp/none", st.st_dev, LETHE_RAM_FS_KEEPS_NONE, &erased) == -ENOENT);
    return PASSED;
}

/* Where no mount may be cloned, what is bound onto a file is in the way of the walk: a file of
 * another file system stays as it is, to the last byte and flag. */
static int leaves_a_bound_file_alone(void)
{
    struct stat st;
    struct lethe_ram_fs_erased erased;
    char text[8];
    if (lethe_sys->write_file("/proc/sys/user/max_mnt_namespaces", "0"))
        return SKIPPED;
    CHECK(!mkdir("/tmp/ram", 0700) && !mount("x", "/tmp/ram", "tmpfs", 0, NULL));
    CHECK(put("/tmp/diary", 8) && put("/tmp/ram/diary", PAGE) && put("/tmp/ram/own", PAGE));
    CHECK(!mount("/tmp/diary", "/tmp/ram/diary", NULL, MS_BIND, NULL) && !stat("/tmp/ram", &st));
    CHECK(!lethe_ram_fs_erase("/tmp/ram", st.st_dev, LETHE_RAM_FS_KEEPS_NONE, &erased));
    CHECK(!erased.failed && erased.files == 1 && erased.bytes == PAGE);
    CHECK(access("/tmp/ram/own", F_OK) && !access("/tmp/ram/diary", F_OK));
    int fd = open("/tmp/diary", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && read(fd, text, 8) == 8 && !memcmp(text, "ssssssss", 8));
    return PASSED;
}

static int erases_ramfs(void)
{
    uint64_t bytes = 0;
    if (mount("x", "/tmp", "ramfs", 0, NULL))
        return SKIPPED;
    CHECK(put("/tmp/credential", 10) && put("/tmp/sparse", PAGE));
    int credential = open("/tmp/credential", O_RDWR | O_CLOEXEC);
    CHECK(!lethe_ram_fs_zero(credential, &bytes) && bytes == PAGE);
    int fd = open("/tmp/sparse", O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0 && pwrite(fd, "s", 1, 64 * MIB) == 1);
    char *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 64 * MIB);
    CHECK(map != MAP_FAILED);
    memset(map, 's', PAGE);
    CHECK(!lethe_ram_fs_zero(fd, &bytes) && bytes <= 16 * PAGE);
    for (int i = 0; i < PAGE; i++)
        CHECK(!map[i]);
    return PASSED;
}

#define IN_NAMESPACE(body)                                                                         \
    static void test_##body(void **unused)                                                         \
    {                                                                                              \
        (void)unused;                                                                              \
        in_namespace(body);                                                                        \
    }

IN_NAMESPACE(erases_a_tree)
IN_NAMESPACE(erases_what_is_read_only)
IN_NAMESPACE(erases_parts)
IN_NAMESPACE(erases_beyond_path_max)
IN_NAMESPACE(keeps_names)
IN_NAMESPACE(erases_what_is_deep_and_wide)
IN_NAMESPACE(leaves_another_file_system_alone)
IN_NAMESPACE(erases_ramfs)
IN_NAMESPACE(erases_the_ends_of_a_huge_file_of_ramfs)

static void test_leaves_a_bound_file_alone(void **unused)
{
    (void)unused;
    in_namespaces(true, leaves_a_bound_file_alone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeroes_a_file_of_any_size),
        cmocka_unit_test(an_empty_file_is_no_work),
        cmocka_unit_test(holes_stay_holes),
        cmocka_unit_test(a_file_that_is_all_hole_is_no_work),
        cmocka_unit_test(zeroes_a_file_of_the_largest_size),
        cmocka_unit_test(the_rest_of_the_last_page_is_zeroed),
        cmocka_unit_test(a_mapping_sees_the_same_pages),
        cmocka_unit_test(what_can_not_be_written_is_told),
        cmocka_unit_test(test_erases_a_tree),
        cmocka_unit_test(test_erases_what_is_read_only),
        cmocka_unit_test(test_erases_parts),
        cmocka_unit_test(test_erases_beyond_path_max),
        cmocka_unit_test(test_keeps_names),
        cmocka_unit_test(test_erases_what_is_deep_and_wide),
        cmocka_unit_test(test_leaves_another_file_system_alone),
        cmocka_unit_test(test_erases_ramfs),
        cmocka_unit_test(test_leaves_a_bound_file_alone),
        cmocka_unit_test(test_erases_the_ends_of_a_huge_file_of_ramfs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
