/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "init.h"
#include "lethe/kernel/sys.h"
#include "lethe/plan/text.h"
#include "transient.h"

enum { MESSAGE_MAX = 128 };

int lethe_helper_listen(void)
{
    unlink(LETHE_ARMED_FIRE);
    if (mkfifo(LETHE_ARMED_FIRE, 0600))
        return -errno;
    return lethe_sys->open(LETHE_ARMED_FIRE, O_RDWR | O_NONBLOCK); /* never at its end */
}

/* Takes "NAME=VALUE"; any other word, or a value that can't be used, changes nothing. */
static void take_option(struct lethe_kill *kill, const char *word)
{
    static const struct {
        const char *name;
        bool (*take)(void *kill, const char *value);
    } options[] = {
        {"--verb", lethe_now_take_verb},
        {"--sync", lethe_now_take_sync},
        {"--deadline", lethe_now_take_deadline},
    };
    struct lethe_span value = lethe_span(word), name = lethe_text_cut(&value, '=');
    for (size_t i = 0; value.at && i < sizeof options / sizeof *options; i++)
        if (lethe_span_is(name, options[i].name))
            options[i].take(kill, value.at);
}

/* The message has the options of `lethe now` with blanks between them. */
bool lethe_helper_receive(int fd, struct lethe_kill *kill)
{
    char text[MESSAGE_MAX], *rest;
    long long triggered;
    ssize_t n = read(fd, text, sizeof text - 1);
    if (n <= 0)
        return false;
    text[n] = '\0';
    kill->reason = "asked for by another process";
    kill->triggered_ms = lethe_sys_now_ms();
    for (char *word = strtok_r(text, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest))
        if (sscanf(word, "--triggered=%lld", &triggered) == 1 && triggered < kill->triggered_ms)
            kill->triggered_ms = triggered;
        else
            take_option(kill, word);
    return true;
}

/* Opens a file of /run/initramfs, by the root of PID 1 where this process has other mounts and
 * nothing is at the path. */
static int open_armed(const char *path, int flags)
{
    char other[64];
    int fd = open(path, flags | O_CLOEXEC);
    snprintf(other, sizeof other, "/proc/1/root%s", path);
    return fd < 0 && errno == ENOENT ? open(other, flags | O_CLOEXEC) : fd;
}

static bool write_request(const struct lethe_kill *kill)
{
    char text[MESSAGE_MAX];
    int n = snprintf(text, sizeof text, "--verb=%s --sync=%u --deadline=%u --triggered=%lld\n",
                     lethe_verb_name(kill->verb), kill->sync_seconds, kill->deadline_seconds,
                     (long long)kill->triggered_ms);
    int fd = open_armed(LETHE_ARMED_FIRE, O_WRONLY | O_NONBLOCK); /* fails when nobody listens */
    bool good = fd >= 0 && write(fd, text, (size_t)n) == n;
    if (fd >= 0)
        close(fd);
    return good;
}

static bool is_locked(int fd)
{
    struct flock whole = {.l_type = F_WRLCK};
    return !fcntl(fd, F_GETLK, &whole) && whole.l_type != F_UNLCK;
}

/* Waits to be ended by one who has taken the lock. */
static void await_answer(void)
{
    enum { ANSWER_MS = 2000, END_MS = 10000 };
    const struct timespec pause = {0, 20 * 1000 * 1000};
    bool taken = false;
    int lock = -1;
    for (int64_t begin = lethe_sys_now_ms(), ms = 0; ms < (taken ? END_MS : ANSWER_MS);
         ms = lethe_sys_now_ms() - begin) {
        if (lock < 0)
            lock = open_armed(LETHE_ARMED_LOCK, O_RDONLY);
        taken |= lock >= 0 && is_locked(lock);
        nanosleep(&pause, NULL);
    }
    if (lock >= 0)
        close(lock);
}

static bool ask_systemd(const struct lethe_kill *kill)
{
    char sync[32], deadline[32];
    const char *arguments[5] = {LETHE_ARMED_COPY, "now", lethe_verb_name(kill->verb)};
    size_t n = 3;
    snprintf(sync, sizeof sync, "--sync=%u", kill->sync_seconds);
    snprintf(deadline, sizeof deadline, "--deadline=%u", kill->deadline_seconds);
    if (kill->sync_seconds)
        arguments[n++] = sync;
    if (kill->deadline_seconds)
        arguments[n++] = deadline;
    return lethe_transient_start(LETHE_ARMED_COPY, arguments, n);
}

void lethe_helper_ask(const struct lethe_kill *kill)
{
    if (write_request(kill))
        await_answer();
    if (ask_systemd(kill))
        await_answer();
}
