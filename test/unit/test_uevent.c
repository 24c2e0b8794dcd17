/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lethe/plan/uevent.h"

/* Of a string's bytes, the NUL at its end left out, in memory of exactly their size. */
static bool parse(struct lethe_uevent *event, const char *text, size_t n)
{
    char *copy = malloc(n ? n : 1);
    memcpy(copy, text, n);
    bool good = lethe_uevent_parse(event, (struct lethe_span){copy, n});
    free(copy);
    return good;
}
#define PARSE(event, text) parse(event, text, sizeof(text) - 1)

static void reads_a_removed_disk(void **unused)
{
    (void)unused;
    struct lethe_uevent event;
    assert_true(PARSE(&event,
                      "remove@/devices/pci0000:00/0000:00:01.0/usb2/2-1/block/sda\0"
                      "ACTION=remove\0DEVPATH=/devices/x/block/sda\0SUBSYSTEM=block\0"
                      "MAJOR=8\0MINOR=16\0DEVNAME=sda\0DEVTYPE=disk\0DISKSEQ=9\0SEQNUM=1234\0"));
    assert_int_equal(event.action, LETHE_UEVENT_REMOVE);
    assert_true(event.is_block && !event.media);
    assert_int_equal(event.devno.major, 8);
    assert_int_equal(event.devno.minor, 16);
}

static void reads_a_changed_disc(void **unused)
{
    (void)unused;
    struct lethe_uevent event;
    assert_true(PARSE(&event, "change@/devices/x/block/sr0\0ACTION=change\0SUBSYSTEM=block\0"
                              "DISK_MEDIA_CHANGE=1\0MAJOR=11\0MINOR=0\0"));
    assert_int_equal(event.action, LETHE_UEVENT_CHANGE);
    assert_true(event.is_block && event.media);
}

static void reads_a_device_of_the_usb(void **unused)
{
    (void)unused;
    struct lethe_uevent event;
    assert_true(
        PARSE(&event, "add@/devices/x/usb1/1-2\0ACTION=add\0SUBSYSTEM=usb\0MAJOR=189\0MINOR=3"));
    assert_int_equal(event.action, LETHE_UEVENT_ADD);
    assert_true(event.is_usb && !event.is_block);
    assert_int_equal(event.devno.minor, 3);
}

static void reads_a_change_of_power(void **unused)
{
    (void)unused;
    struct lethe_uevent event;
    assert_true(PARSE(&event, "change@/devices/x/power_supply/AC\0ACTION=change\0"
                              "SUBSYSTEM=power_supply\0POWER_SUPPLY_NAME=AC\0"
                              "POWER_SUPPLY_TYPE=Mains\0POWER_SUPPLY_ONLINE=0\0SEQNUM=9\0"));
    assert_int_equal(event.action, LETHE_UEVENT_CHANGE);
    assert_true(event.is_power && !event.is_usb && !event.is_block);
}

static void passes_over_what_it_does_not_know(void **unused)
{
    (void)unused;
    struct lethe_uevent event;
    assert_true(PARSE(
        &event, "bind@/x\0ACTION=bind\0SUBSYSTEM=blockade\0MAJOR=-1\0MINOR=99999999999\0=\0\0"));
    assert_int_equal(event.action, LETHE_UEVENT_OTHER);
    assert_false(event.is_block);
    assert_int_equal(event.devno.major, 0);
    assert_int_equal(event.devno.minor, 0);
}

static void refuses_what_is_no_message_of_the_kernels(void **unused)
{
    (void)unused;
    struct lethe_uevent event;
    assert_false(PARSE(&event, ""));
    assert_false(PARSE(&event, "libudev\0\xfe\xed\xca\xfe@"));
    assert_false(PARSE(&event, "\0remove@/x\0ACTION=remove"));
}

static void takes_identities_as_sysfs_writes_them(void **unused)
{
    (void)unused;
    char out[32];
    assert_true(lethe_uevent_usb_identity("usb:0ABC:00fF", out, sizeof out));
    assert_string_equal(out, "usb:0abc:00ff");
    assert_true(lethe_uevent_usb_identity("usb:0951:1666:60A4 x:y", out, sizeof out));
    assert_string_equal(out, "usb:0951:1666:60A4 x:y");
}

static void refuses_what_is_no_identity(void **unused)
{
    (void)unused;
    static const char *const bad[] = {"",
                                      "lanyard",
                                      "usb:951:1666",
                                      "usb:0951:1666:",
                                      "usb:0951:16666",
                                      "usb:0x51:1666",
                                      "usb: 951:1666",
                                      "USB:0951:1666",
                                      "usb:0951-1666",
                                      "usb:0951:1666:a serial number without end"};
    char out[32];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(lethe_uevent_usb_identity(bad[i], out, sizeof out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_removed_disk),
        cmocka_unit_test(reads_a_changed_disc),
        cmocka_unit_test(reads_a_device_of_the_usb),
        cmocka_unit_test(reads_a_change_of_power),
        cmocka_unit_test(passes_over_what_it_does_not_know),
        cmocka_unit_test(refuses_what_is_no_message_of_the_kernels),
        cmocka_unit_test(takes_identities_as_sysfs_writes_them),
        cmocka_unit_test(refuses_what_is_no_identity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
