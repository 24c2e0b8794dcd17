/* SPDX-License-Identifier: GPL-3.0-or-later */
/* In an IPC namespace of its own, for what is erased is all there is; in an empty root, for a mount
 * point is made there. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lethe/kernel/ipc.h"
#include "lethe/kernel/sys.h"

enum { SIZE = 3 << 20 };
enum { PASSED, FAILED, SKIPPED = 77 };

static const struct lethe_sys *kernel;

static size_t four_times_the_page(void)
{
    return 4 * kernel->page_size();
}

/* The answer of a kernel whose pages are four of this one's. */
static int mincore_of_it(void *at, size_t size, unsigned char *pages)
{
    unsigned char small[4 * 4096];
    const size_t page = kernel->page_size(), n = (size + page - 1) / page;
    if (n > sizeof small)
        return -1;
    int r = kernel->mincore(at, size, small);
    for (size_t i = 0; i < n; i++)
        pages[i / 4] = (unsigned char)(i % 4 ? pages[i / 4] | small[i] : small[i]);
    return r;
}

static bool enter(void)
{
    return !unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC) &&
           !mount("x", "/tmp", "tmpfs", 0, NULL) && !chroot("/tmp") && !chdir("/");
}

/* Data at both ends and in the middle, with nothing between. */
static int erases(size_t page)
{
    static const size_t places[] = {100, SIZE / 2 + 5, SIZE - 6};
    struct lethe_ram_fs_erased erased;
    char *segment = shmat(shmget(IPC_PRIVATE, SIZE, IPC_CREAT | 0600), NULL, 0);
    for (int i = 0; i < 3; i++)
        memcpy(segment + places[i], "secret", 6);
    lethe_ipc_erase(&erased);
    for (int i = 0; i < 3; i++)
        for (int c = 0; c < 6; c++)
            if (segment[places[i] + (size_t)c])
                return FAILED;
    /* The root may have no room for a directory where queues are looked for: that is told. */
    bool told = erased.failed == 1 && erased.first_error == -ENOENT;
    return (erased.failed && !told) || erased.files != 1 || erased.bytes != 3 * page ? FAILED
                                                                                     : PASSED;
}

static void erases_by_pages_of(struct lethe_sys *table)
{
    int status;
    kernel = lethe_sys;
    pid_t child = fork();
    if (!child) {
        lethe_sys = table ? table : kernel;
        _exit(enter() ? erases(lethe_sys->page_size()) : SKIPPED);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == SKIPPED)
        skip();
    assert_int_equal(WEXITSTATUS(status), PASSED);
}

static void erases_shared_memory(void **unused)
{
    (void)unused;
    erases_by_pages_of(NULL);
}

static void erases_it_where_pages_are_larger(void **unused)
{
    (void)unused;
    struct lethe_sys table = *lethe_sys;
    table.page_size = four_times_the_page;
    table.mincore = mincore_of_it;
    erases_by_pages_of(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(erases_shared_memory),
        cmocka_unit_test(erases_it_where_pages_are_larger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
