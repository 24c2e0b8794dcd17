/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * mock_sys: the table of system calls (lethe/sys.h) played from a script.
 *
 * A test lists the calls that it expects, in order, with their answers. Any other call is answered
 * -EIO and remembered; mock_finish() fails for it, for calls that were not made and for descriptors
 * that were not closed. The state is shared with forked children, whose calls count like the
 * test's own. close() is not scripted: it must be given a descriptor that open() gave.
 */
#ifndef LETHE_TEST_MOCK_SYS_H
#define LETHE_TEST_MOCK_SYS_H

#include <stdbool.h>
#include <stddef.h>

enum mock_kind {
    MOCK_OPEN,
    MOCK_MOUNT,
    MOCK_UMOUNT,
    MOCK_STRIP,
    MOCK_SWAPOFF,
    MOCK_IOCTL,
    MOCK_SYNCFS,
    MOCK_WRITE_FILE,
    MOCK_KILL,
    MOCK_END_CONNECTIONS,
    MOCK_REBOOT,
    MOCK_KEXEC_UNLOAD,
};

struct mock_call {
    enum mock_kind kind;
    const char *path; /* what is opened, mounted on, unmounted, …; for ioctl and syncfs the path
                         that its descriptor was opened by */
    const char *text; /* write_file's text, mount's source, reboot's argument; NULL: any */
    unsigned long number; /* flags, ioctl's request, kill's signal, whether all, reboot's command */
    int answer;           /* 0 or -errno; open() makes up a descriptor when it is 0 */
    bool kept;            /* open: the descriptor is never closed, on purpose */
    bool other;           /* open: what is there is not the device that is meant */
    void (*look)(void *argument); /* ioctl: looks at the argument, may fill it in */
};

#define MOCK_EXPECT(...)                                                                           \
    mock_expect((const struct mock_call[]){__VA_ARGS__},                                           \
                sizeof((const struct mock_call[]){__VA_ARGS__}) / sizeof(struct mock_call))

/* Points lethe_sys at the script. */
void mock_expect(const struct mock_call *calls, size_t n);

/* Points lethe_sys back at the kernel and fails the test unless all went as it was written. */
void mock_finish(void);

/* For look(): like assert_true(), but good in a child too. */
void mock_check(bool good, const char *what);

#endif
