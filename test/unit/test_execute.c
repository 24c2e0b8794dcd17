/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "lethe/kernel/execute.h"
#include "lethe/kernel/left.h"
#include "lethe/kernel/sweep.h"
#include "mock_sys.h"
#include "scene.h"

enum { ROOT, HOME, RUN, FUSE, NFS };

static const struct lethe_block luks =
    BLOCK(254, 0, "dm-0", LETHE_BLOCK_CRYPT, .dm_name = "home", .dm_uuid = "CRYPT-");
static const struct lethe_policy policy = {.name = "test",
                                           .step_ms = 1000,
                                           .write_ms = 1000,
                                           .erase_ms = 1000,
                                           .total_ms = 1000,
                                           .writes_back = true,
                                           .is_patient = true};

static struct scene scene;
static struct lethe_progress *progress;

static int set_up(void **unused)
{
    (void)unused;
    scene_init(&scene, &(struct scene_input){
                           .mountinfo = lethe_span("1 0 0:1 / / rw - proc a rw\n"
                                                   "2 1 254:0 / /home rw - ext4 /dev/dm-0 rw\n"
                                                   "3 1 0:3 / /run rw - tmpfs run rw\n"
                                                   "4 1 0:4 / /fuse rw - fuse.sshfs x rw\n"
                                                   "5 1 0:5 / /nfs rw - nfs4 x:/ rw\n"),
                           .swaps = lethe_span("/dev/dm-0 partition 1 0 0\n"),
                           .blocks = &luks,
                           .n_blocks = 1,
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

static unsigned execute(const struct lethe_policy *p, struct lethe_step step)
{
    const struct lethe_plan plan = {.steps = &step, .n_steps = 1};
    return lethe_execute(&plan, &scene.snapshot, p, progress);
}

/* After an unmount its device is asked whether anybody still holds it. */
#define ASKED                                                                                      \
    {                                                                                              \
        MOCK_OPEN, .path = "/dev/dm-0", .number = O_RDONLY | O_NONBLOCK | O_EXCL, .answer = -EBUSY \
    }

static void unmounts(void **unused)
{
    (void)unused;
    MOCK_EXPECT({MOCK_UMOUNT, .path = "/home", .number = UMOUNT_NOFOLLOW}, ASKED);
    assert_int_equal(execute(&policy, (struct lethe_step){LETHE_STEP_UNMOUNT, HOME, false, "", 0}),
                     1);
    mock_finish();
    assert_int_equal(progress->account.unmounted, 1);
    assert_int_equal(progress->account.failed, 0);
    assert_int_equal(progress->deadline_ms, 0);
}

static void writes_back_before_it_detaches_what_is_busy(void **unused)
{
    (void)unused;
    MOCK_EXPECT({MOCK_UMOUNT, .path = "/home", .number = UMOUNT_NOFOLLOW, .answer = -EBUSY},
                {MOCK_OPEN, .path = "/home", .number = O_RDONLY | O_DIRECTORY},
                {MOCK_SYNCFS, .path = "/home", .answer = -EIO}, /* no reason to stop */
                {MOCK_UMOUNT, .path = "/home", .number = UMOUNT_NOFOLLOW | MNT_DETACH}, ASKED);
    assert_int_equal(execute(&policy, (struct lethe_step){LETHE_STEP_UNMOUNT, HOME, false, "", 0}),
                     1);
    mock_finish();
}

static void detaches_nothing_that_a_daemon_may_need(void **unused)
{
    (void)unused;
    progress->n_daemons = 1;
    MOCK_EXPECT({MOCK_UMOUNT, .path = "/home", .number = UMOUNT_NOFOLLOW, .answer = -EBUSY},
                {MOCK_UMOUNT, .path = "/fuse", .number = UMOUNT_NOFOLLOW});
    assert_int_equal(execute(&policy, (struct lethe_step){LETHE_STEP_UNMOUNT, HOME, false, "", 0}),
                     0);
    assert_int_equal(execute(&policy, (struct lethe_step){LETHE_STEP_UNMOUNT, FUSE, false, "", 0}),
                     1); /* its daemon still serves: nothing is aborted */
    mock_finish();
}

static void does_not_write_back_where_nothing_is_stored(void **unused)
{
    (void)unused;
    MOCK_EXPECT({MOCK_UMOUNT, .path = "/", .number = UMOUNT_NOFOLLOW | MNT_DETACH});
    assert_int_equal(execute(&policy, (struct lethe_step){LETHE_STEP_UNMOUNT, ROOT, true, "", 0}),
                     1);
    mock_finish();
}

static void does_not_write_back_against_its_policy(void **unused)
{
    (void)unused;
    struct lethe_policy hasty = policy;
    hasty.writes_back = false;
    MOCK_EXPECT({MOCK_UMOUNT, .path = "/home", .number = UMOUNT_NOFOLLOW, .answer = -EBUSY},
                {MOCK_UMOUNT, .path = "/home", .number = UMOUNT_NOFOLLOW | MNT_DETACH});
    assert_int_equal(execute(&hasty, (struct lethe_step){LETHE_STEP_UNMOUNT, HOME, false, "", 0}),
                     1);
    mock_finish();
}

static void holds_what_is_stuck_while_it_detaches_it(void **unused)
{
    (void)unused;
    progress->stuck[progress->n_stuck++] = lethe_task_id(LETHE_TASK_UNMOUNT, 2);
    MOCK_EXPECT({MOCK_OPEN, .path = "/home", .number = O_PATH, .kept = true},
                {MOCK_UMOUNT, .path = "/home", .number = MNT_DETACH}, ASKED);
    assert_int_equal(execute(&policy, (struct lethe_step){LETHE_STEP_UNMOUNT, HOME, false, "", 0}),
                     1);
    mock_finish();
    progress->stuck[progress->n_stuck++] = lethe_task_id(LETHE_TASK_DETACH, 2);
    mock_expect(NULL, 0); /* stuck again: left alone */
    assert_int_equal(execute(&policy, (struct lethe_step){LETHE_STEP_UNMOUNT, HOME, false, "", 0}),
                     0);
    mock_finish();
}

/* Nobody answers a FUSE mount any more; NFS gets its time to write first. */
static void aborts_what_no_one_answers(void **unused)
{
    (void)unused;
    const struct lethe_step fuse = {LETHE_STEP_UNMOUNT, FUSE, false, "", 0},
                            nfs = {LETHE_STEP_UNMOUNT, NFS, false, "", 0};
    MOCK_EXPECT({MOCK_UMOUNT, .path = "/fuse", .number = UMOUNT_NOFOLLOW | MNT_FORCE},
                {MOCK_UMOUNT, .path = "/nfs", .number = UMOUNT_NOFOLLOW},
                {MOCK_UMOUNT, .path = "/nfs", .number = UMOUNT_NOFOLLOW | MNT_FORCE | MNT_DETACH});
    assert_int_equal(execute(&policy, fuse), 1);
    assert_int_equal(execute(&policy, nfs), 1);
    progress->stuck[progress->n_stuck++] = lethe_task_id(LETHE_TASK_UNMOUNT, 5);
    assert_int_equal(execute(&policy, nfs), 1);
    mock_finish();
}

static void counts_what_failed_and_goes_on(void **unused)
{
    (void)unused;
    struct lethe_step steps[] = {{LETHE_STEP_ERASE, RUN, false, "", 0},
                                 {LETHE_STEP_SWAPOFF, 0, false, "", 0},
                                 {LETHE_STEP_UNMOUNT, RUN, false, "", 0},
                                 {LETHE_STEP_STOP, 0, false, "", 0}};
    const struct lethe_plan plan = {.steps = steps, .n_steps = 4};
    MOCK_EXPECT(
        {MOCK_OPEN, .path = "/run", .number = O_PATH | O_NOFOLLOW, .answer = -ESTALE},
        {MOCK_SWAPOFF, .path = "/dev/dm-0", .answer = -ENOMEM},
        {MOCK_UMOUNT, .path = "/run", .number = UMOUNT_NOFOLLOW, .answer = -EINVAL},
        {MOCK_OPEN, .path = "/dev/mapper/control", .number = O_RDWR},
        {MOCK_IOCTL, .path = "/dev/mapper/control", .number = DM_DEV_REMOVE, .answer = -EBUSY});
    assert_int_equal(lethe_execute(&plan, &scene.snapshot, &policy, progress), 0);
    mock_finish();
    assert_int_equal(progress->account.failed, 3);
    assert_int_equal(progress->account.not_erased, 1);
    assert_int_equal(progress->n_finished, 0);
}

static void does_a_finished_thing_once(void **unused)
{
    (void)unused;
    const struct lethe_step stop = {LETHE_STEP_STOP, 0, false, "", 0};
    MOCK_EXPECT({MOCK_OPEN, .path = "/dev/mapper/control", .number = O_RDWR},
                {MOCK_IOCTL, .path = "/dev/mapper/control", .number = DM_DEV_REMOVE});
    assert_int_equal(execute(&policy, stop), 1);
    assert_int_equal(execute(&policy, stop), 0);
    mock_finish();
    assert_int_equal(progress->account.stopped, 1);
}

static void switches_swap_off(void **unused)
{
    (void)unused;
    MOCK_EXPECT({MOCK_SWAPOFF, .path = "/dev/dm-0"});
    assert_int_equal(execute(&policy, (struct lethe_step){LETHE_STEP_SWAPOFF, 0, false, "", 0}), 1);
    mock_finish();
}

static void drops_caches_unless_that_is_stuck(void **unused)
{
    (void)unused;
    MOCK_EXPECT({MOCK_WRITE_FILE, .path = "/proc/sys/vm/drop_caches", .text = "3"});
    lethe_sweep_caches(&policy, progress);
    progress->stuck[progress->n_stuck++] = lethe_task_id(LETHE_TASK_DROP_CACHES, 0);
    lethe_sweep_caches(&policy, progress);
    mock_finish();
}

static void reports_what_is_left(void **unused)
{
    (void)unused;
    struct lethe_step steps[] = {{LETHE_STEP_ERASE, RUN, false, "", 0},
                                 {LETHE_STEP_UNMOUNT, RUN, false, "", 0},
                                 {LETHE_STEP_STOP, 0, false, "", 0}};
    const struct lethe_plan plan = {.steps = steps, .n_steps = 3},
                            none = {.steps = steps, .n_steps = 0};
    assert_int_equal(lethe_left_report(&plan, &scene.snapshot, false), 2);
    assert_int_equal(lethe_left_report(&none, &scene.snapshot, false), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* Its branch's mount is a bind of one file of RAM, which the mock's descriptors are made to lead
 * to. */
static struct scene scene_of_union(int file, const char *type, const char *options)
{
    static char text[512];
    struct stat st;
    struct scene s;
    assert_int_equal(fstat(file, &st), 0);
    snprintf(text, sizeof text,
             "1 0 0:1 / / rw - %s u rw,%s\n"
             "2 1 %u:%u / /branch rw - tmpfs t rw\n",
             type, options, major(st.st_dev), minor(st.st_dev));
    scene_init(&s, &(struct scene_input){.mountinfo = lethe_span(text), .swaps = lethe_span("")});
    assert_int_equal(s.r, 0);
    return s;
}

/* The calls of one erasure; its descriptors are those of the calls `first` and `first` + 3. */
#define ERASED(fd)                                                                                 \
    {MOCK_OPEN, .path = "/branch", .number = O_PATH | O_NOFOLLOW, .kept = true},                   \
        {MOCK_MOUNT, .path = "/branch", .number = MS_REMOUNT},                                     \
        {MOCK_MOUNT, .path = "/branch", .number = MS_REMOUNT | MS_BIND},                           \
    {                                                                                              \
        MOCK_OPEN, .path = "/proc/self/fd/" fd, .number = O_RDWR | O_NONBLOCK, .kept = true        \
    }

static void erase_and_unmount(int file, const char *type, const char *options)
{
    enum { FIRST_FD = 1000 };
    struct scene s = scene_of_union(file, type, options);
    struct lethe_step steps[] = {{LETHE_STEP_ERASE, 1, false, "", 0},
                                 {LETHE_STEP_UNMOUNT, 1, false, "", 0}};
    const struct lethe_plan plan = {.steps = steps, .n_steps = 2};
    struct stat st;
    for (int i = 0; i < 8; i++)
        dup2(file, FIRST_FD + i);
    assert_int_equal(pwrite(file, "x", 1, 0), 1);
    assert_int_equal(lethe_execute(&plan, &s.snapshot, &policy, progress), 2);
    mock_finish();
    assert_int_equal(fstat(file, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(progress->account.erased_file_systems, 1);
    scene_finish(&s);
    for (int i = 0; i < 8; i++)
        close(FIRST_FD + i);
}

/* What is mounted on such a union is found by names of its branches: they go right before. */
static void names_of_a_branch_go_with_its_last_mount(void **unused)
{
    (void)unused;
    int file = memfd_create("branch", 0);
    MOCK_EXPECT(ERASED("1000"), ERASED("1004"),
                {MOCK_UMOUNT, .path = "/branch", .number = UMOUNT_NOFOLLOW});
    erase_and_unmount(file, "aufs", "br:/branch=rw:/ro=ro");
    close(file);
}

/* overlay pins what it has looked up. */
static void an_overlay_does_not_miss_the_names_of_its_branch(void **unused)
{
    (void)unused;
    int file = memfd_create("branch", 0);
    MOCK_EXPECT(ERASED("1000"), {MOCK_UMOUNT, .path = "/branch", .number = UMOUNT_NOFOLLOW});
    erase_and_unmount(file, "overlay", "lowerdir=/ro,upperdir=/branch");
    close(file);
}

enum { MANY = 64 };

/* /many, then what is mounted on it. */
static struct scene scene_of_many(void)
{
    static char text[8192];
    struct scene many;
    int n =
        snprintf(text, sizeof text, "1 0 0:1 / / rw - ext4 x rw\n2 1 0:2 / /many rw - proc a rw\n");
    for (int i = 0; i < MANY; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%d 2 0:2 / /many/%d rw - proc a rw\n",
                      i + 3, i);
    scene_init(&many,
               &(struct scene_input){.mountinfo = lethe_span(text), .swaps = lethe_span("")});
    scene_plan(&many, false);
    assert_int_equal(many.r, 0);
    assert_int_equal(many.plan.steps[0].together, MANY);
    many.plan.n_steps = MANY + 1;
    return many;
}

static void many_mounts_go_with_one_call(void **unused)
{
    (void)unused;
    struct scene many = scene_of_many();
    MOCK_EXPECT({MOCK_STRIP, .path = "/many"},
                {MOCK_UMOUNT, .path = "/many", .number = UMOUNT_NOFOLLOW});
    assert_int_equal(lethe_execute(&many.plan, &many.snapshot, &policy, progress), MANY + 1);
    mock_finish();
    assert_int_equal(progress->account.unmounted, MANY + 1);
    assert_int_equal(progress->account.failed, 0);
    scene_finish(&many);
}

static void many_mounts_go_one_by_one_where_they_must(void **unused)
{
    (void)unused;
    struct scene many = scene_of_many();
    many.plan.n_steps = 2;
    MOCK_EXPECT({MOCK_STRIP, .path = "/many", .answer = -ENOSYS},
                {MOCK_UMOUNT, .path = "/many/63", .number = UMOUNT_NOFOLLOW},
                {MOCK_UMOUNT, .path = "/many/62", .number = UMOUNT_NOFOLLOW});
    assert_int_equal(lethe_execute(&many.plan, &many.snapshot, &policy, progress), 2);
    mock_finish();
    assert_int_equal(progress->account.unmounted, 2);
    scene_finish(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(unmounts),
        TEST(writes_back_before_it_detaches_what_is_busy),
        TEST(detaches_nothing_that_a_daemon_may_need),
        TEST(does_not_write_back_where_nothing_is_stored),
        TEST(does_not_write_back_against_its_policy),
        TEST(holds_what_is_stuck_while_it_detaches_it),
        TEST(aborts_what_no_one_answers),
        TEST(counts_what_failed_and_goes_on),
        TEST(many_mounts_go_with_one_call),
        TEST(many_mounts_go_one_by_one_where_they_must),
        TEST(does_a_finished_thing_once),
        TEST(switches_swap_off),
        TEST(drops_caches_unless_that_is_stuck),
        TEST(reports_what_is_left),
        TEST(names_of_a_branch_go_with_its_last_mount),
        TEST(an_overlay_does_not_miss_the_names_of_its_branch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
