/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lethe/kernel/efi.h"

static const char request[] = "MemoryOverwriteRequestControl-e20939be-32d4-41be-a150-897f85d49829";
static const char lock[] = "MemoryOverwriteRequestControlLock-bb983ccf-151d-40e1-a07b-4a17be168292";
static char dir[] = "/tmp/lethe-efi-XXXXXX";

static void path_of(const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", dir, name);
}

static void put(const char *name, const char *bytes, size_t n)
{
    char path[200];
    path_of(name, path, sizeof path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static void expect(const char *bytes, size_t n)
{
    char path[200], found[16];
    path_of(request, path, sizeof path);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fread(found, 1, sizeof found, f), n);
    assert_memory_equal(found, bytes, n);
    fclose(f);
}

static int fresh(void **unused)
{
    (void)unused;
    snprintf(dir, sizeof dir, "/tmp/lethe-efi-XXXXXX");
    return !mkdtemp(dir);
}

static int clean(void **unused)
{
    char path[200];
    (void)unused;
    path_of(request, path, sizeof path);
    unlink(path);
    path_of(lock, path, sizeof path);
    unlink(path);
    return rmdir(dir);
}

static void sets_the_request_and_keeps_the_attributes(void **unused)
{
    (void)unused;
    put(request, "\7\0\0\0\0", 5);
    put(lock, "\7\0\0\0\0", 5);
    assert_int_equal(lethe_efi_request_clearing(dir), 0);
    expect("\7\0\0\0\x11", 5);
    assert_int_equal(lethe_efi_request_clearing(dir), 0);
}

static void leaves_alone_what_is_set(void **unused)
{
    (void)unused;
    put(request, "\7\0\0\0\1", 5);
    assert_int_equal(lethe_efi_request_clearing(dir), 0);
    expect("\7\0\0\0\1", 5);
}

static void never_makes_it(void **unused)
{
    char path[200];
    (void)unused;
    assert_int_equal(lethe_efi_request_clearing(dir), -ENOENT);
    path_of(request, path, sizeof path);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(lethe_efi_request_clearing("/nowhere"), -ENOENT);
}

static void respects_the_lock(void **unused)
{
    (void)unused;
    put(request, "\7\0\0\0\0", 5);
    put(lock, "\7\0\0\0\2", 5);
    assert_int_equal(lethe_efi_request_clearing(dir), -EPERM);
    expect("\7\0\0\0\0", 5);
}

static void does_not_touch_what_it_can_t_read(void **unused)
{
    (void)unused;
    put(request, "\7\0\0", 3);
    assert_int_equal(lethe_efi_request_clearing(dir), -EBADMSG);
    expect("\7\0\0", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sets_the_request_and_keeps_the_attributes, fresh, clean),
        cmocka_unit_test_setup_teardown(leaves_alone_what_is_set, fresh, clean),
        cmocka_unit_test_setup_teardown(never_makes_it, fresh, clean),
        cmocka_unit_test_setup_teardown(respects_the_lock, fresh, clean),
        cmocka_unit_test_setup_teardown(does_not_touch_what_it_can_t_read, fresh, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
