/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/face.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kd.h>
#include <linux/vt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "lethe/kernel/log.h"
#include "lethe/kernel/self.h"
#include "lethe/kernel/sys.h"

/* The last terminal that there may be, which nobody uses (MAX_NR_CONSOLES, linux/vt.h). */
enum { OWN_TERMINAL = 63, KERNELS_TERMINAL = 1, TICK_MS = 100 };

/* Shared by the supervisor, the process that draws, and the workers. */
struct board {
    _Atomic unsigned state, drawn;   /* enum lethe_page_state and one more; 0: none yet */
    _Atomic unsigned asked, n_lines; /* redraws; lines that were said */
    _Atomic int terminal;            /* 0: it has none yet */
    unsigned left;
    char lines[LETHE_PAGE_LINES][LETHE_PAGE_LINE]; /* a ring */
};

static struct board *board;

#define WORDS "LETHE_WORDS"

/* -- the terminal ------------------------------------------------------------------------------ */

/* False where nothing shows pixels: without a card the terminals belong to the kernel's dummy
 * console. */
static bool has_screen(void)
{
    char path[64], text[64];
    for (int i = 0; i < 16; i++) {
        snprintf(path, sizeof path, "/sys/class/vtconsole/vtcon%d/bind", i);
        if (!lethe_sys_read_line(AT_FDCWD, path, text, sizeof text) || strcmp(text, "1"))
            continue;
        snprintf(path, sizeof path, "/sys/class/vtconsole/vtcon%d/name", i);
        if (lethe_sys_read_line(AT_FDCWD, path, text, sizeof text) && !strstr(text, "dummy"))
            return true;
    }
    return false;
}

static int open_terminal(int number)
{
    char path[32];
    snprintf(path, sizeof path, "/dev/tty%d", number);
    return lethe_sys->open(path, O_RDWR | O_NONBLOCK);
}

static void set(int terminal, unsigned long request, unsigned long value)
{
    lethe_sys->ioctl(terminal, request, (void *)value); // NOLINT(performance-no-int-to-ptr)
}

/* Makes a terminal one that the kernel leaves without asking. It does not leave one in graphics
 * mode, and asks the owner of one that wants to be asked (vt_ioctl.c, change_console()); that owner
 * may be dead or hang. */
static void wrest_from_owner(int terminal)
{
    struct vt_mode automatic = {.mode = VT_AUTO};
    lethe_sys->ioctl(terminal, VT_SETMODE, &automatic);
    set(terminal, KDSETMODE, KD_TEXT);
}

static bool is_active(int terminal, int number)
{
    struct vt_stat state;
    return !lethe_sys->ioctl(terminal, VT_GETSTATE, &state) && state.v_active == number;
}

/* Polls until the terminal is active; VT_WAITACTIVE may never return. */
static void await_active(int terminal, int number)
{
    const struct timespec pause = {0, 5 * 1000 * 1000};
    enum { WAIT_MS = 1000 };
    for (int64_t end = lethe_sys_now_ms() + WAIT_MS;
         lethe_sys_now_ms() < end && !is_active(terminal, number);)
        nanosleep(&pause, NULL);
}

/* Brings a terminal of its own to the front and returns it, or else the one in front. Going through
 * graphics mode has the frame buffer set anew even where a display server still holds the card
 * (drm_fb_helper_set_par(), FB_ACTIVATE_KD_TEXT). No key may switch away afterwards. */
static int take_terminal(void)
{
    char redirect[2] = {11, KERNELS_TERMINAL}; /* TIOCL_SETKMSGREDIRECT, linux/tiocl.h */
    int before = open_terminal(0);
    int own = open_terminal(OWN_TERMINAL);
    if (before >= 0)
        wrest_from_owner(before);
    if (own < 0)
        return before;
    wrest_from_owner(own);
    set(own, VT_UNLOCKSWITCH, 0);
    set(own, VT_ACTIVATE, OWN_TERMINAL);
    await_active(own, OWN_TERMINAL);
    set(own, KDSETMODE, KD_GRAPHICS);
    set(own, KDSETMODE, KD_TEXT);
    set(own, VT_LOCKSWITCH, 0);
    lethe_sys->ioctl(own, TIOCLINUX, redirect);
    if (before >= 0)
        lethe_sys->close(before);
    return own;
}

static int number_of(int terminal)
{
    struct vt_stat state;
    return lethe_sys->ioctl(terminal, VT_GETSTATE, &state) ? 0 : state.v_active;
}

/* -- drawing ----------------------------------------------------------------------------------- */

struct face {
    const struct lethe_progress *progress;
    int terminal;
    struct lethe_words words;
    struct lethe_page page;
    unsigned bar; /* its row, 0: there is none */
    char lines[LETHE_PAGE_LINES][LETHE_PAGE_LINE];
    uint64_t files_kib, free_kib; /* when they were most: what is counted from */
};

static void send(const struct face *face, const char *text)
{
    (void)!write(face->terminal, text, strlen(text));
}

