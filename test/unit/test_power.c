/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <linux/watchdog.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include <cmocka.h>

#include "lethe/kernel/keyboard.h"
#include "lethe/kernel/power.h"
#include "lethe/kernel/watchdog.h"
#include "mock_sys.h"

static void assert_ends_by(enum lethe_verb verb, unsigned command)
{
    MOCK_EXPECT({MOCK_REBOOT, .number = command});
    assert_int_equal(lethe_power_call(verb, NULL), 0);
    mock_finish();
}

static void each_verb_has_its_command(void **unused)
{
    (void)unused;
    assert_ends_by(LETHE_VERB_POWEROFF, LINUX_REBOOT_CMD_POWER_OFF);
    assert_ends_by(LETHE_VERB_HALT, LINUX_REBOOT_CMD_HALT);
    assert_ends_by(LETHE_VERB_REBOOT, LINUX_REBOOT_CMD_RESTART);
    assert_ends_by(LETHE_VERB_EXIT, LINUX_REBOOT_CMD_POWER_OFF);
    assert_ends_by(LETHE_VERB_NONE, LINUX_REBOOT_CMD_POWER_OFF);
}

static void reboot_hands_on_its_argument(void **unused)
{
    (void)unused;
    MOCK_EXPECT({MOCK_REBOOT, .number = LINUX_REBOOT_CMD_RESTART2, .text = "bootloader"});
    assert_int_equal(lethe_power_call(LETHE_VERB_REBOOT, "bootloader"), 0);
    mock_finish();
    MOCK_EXPECT({MOCK_REBOOT, .number = LINUX_REBOOT_CMD_RESTART2, .text = "x", .answer = -EINVAL},
                {MOCK_REBOOT, .number = LINUX_REBOOT_CMD_RESTART});
    assert_int_equal(lethe_power_call(LETHE_VERB_REBOOT, "x"), 0);
    mock_finish();
    MOCK_EXPECT({MOCK_REBOOT, .number = LINUX_REBOOT_CMD_RESTART});
    assert_int_equal(lethe_power_call(LETHE_VERB_REBOOT, ""), 0);
    mock_finish();
}

static void all_other_ways_are_tried(void **unused)
{
    (void)unused;
    MOCK_EXPECT({MOCK_REBOOT, .number = LINUX_REBOOT_CMD_HALT, .answer = -EPERM},
                {MOCK_REBOOT, .number = LINUX_REBOOT_CMD_POWER_OFF}, /* comes back */
                {MOCK_REBOOT, .number = LINUX_REBOOT_CMD_RESTART, .answer = -EPERM},
                {MOCK_WRITE_FILE, .path = "/proc/sysrq-trigger", .text = "o"},
                {MOCK_WRITE_FILE, .path = "/proc/sysrq-trigger", .text = "b"});
    assert_int_equal(lethe_power_end(LETHE_VERB_HALT, NULL, 30000), -EPERM);
    mock_finish();
}

static void the_watchdog_is_served_when_systemd_armed_it(void **unused)
{
    (void)unused;
    unsetenv("WATCHDOG_DEVICE");
    setenv("WATCHDOG_USEC", "0", 1);
    mock_expect(NULL, 0); /* unless this machine has an active one */
    lethe_watchdog_open();
    lethe_watchdog_ping(NULL);
    mock_finish();
    setenv("WATCHDOG_USEC", "10000000", 1);
    setenv("WATCHDOG_DEVICE", "/dev/watchdog7", 1);
    MOCK_EXPECT({MOCK_OPEN, .path = "/dev/watchdog7", .number = O_WRONLY, .kept = true},
                {MOCK_IOCTL, .path = "/dev/watchdog7", .number = WDIOC_KEEPALIVE});
    lethe_watchdog_open();
    lethe_watchdog_ping(NULL);
    mock_finish();
}

/* By reboot(2), and by its other name where that is forbidden. */
static void no_key_ends_the_machine(void **unused)
{
    (void)unused;
    MOCK_EXPECT({MOCK_REBOOT, .number = LINUX_REBOOT_CMD_CAD_OFF, .answer = -EPERM},
                {MOCK_WRITE_FILE, .path = "/proc/sys/kernel/ctrl-alt-del", .text = "0"},
                {MOCK_WRITE_FILE, .path = "/proc/sys/kernel/cad_pid"},
                {MOCK_WRITE_FILE, .path = "/proc/sys/kernel/sysrq", .text = "0"});
    lethe_keyboard_disarm();
    mock_finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_verb_has_its_command),
        cmocka_unit_test(reboot_hands_on_its_argument),
        cmocka_unit_test(all_other_ways_are_tried),
        cmocka_unit_test(no_key_ends_the_machine),
        cmocka_unit_test(the_watchdog_is_served_when_systemd_armed_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
