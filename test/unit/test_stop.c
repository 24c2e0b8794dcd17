/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <linux/nbd.h>
#include <linux/raid/md_u.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

#include "lethe/kernel/stop.h"
#include "mock_sys.h"

#define CONTROL                                                                                    \
    {                                                                                              \
        MOCK_OPEN, .path = "/dev/mapper/control", .number = O_RDWR                                 \
    }
#define DM(request, ...)                                                                           \
    {                                                                                              \
        MOCK_IOCTL, .path = "/dev/mapper/control", .number = request, __VA_ARGS__                  \
    }
#define NODE(node)                                                                                 \
    {                                                                                              \
        MOCK_OPEN, .path = (node), .number = O_RDONLY | O_NONBLOCK                                 \
    }

static const struct lethe_block crypt = {.devno = {254, 3},
                                         .name = "lethe-test-no-such-device",
                                         .kind = LETHE_BLOCK_CRYPT,
                                         .dm_name = "home",
                                         .dm_uuid = "CRYPT-LUKS2-1-home",
                                         .file = "",
                                         .disk = LETHE_NONE};

static struct lethe_block block(const char *name, enum lethe_block_kind kind)
{
    struct lethe_block b = crypt;
    b.name = name;
    b.kind = kind;
    return b;
}

/* What every device-mapper request must have: the device by its number and nothing by its name. */
static const struct dm_ioctl *check_head(const void *argument)
{
    const struct dm_ioctl *head = argument;
    mock_check(head->version[0] == 4 && head->version[1] == 0, "the interface's version");
    mock_check(head->dev == makedev(254, 3), "the device's number");
    mock_check(!head->name[0] && !head->uuid[0], "neither name nor uuid");
    mock_check(head->data_start >= sizeof *head && head->data_start < head->data_size,
               "room for data");
    return head;
}

static void plain_request(void *argument)
{
    mock_check(!check_head(argument)->flags, "no flags");
}

static void suspend(void *argument)
{
    mock_check(check_head(argument)->flags ==
                   (DM_SUSPEND_FLAG | DM_SKIP_LOCKFS_FLAG | DM_NOFLUSH_FLAG),
               "suspend without flush or freeze");
}

static void resume(void *argument)
{
    mock_check(!(check_head(argument)->flags & DM_SUSPEND_FLAG), "resume");
}

static void key_wipe(void *argument)
{
    const struct dm_ioctl *head = check_head(argument);
    const struct dm_target_msg *message = (const void *)((const char *)argument + head->data_start);
    mock_check(message->sector == 0, "sector 0");
    mock_check(!strcmp(message->message, "key wipe"), "the message");
}

static void deferred(void *argument)
{
    mock_check(check_head(argument)->flags == DM_DEFERRED_REMOVE, "deferred");
}

static void stops_device_mapper(void **unused)
{
    (void)unused;
    const struct lethe_block plain = block("dm-3", LETHE_BLOCK_DM);
    MOCK_EXPECT(CONTROL, DM(DM_DEV_REMOVE, .look = plain_request), CONTROL,
                DM(DM_DEV_REMOVE, .look = plain_request, .answer = -EBUSY));
    assert_int_equal(lethe_stop_device(&crypt), 0);
    assert_int_equal(lethe_stop_device(&plain), -EBUSY);
    mock_finish();
}

static void says_when_there_is_no_device_mapper(void **unused)
{
    (void)unused;
    MOCK_EXPECT({MOCK_OPEN, .path = "/dev/mapper/control", .number = O_RDWR, .answer = -ENOENT});
    assert_int_equal(lethe_stop_device(&crypt), -ENOENT);
    mock_finish();
}

/* As while a device goes whose removal was deferred until nobody used it. */
static void one_that_has_gone_by_itself_is_stopped(void **unused)
{
    (void)unused;
    MOCK_EXPECT(CONTROL, DM(DM_DEV_REMOVE, .answer = -ENXIO));
    assert_int_equal(lethe_stop_device(&crypt), 0);
    mock_finish();
}

static void detaches_loops(void **unused)
{
    (void)unused;
    const struct lethe_block loop = block("loop7", LETHE_BLOCK_LOOP);
    MOCK_EXPECT(NODE("/dev/loop7"), {MOCK_IOCTL, .path = "/dev/loop7", .number = LOOP_CLR_FD});
    assert_int_equal(lethe_stop_device(&loop), 0);
    mock_finish();
    MOCK_EXPECT(NODE("/dev/loop7"),
                {MOCK_IOCTL, .path = "/dev/loop7", .number = LOOP_CLR_FD, .answer = -ENXIO});
    assert_int_equal(lethe_stop_device(&loop), -ENXIO);
    mock_finish();
    MOCK_EXPECT({MOCK_OPEN, .path = "/dev/loop7", .number = O_RDONLY | O_NONBLOCK, .other = true});
    assert_int_equal(lethe_stop_device(&loop), -ESTALE);
    mock_finish();
}

