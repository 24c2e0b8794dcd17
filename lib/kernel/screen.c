/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/screen.h"

#include <fcntl.h>
#include <linux/fb.h>
#include <linux/tiocl.h>
#include <linux/tty.h>
#include <linux/vt.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "lethe/kernel/face.h"
#include "lethe/kernel/sys.h"

/* Waits until so many bytes can be read. */
static bool await_bytes(int fd, int n)
{
    enum { POLL_MS = 2, POLLS = 200 };
    const struct timespec pause = {0, POLL_MS * 1000000};
    int there = 0;
    for (int i = 0; i < POLLS && !ioctl(fd, FIONREAD, &there) && there < n; i++)
        nanosleep(&pause, NULL);
    return there >= n;
}

/* Has the terminal type the answers to so many questions (respond_string(), drivers/tty/vt/vt.c). */
static bool ask(int fd, int n)
{
    static const char question[] = "\033[5n";
    enum { ANSWER = sizeof "\033[0n" - 1 };
    for (int i = 0; i < n; i++)
        if (write(fd, question, sizeof question - 1) < 0)
            return false;
    return await_bytes(fd, n * ANSWER);
}

/* What was typed, read or not, stays in the buffers of the line discipline and of its echo as long
 * as anybody has the terminal open, and where nobody had, in one of the terminal's own, which is
 * zeroed as it is handed on. The first answer hands it on, the others fill both buffers from their
 * beginning (N_TTY_BUF_SIZE, drivers/tty/n_tty.c). */
static void forget_typed(int fd)
{
    enum { BUFFER = 4096, ANSWER = 4 };
    struct termios settings;
    if (tcgetattr(fd, &settings))
        return;
    settings.c_iflag = settings.c_oflag = 0;
    settings.c_lflag = ECHO;
    tcsetattr(fd, TCSANOW, &settings);
    ask(fd, 1);
    tcflush(fd, TCIFLUSH);
    ask(fd, BUFFER / ANSWER - 1);
    tcflush(fd, TCIFLUSH);
}

/* Where the console is none of these, another line discipline gets another buffer. */
static void forget_typed_on_console(void)
{
    const int none = N_NULL, usual = N_TTY;
    int fd = lethe_sys_open_device("/dev/console", O_RDWR | O_NOCTTY | O_NONBLOCK, S_IFCHR, 0);
    if (fd < 0)
        return;
    if (!ioctl(fd, TIOCSETD, &none))
        ioctl(fd, TIOCSETD, &usual);
    lethe_sys->close(fd);
}

/* Clears a terminal if it exists. Opening one makes it; its screen's device (vcs(4)) opens only
 * when it exists. */
static void clear_terminal(int number)
{
    static const char clear[] = "\033c\033[3J";
    char path[32];
    snprintf(path, sizeof path, "/dev/vcs%d", number);
    int screen = lethe_sys->open(path, O_RDONLY);
    if (screen < 0)
        return;
    lethe_sys->close(screen);
    snprintf(path, sizeof path, "/dev/tty%d", number);
    int fd = lethe_sys_open_device(path, O_RDWR | O_NOCTTY | O_NONBLOCK, S_IFCHR, 0);
    if (fd < 0)
        return;
    forget_typed(fd);
    ssize_t written = write(fd, clear, sizeof clear - 1);
    (void)written;
    lethe_sys->close(fd);
}

static void clear_frame_buffer(int number)
{
    static char
        zeroes[65536]; /* never written: not const, so that the program's file does not hold it */
    struct fb_fix_screeninfo info;
    char path[32];
    snprintf(path, sizeof path, "/dev/fb%d", number);
    int fd = lethe_sys_open_device(path, O_WRONLY, S_IFCHR, 0);
    if (fd < 0)
        return;
    if (!ioctl(fd, FBIOGET_FSCREENINFO, &info))
        for (size_t left = info.smem_len; left;) {
            ssize_t n = write(fd, zeroes, left < sizeof zeroes ? left : sizeof zeroes);
            if (n <= 0)
                break;
            left -= (size_t)n;
        }
    lethe_sys->close(fd);
}

/* What was selected on a terminal last stays in the kernel until something else is: a cell is, on
 * the terminal in front (set_selection_kernel(), drivers/tty/vt/selection.c). */
static void forget_selection(void)
{
    struct {
        char unused, command; /* so that the area is aligned */
        struct tiocl_selection area;
    } request = {.command = TIOCL_SETSEL, .area = {1, 1, 1, 1, TIOCL_SELCHAR}};
    int fd = lethe_sys_open_device("/dev/tty0", O_RDWR | O_NOCTTY | O_NONBLOCK, S_IFCHR, 0);
    if (fd < 0)
        return;
    ioctl(fd, TIOCLINUX, &request.command);
    request.area.sel_mode = TIOCL_SELCLEAR; /* takes the highlight away */
    ioctl(fd, TIOCLINUX, &request.command);
    lethe_sys->close(fd);
}

/* Returns the terminal to which the kernel itself writes. */
static int kernels_terminal(void)
{
    char get_redirect = TIOCL_GETKMSGREDIRECT;
    struct vt_stat state = {0};
    int fd = lethe_sys_open_device("/dev/tty0", O_RDWR | O_NOCTTY | O_NONBLOCK, S_IFCHR, 0);
    if (fd < 0)
        return 0;
    int number = ioctl(fd, TIOCLINUX, &get_redirect);
    if (number <= 0)
        number = ioctl(fd, VT_GETSTATE, &state) ? 0 : state.v_active;
    lethe_sys->close(fd);
    return number;
}

static bool shows_something(int number)
{
    static char screen[1 << 17];
    char path[32];
    snprintf(path, sizeof path, "/dev/vcs%d", number);
    ssize_t n = lethe_sys_read_file(AT_FDCWD, path, screen, sizeof screen);
    for (ssize_t i = 0; i < n; i++)
        if (screen[i] != ' ')
            return true;
    return false;
}

unsigned lethe_screen_count_written(void)
{
    unsigned n = 0;
    const int kernels = kernels_terminal(), own = lethe_face_terminal();
    for (int i = 1; i <= MAX_NR_CONSOLES; i++)
        n += i != kernels && i != own && shows_something(i);
    return n;
}

void lethe_screen_clear(void)
{
    enum { FRAME_BUFFERS = 32 }; /* FB_MAX, linux/fb.h */
    for (int i = 1; i <= MAX_NR_CONSOLES; i++)
        if (i != lethe_face_terminal())
            clear_terminal(i);
    forget_typed_on_console();
    for (int i = 0; i < FRAME_BUFFERS; i++)
        clear_frame_buffer(i);
    forget_selection();
    lethe_face_redraw();
}
