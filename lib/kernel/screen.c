/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/screen.h"

#include <fcntl.h>
#include <linux/fb.h>
#include <linux/tiocl.h>
#include <linux/vt.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lethe/kernel/face.h"
#include "lethe/kernel/sys.h"

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
    int fd = lethe_sys_open_device(path, O_WRONLY | O_NOCTTY | O_NONBLOCK, S_IFCHR, 0);
    if (fd < 0)
        return;
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
    for (int i = 0; i < FRAME_BUFFERS; i++)
        clear_frame_buffer(i);
    forget_selection();
    lethe_face_redraw();
}
