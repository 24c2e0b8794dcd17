/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A sparse file stands in for a ramdisk: a block that was never written must not come into being.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lethe/kernel/ram_device.h"
#include "lethe/kernel/sys.h"

enum { PAGE = 4096, SIZE = (1 << 20) + 3 * PAGE };

static char path[64] = "/var/tmp/lethe-ram-device-XXXXXX";

static int make_file(void **unused)
{
    (void)unused;
    int fd = mkstemp(path);
    if (fd < 0 || ftruncate(fd, SIZE) || pwrite(fd, "secret", 6, 5 * PAGE + 100) != 6 ||
        pwrite(fd, "secret", 6, SIZE - 6) != 6 || fsync(fd))
        return -1;
    return close(fd);
}

static int remove_file(void **unused)
{
    (void)unused;
    return unlink(path);
}

static bool is_any(int fd, mode_t kind, uint64_t number)
{
    (void)fd;
    (void)kind;
    (void)number;
    return true;
}

static void zeroes_what_is_there_and_nothing_else(void **unused)
{
    (void)unused;
    char name[100];
    static char content[SIZE], zeroes[SIZE];
    struct stat before, after;
    uint64_t bytes = 0;
    snprintf(name, sizeof name, "..%s", path); /* below /dev */
    const struct lethe_block block = {.name = name, .kind = LETHE_BLOCK_BRD};
    const struct lethe_sys *const kernel = lethe_sys;
    struct lethe_sys believing = *kernel;
    believing.is_device = is_any;
    assert_int_equal(lethe_ram_device_erase(&block, &bytes), -ESTALE); /* it is no device */
    lethe_sys = &believing;
    assert_int_equal(stat(path, &before), 0);
    assert_false(lethe_ram_device_is_zero(&block));
    int r = lethe_ram_device_erase(&block, &bytes);
    if (r == -EINVAL) { /* no O_DIRECT here */
        lethe_sys = kernel;
        skip();
    }
    assert_int_equal(r, 0);
    assert_int_equal(bytes, 2 * PAGE);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, content, SIZE), SIZE);
    close(fd);
    assert_memory_equal(content, zeroes, SIZE);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_size, SIZE);
    assert_int_equal(after.st_blocks, before.st_blocks);
    bytes = 0;
    assert_int_equal(lethe_ram_device_erase(&block, &bytes), 0);
    assert_int_equal(bytes, 0);
    assert_true(lethe_ram_device_is_zero(&block));
    lethe_sys = kernel;
}

static void a_device_that_is_not_there_is_told(void **unused)
{
    (void)unused;
    uint64_t bytes = 0;
    const struct lethe_block block = {.name = "lethe-no-such-device", .kind = LETHE_BLOCK_BRD};
    assert_int_equal(lethe_ram_device_erase(&block, &bytes), -ENOENT);
    assert_false(lethe_ram_device_is_zero(&block));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(zeroes_what_is_there_and_nothing_else, make_file,
                                        remove_file),
        cmocka_unit_test(a_device_that_is_not_there_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