static void stops_arrays(void **unused)
{
    (void)unused;
    const struct lethe_block md = block("md127", LETHE_BLOCK_MD);
    MOCK_EXPECT(NODE("/dev/md127"), {MOCK_IOCTL, .path = "/dev/md127", .number = STOP_ARRAY});
    assert_int_equal(lethe_stop_device(&md), 0);
    mock_finish();
}

static void a_name_with_a_slash_is_found(void **unused)
{
    (void)unused;
    const struct lethe_block md = block("md!127!x", LETHE_BLOCK_MD);
    MOCK_EXPECT(
        {MOCK_OPEN, .path = "/dev/md/127/x", .number = O_RDONLY | O_NONBLOCK, .answer = -ENXIO});
    assert_int_equal(lethe_stop_device(&md), -ENXIO);
    mock_finish();
}

static void resets_zram(void **unused)
{
    (void)unused;
    const struct lethe_block zram = block("zram0", LETHE_BLOCK_ZRAM);
    MOCK_EXPECT(
        {MOCK_WRITE_FILE, .path = "/sys/class/block/zram0/reset", .text = "1", .answer = -EBUSY});
    assert_int_equal(lethe_stop_device(&zram), -EBUSY);
    mock_finish();
}

/* Its cache too, which it may be without, and is when that has stopped it. */
static void stops_bcache(void **unused)
{
    (void)unused;
    const struct lethe_block bcache = block("bcache7", LETHE_BLOCK_BCACHE);
    static const char set[] = "/sys/class/block/bcache7/bcache/cache/stop",
                      one[] = "/sys/class/block/bcache7/bcache/stop";
    static const int answers[][3] = {
        {0, 0, 0}, {-ENOENT, 0, 0}, {0, -ENOENT, 0}, {-ENOENT, -EIO, -EIO}};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        MOCK_EXPECT({MOCK_WRITE_FILE, .path = set, .text = "1", .answer = answers[i][0]},
                    {MOCK_WRITE_FILE, .path = one, .text = "1", .answer = answers[i][1]});
        assert_int_equal(lethe_stop_device(&bcache), answers[i][2]);
        mock_finish();
    }
}

/* It must not take a device away from who uses it, but for a server that is given up. */
static void disconnects_nbd(void **unused)
{
    (void)unused;
    const struct lethe_block nbd = block("nbd0", LETHE_BLOCK_NBD);
    const int unused_only = O_RDONLY | O_NONBLOCK | O_EXCL;
    MOCK_EXPECT({MOCK_OPEN, .path = "/dev/nbd0", .number = unused_only},
                {MOCK_IOCTL, .path = "/dev/nbd0", .number = NBD_DISCONNECT},
                {MOCK_IOCTL, .path = "/dev/nbd0", .number = NBD_CLEAR_SOCK});
    assert_int_equal(lethe_stop_device(&nbd), 0);
    mock_finish();
    MOCK_EXPECT({MOCK_OPEN, .path = "/dev/nbd0", .number = unused_only, .answer = -EBUSY});
    assert_int_equal(lethe_stop_device(&nbd), -EBUSY);
    mock_finish();
    MOCK_EXPECT(NODE("/dev/nbd0"), {MOCK_IOCTL, .path = "/dev/nbd0", .number = NBD_CLEAR_SOCK});
    assert_int_equal(lethe_stop_cut_off(&nbd), 0);
    mock_finish();
}

static void leaves_other_devices_alone(void **unused)
{
    (void)unused;
    const struct lethe_block disk = block("sda", LETHE_BLOCK_PLAIN),
                             ramdisk = block("ram0", LETHE_BLOCK_BRD);
    mock_expect(NULL, 0);
    assert_int_equal(lethe_stop_device(&disk), -EOPNOTSUPP);
    assert_int_equal(lethe_stop_device(&ramdisk), -EOPNOTSUPP);
    mock_finish();
}

static void suspend_of_one_part(void *argument)
{
    struct dm_ioctl *head = argument;
    suspend(argument);
    head->target_count = 1;
}

/* The device is not in this machine's /sys: its size is not known and no table can be loaded. */
static void wipes_a_key_whatever_fails(void **unused)
{
    (void)unused;
    int64_t wiped_ms = 0;
    MOCK_EXPECT(CONTROL, DM(DM_DEV_SUSPEND, .look = suspend, .answer = -ENXIO), CONTROL,
                DM(DM_TARGET_MSG, .look = key_wipe, .answer = -EINVAL), CONTROL,
                DM(DM_DEV_SUSPEND, .look = resume, .answer = -EINVAL), CONTROL,
                DM(DM_DEV_REMOVE, .look = deferred));
    assert_int_equal(lethe_stop_wipe_key(&crypt, &wiped_ms), -ENODATA);
    assert_int_equal(wiped_ms, 0);
    mock_finish();
    MOCK_EXPECT(CONTROL, DM(DM_DEV_SUSPEND, .look = suspend_of_one_part), CONTROL,
                DM(DM_TARGET_MSG, .look = key_wipe), CONTROL, DM(DM_DEV_SUSPEND, .look = resume),
                CONTROL, DM(DM_DEV_REMOVE, .look = deferred, .answer = -EBUSY));
    assert_int_equal(lethe_stop_wipe_key(&crypt, &wiped_ms), -ENODATA);
    assert_true(wiped_ms > 0);
    mock_finish();
}

