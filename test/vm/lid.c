/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * lid
 *
 * Is a laptop's lid (uinput, linux/uinput.h), open at first: each line that it reads closes or
 * opens it.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/uinput.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void turn(int fd, int closed)
{
    const struct input_event events[] = {{.type = EV_SW, .code = SW_LID, .value = closed},
                                         {.type = EV_SYN, .code = SYN_REPORT}};
    if (write(fd, events, sizeof events) != sizeof events)
        err(1, "write");
}

int main(void)
{
    const struct uinput_setup setup = {.id = {.bustype = BUS_VIRTUAL}, .name = "a lid"};
    char line[16];
    int fd = open("/dev/uinput", O_WRONLY);
    if (fd < 0 || ioctl(fd, UI_SET_EVBIT, EV_SW) || ioctl(fd, UI_SET_SWBIT, SW_LID) ||
        ioctl(fd, UI_DEV_SETUP, &setup) || ioctl(fd, UI_DEV_CREATE))
        err(1, "/dev/uinput");
    for (int closed = 1; fgets(line, sizeof line, stdin); closed = !closed)
        turn(fd, closed);
    return 0;
}
