/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/hotkey.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"
#include "lethe/plan/text.h"

#define INPUT "/dev/input"

enum { BYTES = KEY_CNT / 8 };

static const struct key {
    const char *name;
    uint16_t codes[2];
} keys[] = {
    {"ctrl", {KEY_LEFTCTRL, KEY_RIGHTCTRL}},
    {"alt", {KEY_LEFTALT, KEY_RIGHTALT}},
    {"shift", {KEY_LEFTSHIFT, KEY_RIGHTSHIFT}},
    {"meta", {KEY_LEFTMETA, KEY_RIGHTMETA}},
    {"leftctrl", {KEY_LEFTCTRL}},
    {"rightctrl", {KEY_RIGHTCTRL}},
    {"leftalt", {KEY_LEFTALT}},
    {"rightalt", {KEY_RIGHTALT}},
    {"leftshift", {KEY_LEFTSHIFT}},
    {"rightshift", {KEY_RIGHTSHIFT}},
    {"esc", {KEY_ESC}},
    {"tab", {KEY_TAB}},
    {"space", {KEY_SPACE}},
    {"enter", {KEY_ENTER, KEY_KPENTER}},
    {"backspace", {KEY_BACKSPACE}},
    {"delete", {KEY_DELETE, KEY_KPDOT}},
    {"insert", {KEY_INSERT, KEY_KP0}},
    {"home", {KEY_HOME, KEY_KP7}},
    {"end", {KEY_END, KEY_KP1}},
    {"pageup", {KEY_PAGEUP, KEY_KP9}},
    {"pagedown", {KEY_PAGEDOWN, KEY_KP3}},
    {"pause", {KEY_PAUSE}},
    {"print", {KEY_SYSRQ, KEY_PRINT}},
    {"menu", {KEY_COMPOSE, KEY_MENU}},
    {"power", {KEY_POWER, KEY_POWER2}},
    {"f11", {KEY_F11}},
    {"f12", {KEY_F12}},
};

/* Returns the number of a key that is named by its letter, digit or own number, or F1 to F10; else
 * 0. Keys in a row on the keyboard have numbers in a row. */
static uint16_t code_of_row(struct lethe_span name)
{
    static const struct {
        const char *row;
        uint16_t first;
    } rows[] = {
        {"1234567890", KEY_1}, {"qwertyuiop", KEY_Q}, {"asdfghjkl", KEY_A}, {"zxcvbnm", KEY_Z}};
    uint64_t number;
    if (name.n > 1 && name.at[0] == 'f' &&
        !lethe_text_number((struct lethe_span){name.at + 1, name.n - 1}, 10, &number) && number)
        return (uint16_t)(KEY_F1 + number - 1);
    if (name.n > 1)
        return !lethe_text_number(name, KEY_MAX, &number) ? (uint16_t)number : 0;
    for (size_t i = 0; name.n && i < sizeof rows / sizeof *rows; i++) {
        const char *at = strchr(rows[i].row, name.at[0]);
        if (at)
            return (uint16_t)(rows[i].first + (at - rows[i].row));
    }
    return 0;
}

static bool find(struct lethe_span name, uint16_t codes[2])
{
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (lethe_span_is(name, keys[i].name)) {
            codes[0] = keys[i].codes[0];
            codes[1] = keys[i].codes[1];
            return true;
        }
    codes[0] = code_of_row(name);
    codes[1] = 0;
    return codes[0] != 0;
}

int lethe_hotkey_add(struct lethe_hotkey *h, const char *text)
{
    struct lethe_span rest = lethe_span(text);
    if (h->n == LETHE_HOTKEY_COMBINATIONS)
        return -EINVAL;
    unsigned n = 0;
    while (rest.at) {
        struct lethe_span name = lethe_text_cut(&rest, '+');
        if (n == LETHE_HOTKEY_KEYS || !find(name, h->combinations[h->n].codes[n]))
            return -EINVAL;
        n++;
    }
    h->combinations[h->n++].n = n;
    return 0;
}

static bool has(const uint8_t *bits, uint16_t code)
{
    return code && bits[code / 8] & 1U << code % 8;
}

static bool has_combination(const struct lethe_hotkey *h, const uint8_t *bits)
{
    for (unsigned c = 0; c < h->n; c++) {
        unsigned i = 0;
        while (i < h->combinations[c].n && (has(bits, h->combinations[c].codes[i][0]) ||
                                            has(bits, h->combinations[c].codes[i][1])))
            i++;
        if (i == h->combinations[c].n)
            return true;
    }
    return false;
}

static int mask(int keyboard, uint32_t type, const uint8_t *bits, uint32_t size)
{
    struct input_mask passed = {type, size, (uintptr_t)bits};
    return lethe_sys->ioctl(keyboard, EVIOCSMASK, &passed);
}

/* Lets only events of keys and switches pass, and of these only the combinations' keys and the lid.
 * The kernel takes whole longs (bits_from_user(), evdev.c). */