static void a_crypt_target(void *argument)
{
    struct dm_ioctl *head = argument;
    const struct dm_target_spec target = {.target_type = "crypt"};
    mock_check(check_head(argument)->flags == DM_NOFLUSH_FLAG, "the status of it, without a flush");
    head->target_count = 1;
    memcpy((char *)argument + head->data_start, &target, sizeof target);
}

static void knows_which_devices_hold_a_key(void **unused)
{
    (void)unused;
    struct lethe_block dm = block("dm-3", LETHE_BLOCK_DM);
    const struct lethe_block loop = block("loop7", LETHE_BLOCK_LOOP);
    dm.dm_uuid = "LVM-1";
    mock_expect(NULL, 0);
    assert_true(lethe_stop_holds_key(&crypt));
    assert_false(lethe_stop_holds_key(&dm));
    assert_false(lethe_stop_holds_key(&loop));
    mock_finish();
    dm.dm_uuid = "";
    MOCK_EXPECT(CONTROL, DM(DM_TABLE_STATUS, .look = a_crypt_target), CONTROL, DM(DM_TABLE_STATUS),
                CONTROL, DM(DM_TABLE_STATUS, .answer = -ENXIO));
    assert_true(lethe_stop_holds_key(&dm));
    assert_false(lethe_stop_holds_key(&dm));
    assert_false(lethe_stop_holds_key(&dm));
    mock_finish();
}

/* What a multipath says of itself (multipath_status()), with one path; that of no number is one
 * that has gone. */
static void give_status(void *argument, const char *type, const char *status)
{
    struct dm_ioctl *head = argument;
    struct dm_target_spec target = {.next = 0};
    char *data = (char *)argument + check_head(argument)->data_start;
    mock_check(head->flags == DM_NOFLUSH_FLAG, "the status of it, without a flush");
    snprintf(target.target_type, sizeof target.target_type, "%s", type);
    head->target_count = 1;
    memcpy(data, &target, sizeof target);
    memcpy(data + sizeof target, status, strlen(status) + 1);
}

static void a_path_that_failed(void *argument)
{
    give_status(argument, "multipath", "2 1 0 0 1 1 E 0 1 1 1:1 F 1 0");
}

static void a_path_that_has_gone(void *argument)
{
    give_status(argument, "multipath", "2 0 0 0 1 1 A 0 1 1 4095:1 A 0 0");
}

static void a_linear_target(void *argument)
{
    give_status(argument, "linear", "");
}

static void fail_if_no_path(void *argument)
{
    const struct dm_ioctl *head = check_head(argument);
    const struct dm_target_msg *message = (const void *)((const char *)argument + head->data_start);
    mock_check(!strcmp(message->message, "fail_if_no_path"), "the message");
}

static void only_a_multipath_without_a_path_is_told_to_fail(void **unused)
{
    (void)unused;
    struct lethe_block dm = block("dm-3", LETHE_BLOCK_DM);
    dm.dm_uuid = "LVM-1";
    mock_expect(NULL, 0);
    assert_int_equal(lethe_stop_queueing(&crypt, true), -EOPNOTSUPP);
    assert_int_equal(lethe_stop_queueing(&dm, true), -EOPNOTSUPP);
    mock_finish();
    dm.dm_uuid = "mpath-3600";
    MOCK_EXPECT(CONTROL, DM(DM_TABLE_STATUS, .look = a_path_that_failed), CONTROL,
                DM(DM_TARGET_MSG, .look = fail_if_no_path), CONTROL,
                DM(DM_TABLE_STATUS, .look = a_path_that_has_gone), CONTROL,
                DM(DM_TARGET_MSG, .look = fail_if_no_path));
    assert_int_equal(lethe_stop_queueing(&dm, false), 0);
    assert_int_equal(lethe_stop_queueing(&dm, false), 0);
    mock_finish();
    dm.dm_uuid = "";
    MOCK_EXPECT(CONTROL, DM(DM_TABLE_STATUS, .look = a_linear_target), CONTROL,
                DM(DM_TABLE_STATUS, .answer = -ENXIO));
    assert_int_equal(lethe_stop_queueing(&dm, true), -EOPNOTSUPP);
    assert_int_equal(lethe_stop_queueing(&dm, true), -ENXIO);
    mock_finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stops_device_mapper),
        cmocka_unit_test(says_when_there_is_no_device_mapper),
        cmocka_unit_test(one_that_has_gone_by_itself_is_stopped),
        cmocka_unit_test(detaches_loops),
        cmocka_unit_test(stops_arrays),
        cmocka_unit_test(a_name_with_a_slash_is_found),
        cmocka_unit_test(resets_zram),
        cmocka_unit_test(stops_bcache),
        cmocka_unit_test(disconnects_nbd),
        cmocka_unit_test(leaves_other_devices_alone),
        cmocka_unit_test(only_a_multipath_without_a_path_is_told_to_fail),
        cmocka_unit_test(wipes_a_key_whatever_fails),
        cmocka_unit_test(knows_which_devices_hold_a_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