/* Counts with sysinfo(2): it has the same numbers as /proc/meminfo and needs no memory. */
static void count(struct face *face)
{
    struct sysinfo info;
    struct lethe_page *page = &face->page;
    if (sysinfo(&info))
        return;
    uint64_t files = (uint64_t)info.sharedram * info.mem_unit >> 10;
    uint64_t free = (uint64_t)info.freeram * info.mem_unit >> 10;
    bool fills = face->progress->task >> 56 == LETHE_TASK_FILL_MEMORY;
    if (files > face->files_kib)
        face->files_kib = files;
    if (!fills || free > face->free_kib)
        face->free_kib = free;
    page->label = fills ? LETHE_WORD_MEMORY : LETHE_WORD_FILES;
    page->all_kib = fills ? face->free_kib : face->files_kib;
    page->done_kib = page->all_kib - (fills ? free : files);
}

static void take_lines(struct face *face)
{
    unsigned n = board->n_lines, shown = n < LETHE_PAGE_LINES ? n : LETHE_PAGE_LINES;
    for (unsigned i = 0; i < shown; i++)
        memcpy(face->lines[i], board->lines[(n - shown + i) % LETHE_PAGE_LINES], LETHE_PAGE_LINE);
    face->page.lines = face->lines;
    face->page.n_lines = shown;
}

static void measure(struct face *face)
{
    struct winsize size = {.ws_row = 0};
    bool known = !lethe_sys->ioctl(face->terminal, TIOCGWINSZ, &size) && size.ws_row;
    face->page.rows = known ? size.ws_row : 25;
    face->page.columns = known ? size.ws_col : 80;
}

static void draw(struct face *face, unsigned state)
{
    static char text[LETHE_PAGE_BYTES];
    measure(face);
    take_lines(face);
    face->page.state = (enum lethe_page_state)(state - 1);
    face->page.left = board->left;
    face->bar = lethe_page_print(text, &face->page);
    send(face, text);
    board->drawn = state;
}

static void move_bar(struct face *face)
{
    static char text[LETHE_PAGE_BYTES];
    if (!face->bar)
        return;
    lethe_page_print_bar(text, &face->page, face->bar);
    send(face, text);
}

static void complain(void *context, const char *file, size_t line, struct lethe_span text,
                     const char *why)
{
    (void)context, (void)file, (void)line, (void)text, (void)why;
}

static void read_words(struct lethe_words *words)
{
    const struct lethe_complaint silent = {.tell = complain};
    const char *text = getenv(WORDS);
    lethe_words_default(words);
    if (text)
        lethe_words_parse(words, lethe_span(text), &silent);
}

/* Finds the file with the sentences. After systemd's pivot the armed tmpfs is the root; the second
 * stage has neither place and gets the text with its environment. */
static void find_words(void)
{
    static const char *const places[] = {LETHE_FACE_WORDS, "/words"};
    char text[LETHE_WORDS_BYTES];
    for (size_t i = 0; !getenv(WORDS) && i < sizeof places / sizeof *places; i++)
        if (lethe_sys_read_text(AT_FDCWD, places[i], text, sizeof text))
            setenv(WORDS, text, 1);
}

static _Noreturn void show(const struct lethe_progress *progress)
{
    static struct face face;
    const struct timespec pause = {0, TICK_MS * 1000 * 1000};
    unsigned state = 0, asked = 0, n_lines = 0;
    uint64_t done = 0;
    lethe_log_close(); /* see log.h: what the kernel keeps for an open log has to go */
    lethe_self_close_all();
    face = (struct face){.progress = progress, .terminal = take_terminal()};
    face.page.words = &face.words;
    read_words(&face.words);
    board->terminal = number_of(face.terminal);
    for (;; nanosleep(&pause, NULL)) {
        count(&face);
        if (state != board->state || asked != board->asked || n_lines != board->n_lines) {
            state = board->state, asked = board->asked, n_lines = board->n_lines;
            draw(&face, state);
        } else if (face.page.done_kib != done) {
            move_bar(&face);
        }
        done = face.page.done_kib;
    }
}

/* -- for the others ---------------------------------------------------------------------------- */

/* True when the line is on the screen, or will be. */
static bool take_line(const char *line)
{
    char *place = board->lines[board->n_lines % LETHE_PAGE_LINES];
    lethe_text_printable(place, LETHE_PAGE_LINE, line);
    board->n_lines++;
    return board->terminal != 0;
}

static bool make_board(void)
{
    if (board)
        return true;
    void *shared = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (shared == MAP_FAILED)
        return false;
    board = shared;
    return true;
}

void lethe_face_start(const struct lethe_progress *progress)
{
    if (!progress || !has_screen() || !make_board())
        return;
    find_words();
    board->state = LETHE_PAGE_WORKING + 1;
    board->drawn = 0;
    board->terminal = 0;
    lethe_log_show_on(take_line);
    if (!fork())
        show(progress);
}

int lethe_face_terminal(void)
{
    return board ? board->terminal : 0;
}

void lethe_face_redraw(void)
{
    if (board)
        board->asked++;
}

bool lethe_face_end(unsigned left)
{
    enum { WAIT_MS = 300 };
    const struct timespec pause = {0, 5 * 1000 * 1000};
    if (!lethe_face_terminal())
        return false;
    board->left = left;
    unsigned state = (left ? LETHE_PAGE_LEFT : LETHE_PAGE_DONE) + 1;
    board->state = state;
    for (int64_t end = lethe_sys_now_ms() + WAIT_MS;
         board->drawn != state && lethe_sys_now_ms() < end;)
        nanosleep(&pause, NULL);
    return board->drawn == state;
}
