/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What PID 1 looks like stands in a /proc of files. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

#include "jail.h"
#include "lethe/kernel/sys.h"
#include "lethe/kernel/takeover.h"
#include "mock_sys.h"

#define SYSTEMD "/usr/lib/systemd/systemd"
#define PLACE "/usr/lib/systemd/systemd-shutdown"
#define PROGRAM "/run/lethe/lethe"

static const struct lethe_sys *kernel;
static int *answers; /* of what was asked in the jail, in order */

/* What stands in the place of systemd-shutdown. */
enum place { NOTHING, ANOTHER, THE_PROGRAM };

struct machine {
    const char *init; /* the program of PID 1; NULL: it can't be told */
    enum place place;
    bool no_program; /* the one that is asked for is missing */
};

static void put_machine(const struct machine *m)
{
    if (m->init)
        jail_link("/proc/1/exe", m->init);
    if (!m->no_program)
        jail_put(PROGRAM, "lethe");
    jail_put(SYSTEMD, "systemd");
    if (m->place == ANOTHER)
        jail_put(PLACE, "lethe"); /* the same bytes, another file */
    if (m->place == THE_PROGRAM && link(PROGRAM, PLACE))
        _exit(1);
}

static void ask(const void *machine)
{
    put_machine(machine);
    answers[0] = lethe_takeover_is_armed(PROGRAM);
    answers[1] = lethe_takeover_has_begun();
}

static void expect(struct machine m, bool armed, bool begun)
{
    answers[0] = answers[1] = -1;
    jail_run(ask, &m);
    assert_int_equal(answers[0], armed);
    assert_int_equal(answers[1], begun);
}

static void only_the_program_in_its_place_is_armed(void **unused)
{
    (void)unused;
    expect((struct machine){SYSTEMD, THE_PROGRAM, false}, true, false);
    expect((struct machine){SYSTEMD, ANOTHER, false}, false, false);
    expect((struct machine){SYSTEMD, NOTHING, false}, false, false);
    expect((struct machine){SYSTEMD, ANOTHER, true}, false, false);
    expect((struct machine){SYSTEMD, NOTHING, true}, false, false);
}

static void the_look_of_pid_1_says_whether_it_has_begun(void **unused)
{
    (void)unused;
    expect((struct machine){SYSTEMD " (deleted)", THE_PROGRAM, false}, true, false);
    expect((struct machine){PLACE, THE_PROGRAM, false}, false, true);
    expect((struct machine){PLACE " (deleted)", THE_PROGRAM, false}, false, true);
    expect((struct machine){PROGRAM, THE_PROGRAM, false}, false, true);
    expect((struct machine){NULL, THE_PROGRAM, false}, false, false);
    expect((struct machine){"/sbin/init", ANOTHER, false}, false, true);
}

static void arm(const void *machine)
{
    put_machine(machine);
    answers[0] = lethe_takeover_arm(PROGRAM);
}

/* Calls are those that MOCK_EXPECT() lists before it. */
static void expect_arm(struct machine m, int r)
{
    answers[0] = 1;
    jail_run(arm, &m);
    mock_finish();
    assert_int_equal(answers[0], r);
}

#define TAKE_AWAY                                                                                  \
    {                                                                                              \
        MOCK_UMOUNT, .path = PLACE, .number = MNT_DETACH | UMOUNT_NOFOLLOW, .answer = -EINVAL      \
    }
#define BIND MOCK_MOUNT, .path = PLACE, .text = PROGRAM, .number = MS_BIND

static void binds_the_program_where_it_is_not_yet(void **unused)
{
    (void)unused;
    MOCK_EXPECT(TAKE_AWAY, {BIND}, {MOCK_MOUNT, .path = PLACE, .number = MS_PRIVATE});
    expect_arm((struct machine){SYSTEMD, ANOTHER, false}, 0);
    MOCK_EXPECT(TAKE_AWAY, {BIND, .answer = -EPERM});
    expect_arm((struct machine){SYSTEMD, ANOTHER, false}, -EPERM);
    mock_expect(NULL, 0);
    expect_arm((struct machine){SYSTEMD, THE_PROGRAM, false}, 0);
    mock_expect(NULL, 0);
    expect_arm((struct machine){SYSTEMD, NOTHING, false}, -ENOENT);
    mock_expect(NULL, 0);
    expect_arm((struct machine){"/sbin/init", ANOTHER, false}, -ENOENT);
}

static void disarm(const void *machine)
{
    put_machine(machine);
    for (int i = 0; i < 4; i++)
        answers[i] = lethe_takeover_disarm();
}

static void disarms_what_is_bound(void **unused)
{
    (void)unused;
    const unsigned long flags = MNT_DETACH | UMOUNT_NOFOLLOW;
    MOCK_EXPECT({MOCK_UMOUNT, .path = PLACE, .number = flags}, TAKE_AWAY,
                {MOCK_UMOUNT, .path = PLACE, .number = flags, .answer = -ENOENT},
                {MOCK_UMOUNT, .path = PLACE, .number = flags, .answer = -EPERM});
    jail_run(disarm, &(struct machine){SYSTEMD, ANOTHER, false});
    mock_finish();
    for (int i = 0; i < 3; i++)
        assert_int_equal(answers[i], 0);
    assert_int_equal(answers[3], -EPERM);
}

/* -- signals ----------------------------------------------------------------------------------- */

static int sent_to, sent;

static int record_signal(pid_t pid, int signal)
{
    sent_to = pid;
    sent = signal;
    return -ESRCH;
}

/* The numbers are systemd's (systemd(1)), by glibc's SIGRTMIN. */
static void each_verb_has_its_signal(void **unused)
{
    (void)unused;
    static const struct {
        enum lethe_verb verb;
        int signal;
    } wanted[] = {{LETHE_VERB_HALT, 34 + 13},
                  {LETHE_VERB_POWEROFF, 34 + 14},
                  {LETHE_VERB_REBOOT, 34 + 15},
                  {LETHE_VERB_KEXEC, 34 + 14}};
    struct lethe_sys table = *kernel;
    table.kill = record_signal;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        lethe_sys = &table;
        int r = lethe_takeover_signal(wanted[i].verb);
        lethe_sys = kernel;
        assert_int_equal(r, -ESRCH);
        assert_int_equal(sent_to, 1);
        assert_int_equal(sent, wanted[i].signal);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_program_in_its_place_is_armed),
        cmocka_unit_test(the_look_of_pid_1_says_whether_it_has_begun),
        cmocka_unit_test(binds_the_program_where_it_is_not_yet),
        cmocka_unit_test(disarms_what_is_bound),
        cmocka_unit_test(each_verb_has_its_signal),
    };
    kernel = lethe_sys;
    answers = jail_share(4 * sizeof *answers);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
