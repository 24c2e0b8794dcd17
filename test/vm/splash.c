/* SPDX-License-Identifier: GPL-3.0-or-later */
/* splash TERMINAL: owns a virtual terminal as a splash screen or a display server does: it is in
 * front, in graphics mode, and nobody leaves it before this process agrees, which it never does.
 * Its name asks systemd and its like to spare it.
 *
 * splash TERMINAL N: selects the first N characters on the terminal in front, as gpm does. */
#include <fcntl.h>
#include <linux/kd.h>
#include <linux/tiocl.h>
#include <linux/vt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int select_line(const char *terminal, unsigned short n)
{
    struct {
        char unused, command;
        struct tiocl_selection area;
    } request = {0, TIOCL_SETSEL, {1, 1, n, 1, TIOCL_SELCHAR}};
    char path[32];
    snprintf(path, sizeof path, "/dev/tty%s", terminal);
    int fd = open(path, O_RDWR | O_NOCTTY);
    if (fd >= 0 && !ioctl(fd, TIOCLINUX, &request.command))
        return 0;
    perror(path);
    return 1;
}

int main(int argc, char **argv)
{
    struct vt_mode asked = {.mode = VT_PROCESS, .relsig = SIGUSR1, .acqsig = SIGUSR2};
    char path[32];
    int number = argc > 1 ? atoi(argv[1]) : 7;
    if (argc > 2)
        return select_line(argv[1], (unsigned short)atoi(argv[2]));
    if (argv[0][0] != '@')
        return execl("/proc/self/exe", "@splash", argv[1], NULL);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    snprintf(path, sizeof path, "/dev/tty%d", number);
    int fd = open(path, O_RDWR | O_NOCTTY);
    if (fd < 0 || ioctl(fd, VT_ACTIVATE, number) || ioctl(fd, VT_WAITACTIVE, number) ||
        ioctl(fd, VT_SETMODE, &asked) || ioctl(fd, KDSETMODE, KD_GRAPHICS)) {
        perror(path);
        return 1;
    }
    puts("splash");
    fflush(stdout);
    for (;;)
        pause();
}
