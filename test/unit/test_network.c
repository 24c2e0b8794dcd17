/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/nbd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

#include "lethe/kernel/network.h"
#include "mock_sys.h"
#include "scene.h"

#define GIVE_UP(all)                                                                               \
    {MOCK_WRITE_FILE, .path = "/proc/sys/net/ipv4/tcp_retries2", .text = "0"},                     \
    {                                                                                              \
        MOCK_END_CONNECTIONS, .number = (all)                                                      \
    }
#define OPEN(at)                                                                                   \
    {                                                                                              \
        MOCK_OPEN, .path = (at), .number = O_RDONLY | O_NONBLOCK                                   \
    }
#define SYNC(at)                                                                                   \
    {                                                                                              \
        MOCK_SYNCFS, .path = (at)                                                                  \
    }
#define CUT(at)                                                                                    \
    OPEN(at),                                                                                      \
    {                                                                                              \
        MOCK_IOCTL, .path = (at), .number = NBD_CLEAR_SOCK                                         \
    }

enum { ONE, ONE_PART, CRYPT, TWO, DISK };
static const size_t on_part[] = {ONE_PART};
static const struct lethe_block blocks[] = {
    BLOCK(43, 0, "nbd0", LETHE_BLOCK_NBD),
    BLOCK(43, 1, "nbd0p1", LETHE_BLOCK_PLAIN, .disk = ONE),
    BLOCK(43, 2, "dm-0", LETHE_BLOCK_CRYPT, .slaves = on_part, .n_slaves = 1),
    BLOCK(43, 3, "nbd1", LETHE_BLOCK_NBD),
    BLOCK(43, 4, "sda", LETHE_BLOCK_PLAIN),
};
static const struct lethe_policy patient = {.name = "test",
                                            .step_ms = 1000,
                                            .answer_ms = 1000,
                                            .writes_back = true,
                                            .is_patient = true},
                                 hasty = {.name = "test", .step_ms = 1000};

static struct scene scene;
static struct lethe_progress *progress;

static int set_up(void **unused)
{
    (void)unused;
    scene_init(&scene, &(struct scene_input){
                           .mountinfo = lethe_span("1 0 0:1 / / rw - proc a rw\n"
                                                   "2 1 43:2 / /crypt rw - ext4 /dev/dm-0 rw\n"
                                                   "3 1 43:2 /in /bind rw - ext4 /dev/dm-0 rw\n"
                                                   "4 1 43:3 / /two rw - ext4 /dev/nbd1 rw\n"
                                                   "5 1 43:4 / /disk rw - ext4 /dev/sda rw\n"),
                           .blocks = blocks,
                           .n_blocks = sizeof blocks / sizeof *blocks,
                       });
    progress = lethe_progress_new();
    return scene.r;
}

static int tear_down(void **unused)
{
    (void)unused;
    scene_finish(&scene);
    return 0;
}

static void writes_back_what_lies_on_the_network_once(void **unused)
{
    (void)unused;
    MOCK_EXPECT(OPEN("/two"), SYNC("/two"), OPEN("/bind"), SYNC("/bind"));
    lethe_network_write_or_cut(&scene.snapshot, &patient, progress);
    lethe_network_write_or_cut(&scene.snapshot, &patient, progress);
    mock_finish();
    assert_false(progress->cut_off);
    assert_int_equal(progress->deadline_ms, 0);
}

/* A worker before this one was left behind in it. */
static void cuts_off_the_server_that_does_not_answer(void **unused)
{
    (void)unused;
    lethe_task_set_stuck(progress, lethe_task_id(LETHE_TASK_WRITE_BACK_REMOTE, makedev(43, 2)));
    MOCK_EXPECT(OPEN("/two"), SYNC("/two"), GIVE_UP(false), CUT("/dev/nbd0"));
    lethe_network_write_or_cut(&scene.snapshot, &patient, progress);
    lethe_network_write_or_cut(&scene.snapshot, &patient,
                               progress); /* there is nothing left to cut */
    mock_finish();
    assert_true(progress->cut_off);
}

static void cuts_off_all_at_once_against_writing_back(void **unused)
{
    (void)unused;
    MOCK_EXPECT(GIVE_UP(true), CUT("/dev/nbd0"), {MOCK_END_CONNECTIONS, .number = true},
                CUT("/dev/nbd1"));
    lethe_network_write_or_cut(&scene.snapshot, &hasty, progress);
    mock_finish();
    assert_true(progress->cut_off);
}

/* What still answers must not lose a request for another server's sake. */
static void does_not_keep_failing_what_answers(void **unused)
{
    static const struct lethe_block loop =
        BLOCK(43, 0, "loop0", LETHE_BLOCK_LOOP, .file_devno = {0, 50});
    struct scene on_nfs;
    (void)unused;
    scene_init(&on_nfs, &(struct scene_input){
                            .mountinfo = lethe_span("1 0 0:1 / / rw - proc a rw\n"
                                                    "2 1 0:50 / /share rw - nfs server:/ rw\n"
                                                    "3 1 0:51 / /other rw - nfs server:/ rw\n"
                                                    "4 1 43:0 / /in rw - ext4 /dev/loop0 rw\n"),
                            .blocks = &loop,
                            .n_blocks = 1,
                        });
    assert_int_equal(on_nfs.r, 0);
    lethe_task_set_stuck(progress, lethe_task_id(LETHE_TASK_WRITE_BACK_REMOTE, makedev(0, 51)));
    assert_int_equal(lethe_network_keep_failing(&on_nfs.snapshot, LETHE_NETWORK_GIVEN_UP, progress),
                     -1);
    scene_finish(&on_nfs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writes_back_what_lies_on_the_network_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(cuts_off_the_server_that_does_not_answer, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(cuts_off_all_at_once_against_writing_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(does_not_keep_failing_what_answers, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
