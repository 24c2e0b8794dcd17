/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lethe/kernel/sys.h"

/* The kernel then can't vouch for a ".." (openat2(2), EAGAIN); links of sysfs are full of them. */
static void finds_its_way_while_others_rename(void **unused)
{
    (void)unused;
    enum { TIMES = 100000 };
    char folder[] = "/tmp/lethe-test-XXXXXX";
    assert_non_null(mkdtemp(folder));
    int root = open(folder, O_RDONLY | O_DIRECTORY);
    assert_int_equal(mkdirat(root, "here", 0700), 0);
    assert_int_equal(mkdirat(root, "one", 0700), 0);
    pid_t other = fork();
    if (!other)
        for (;;) {
            renameat(root, "one", root, "two");
            renameat(root, "two", root, "one");
        }
    int failed = 0;
    for (int i = 0; i < TIMES; i++) {
        int fd = lethe_sys_open_below(root, "here/../here/../here", O_PATH);
        failed += fd < 0;
        close(fd);
    }
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    unlinkat(root, "one", AT_REMOVEDIR);
    unlinkat(root, "two", AT_REMOVEDIR);
    unlinkat(root, "here", AT_REMOVEDIR);
    close(root);
    rmdir(folder);
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_its_way_while_others_rename),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