static int let_pass(const struct lethe_hotkey *h, int keyboard)
{
    uint8_t types[sizeof(long)] = {1U << EV_KEY | 1U << EV_SW}, codes[BYTES] = {0};
    const uint8_t switches[sizeof(long)] = {h->lid ? 1U << SW_LID : 0};
    for (unsigned c = 0; c < h->n; c++)
        for (unsigned i = 0; i < 2 * h->combinations[c].n; i++) {
            uint16_t code = h->combinations[c].codes[i / 2][i % 2];
            codes[code / 8] |= (uint8_t)(code ? 1U << code % 8 : 0);
        }
    int r = mask(keyboard, EV_SYN, types, sizeof types);
    if (r >= 0)
        r = mask(keyboard, EV_SW, switches, sizeof switches);
    return r < 0 ? r : mask(keyboard, EV_KEY, codes, sizeof codes);
}

static bool has_lid(const struct lethe_hotkey *h, int fd)
{
    uint8_t bits[sizeof(long)] = {0};
    return h->lid && lethe_sys->ioctl(fd, EVIOCGBIT(EV_SW, sizeof bits), bits) >= 0 &&
           bits[0] & 1U << SW_LID;
}

static bool is_lid_closed(const struct lethe_hotkey *h, int fd)
{
    uint8_t bits[sizeof(long)] = {0};
    return h->lid && lethe_sys->ioctl(fd, EVIOCGSW(sizeof bits), bits) >= 0 &&
           bits[0] & 1U << SW_LID;
}

/* Takes a lid for the watcher alone, or systemd-logind would suspend the machine as it is closed,
 * in the middle of the countdown or of the end. A device with keys is left to all. */
static void take_lid(const struct lethe_hotkey *h, int fd, const uint8_t *keys_of_it)
{
    static const uint8_t none[BYTES];
    if (has_lid(h, fd) && !memcmp(keys_of_it, none, BYTES))
        lethe_sys->ioctl(fd, EVIOCGRAB, (void *)1);
}

/* Opens event device `number` if it has what is watched. The kernel's numbers are small, and used
 * again, so they are places in `keyboards`. */
static void open_keyboard(struct lethe_hotkey *h, unsigned number)
{
    uint8_t bits[BYTES] = {0};
    char path[32];
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};
    snprintf(path, sizeof path, INPUT "/event%u", number);
    int fd = lethe_sys->open(path, O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return;
    if (lethe_sys->ioctl(fd, EVIOCGBIT(EV_KEY, sizeof bits), bits) < 0 ||
        (!has_combination(h, bits) && !has_lid(h, fd)) || let_pass(h, fd) < 0 ||
        epoll_ctl(h->sources, EPOLL_CTL_ADD, fd, &event)) {
        lethe_sys->close(fd);
        return;
    }
    take_lid(h, fd, bits);
    h->keyboards[number] = fd;
}

static void open_all(struct lethe_hotkey *h)
{
    for (unsigned i = 0; i < LETHE_HOTKEY_KEYBOARDS; i++)
        if (!h->keyboards[i])
            open_keyboard(h, i);
}

int lethe_hotkey_open(struct lethe_hotkey *h)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = LETHE_HOTKEY_KEYBOARDS};
    h->sources = epoll_create1(EPOLL_CLOEXEC);
    h->arrivals = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (h->sources < 0 || h->arrivals < 0)
        return -errno;
    mkdir(INPUT, 0755); /* without any keyboard it is not there yet */
    if (inotify_add_watch(h->arrivals, INPUT, IN_CREATE) < 0 ||
        epoll_ctl(h->sources, EPOLL_CTL_ADD, h->arrivals, &event))
        return -errno;
    lethe_hotkey_look(h);
    return 0;
}

/* Throws away what has come, unread. False when the device has gone. */
static bool drain(int fd)
{
    char unread[1024];
    ssize_t n;
    while ((n = read(fd, unread, sizeof unread)) > 0)
        memset(unread, 0, (size_t)n);
    return n < 0 && errno == EAGAIN;
}

static bool is_down(const struct lethe_hotkey *h, int keyboard)
{
    uint8_t bits[BYTES] = {0};
    bool down =
        lethe_sys->ioctl(keyboard, EVIOCGKEY(sizeof bits), bits) >= 0 && has_combination(h, bits);
    memset(bits, 0, sizeof bits);
    return down;
}

/* Closes what has gone first: another may have its number by now. */
static void drain_all(struct lethe_hotkey *h)
{
    drain(h->arrivals);
    for (unsigned i = 0; i < LETHE_HOTKEY_KEYBOARDS; i++)
        if (h->keyboards[i] && !drain(h->keyboards[i])) {
            lethe_sys->close(h->keyboards[i]);
            h->keyboards[i] = 0;
        }
}

bool lethe_hotkey_look(struct lethe_hotkey *h)
{
    bool down = false;
    drain_all(h);
    open_all(h);
    h->is_closed = false;
    for (unsigned i = 0; i < LETHE_HOTKEY_KEYBOARDS; i++)
        if (h->keyboards[i]) {
            down |= is_down(h, h->keyboards[i]);
            h->is_closed |= is_lid_closed(h, h->keyboards[i]);
        }
    int64_t now = lethe_sys_now_ms();
    h->due_ms = !down ? 0 : h->due_ms ? h->due_ms : now + h->hold_ms;
    return h->due_ms && now >= h->due_ms;
}
