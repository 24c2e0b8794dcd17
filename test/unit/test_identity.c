/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a kernel can say is played from a script; what this one says is asked in namespaces. */
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lethe/kernel/identity.h"
#include "mock_sys.h"

/* A kernel before 6.11: its pidfds have no such ioctl(2). */
#define OLD                                                                                        \
    {MOCK_IOCTL, .path = "(not open)", .number = 0xFF05, .answer = -ENOTTY},                       \
    {                                                                                              \
        MOCK_IOCTL, .path = "(not open)", .number = 0xFF09, .answer = -ENOTTY                      \
    }
#define NO_COMMAND(r)                                                                              \
    {                                                                                              \
        MOCK_REBOOT, .number = 1, .answer = (r)                                                    \
    }
#define CAD_OFF(r)                                                                                 \
    {                                                                                              \
        MOCK_REBOOT, .number = LINUX_REBOOT_CMD_CAD_OFF, .answer = (r)                             \
    }
#define LINK(name, r)                                                                              \
    {                                                                                              \
        MOCK_OPEN, .path = "/proc/self/ns/" name, .number = O_RDONLY, .answer = (r)                \
    }

static void reboot_tells_an_old_kernels_namespaces(void **unused)
{
    (void)unused;
    MOCK_EXPECT(OLD, NO_COMMAND(-EINVAL), CAD_OFF(0));
    assert_true(lethe_identity_is_machine());
    mock_finish();
    MOCK_EXPECT(OLD, NO_COMMAND(-EINVAL), CAD_OFF(-EINVAL));
    assert_false(lethe_identity_is_machine());
    mock_finish();
}

static void a_doubt_is_a_no(void **unused)
{
    (void)unused;
    MOCK_EXPECT(OLD, NO_COMMAND(-EPERM), CAD_OFF(-EPERM), LINK("pid", -EACCES),
                LINK("user", -EACCES));
    assert_false(lethe_identity_is_machine());
    mock_finish();
    MOCK_EXPECT(OLD, NO_COMMAND(0), LINK("pid", -ENOENT), LINK("user", -ENOENT));
    assert_false(lethe_identity_is_machine());
    mock_finish();
    MOCK_EXPECT(OLD, NO_COMMAND(-EPERM), CAD_OFF(-EPERM), LINK("pid", 0), LINK("user", 0));
    assert_false(lethe_identity_is_machine()); /* opened, and no file of the kernel's */
    mock_finish();
}

enum { PASSED, FAILED, SKIPPED = 77 };

/* In a pid namespace below a user namespace, where `in_chroot` in an empty root, without /proc. */
static int says_no(bool in_chroot)
{
    int status;
    if (unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS))
        return SKIPPED;
    if (lethe_identity_is_machine()) /* its pid namespace is still the one outside */
        return FAILED;
    pid_t child = fork();
    if (!child) {
        if (in_chroot && (mount("x", "/tmp", "tmpfs", 0, NULL) || chroot("/tmp")))
            _exit(SKIPPED);
        _exit(getpid() != 1 || lethe_identity_is_machine() ? FAILED : PASSED);
    }
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : FAILED;
}

static void namespaces_are_no_machine(void **unused)
{
    (void)unused;
    for (int in_chroot = 0; in_chroot < 2; in_chroot++) {
        int status;
        pid_t child = fork();
        if (!child)
            _exit(says_no(in_chroot));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == SKIPPED)
            skip();
        assert_int_equal(WEXITSTATUS(status), PASSED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reboot_tells_an_old_kernels_namespaces),
        cmocka_unit_test(a_doubt_is_a_no),
        cmocka_unit_test(namespaces_are_no_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
