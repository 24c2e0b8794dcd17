/* SPDX-License-Identifier: GPL-3.0-or-later */
/* splash TERMINAL: owns a virtual terminal as a splash screen or a display server does: it is in
 * front, in graphics mode, and nobody leaves it before this process agrees, which it never does.
 * Its name asks systemd and its like to spare it. */
#include <fcntl.h>
#include <linux/kd.h>
#include <linux/vt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct vt_mode asked = {.mode = VT_PROCESS, .relsig = SIGUSR1, .acqsig = SIGUSR2};
    char path[32];
    int number = argc > 1 ? atoi(argv[1]) : 7;
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
