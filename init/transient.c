/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "transient.h"

#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET "/run/systemd/private"

/* Part of a message of D-Bus. All is aligned from its beginning; what does not fit is left out, and
 * such a message is not sent. */
struct message {
    char bytes[1024];
    size_t n;
};

static void put(struct message *m, const void *bytes, size_t n, size_t alignment)
{
    const size_t at = (m->n + alignment - 1) & ~(alignment - 1);
    if (at + n <= sizeof m->bytes && n)
        memcpy(m->bytes + at, bytes, n);
    m->n = at + n;
}

static void put_number(struct message *m, uint32_t number)
{
    put(m, &number, sizeof number, sizeof number);
}

static void put_string(struct message *m, const char *text)
{
    put_number(m, (uint32_t)strlen(text));
    put(m, text, strlen(text) + 1, 1);
}

static void put_signature(struct message *m, const char *text)
{
    const unsigned char n = (unsigned char)strlen(text);
    put(m, &n, 1, 1);
    put(m, text, n + 1U, 1);
}

static void align(struct message *m)
{
    put(m, NULL, 0, 8);
}

/* An array begins with its length, which is known when it ends, and with what its elements'
 * alignment takes, even where it has none. */
struct array {
    size_t length_at, from;
};

static struct array begin_array(struct message *m, size_t alignment)
{
    put_number(m, 0);
    const size_t length_at = m->n - sizeof(uint32_t);
    put(m, NULL, 0, alignment);
    return (struct array){length_at, m->n};
}

static void end_array(struct message *m, struct array array)
{
    const uint32_t length = (uint32_t)(m->n - array.from);
    if (m->n <= sizeof m->bytes)
        memcpy(m->bytes + array.length_at, &length, sizeof length);
}

static void put_field(struct message *m, unsigned char code, const char *type, const char *value)
{
    align(m);
    put(m, &code, 1, 1);
    put_signature(m, type);
    (*type == 'g' ? put_signature : put_string)(m, value);
}

static void put_header(struct message *m, size_t body)
{
    enum { ORDER = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 'l' : 'B' };
    static const char call[] = {ORDER, 1, 0, 1}; /* a call, no flags, version 1 */
    put(m, call, sizeof call, 1);
    put_number(m, (uint32_t)body);
    put_number(m, 1); /* the call's own number */
    const struct array fields = begin_array(m, 8);
    put_field(m, 1, "o", "/org/freedesktop/systemd1");
    put_field(m, 2, "s", "org.freedesktop.systemd1.Manager");
    put_field(m, 3, "s", "StartTransientUnit");
    put_field(m, 6, "s", "org.freedesktop.systemd1");
    put_field(m, 8, "g", "ssa(sv)a(sa(sv))");
    end_array(m, fields);
    align(m);
}

/* The unit's name, what becomes of jobs that it is in the way of, its properties, and no other
 * units. It has no dependencies, so that a shutdown that has begun does not refuse it, and one that
 * has failed is in nobody's way. */
static void put_body(struct message *m, const char *program, const char *const *arguments, size_t n)
{
    put_string(m, "lethe-fire.service");
    put_string(m, "replace-irreversibly");
    const struct array properties = begin_array(m, 8);
    put_string(m, "DefaultDependencies");
    put_signature(m, "b");
    put_number(m, false);
    align(m);
    put_string(m, "CollectMode");
    put_signature(m, "s");
    put_string(m, "inactive-or-failed");
    align(m);
    put_string(m, "ExecStart");
    put_signature(m, "a(sasb)");
    const struct array commands = begin_array(m, 8);
    put_string(m, program);
    const struct array words = begin_array(m, 4);
    for (size_t i = 0; i < n; i++)
        put_string(m, arguments[i]);
    end_array(m, words);
    put_number(m, false); /* its failure is one */
    end_array(m, commands);
    end_array(m, properties);
    end_array(m, begin_array(m, 8));
}

static bool send_all(int fd, const void *bytes, size_t n)
{
    return send(fd, bytes, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static int open_socket(void)
{
    static const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SOCKET};
    const struct timeval patience = {1, 0};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (!connect(fd, (const struct sockaddr *)&address, sizeof address))
        return fd;
    close(fd);
    return -1;
}

/* Root says that it is root ("0"), which the socket shows; then messages may follow. */
bool lethe_transient_start(const char *program, const char *const *arguments, size_t n)
{
    static const char hello[] = "\0AUTH EXTERNAL 30\r\n", begin[] = "BEGIN\r\n";
    enum { ERROR = 3 }; /* a signal, which nobody has asked for, may come first */
    struct message header = {.n = 0}, body = {.n = 0};
    char answer[128];
    put_body(&body, program, arguments, n);
    put_header(&header, body.n);
    int fd = body.n <= sizeof body.bytes && header.n <= sizeof header.bytes ? open_socket() : -1;
    bool good = fd >= 0 && send_all(fd, hello, sizeof hello - 1) &&
                recv(fd, answer, sizeof answer, 0) > 2 && !memcmp(answer, "OK ", 3) &&
                send_all(fd, begin, sizeof begin - 1) && send_all(fd, header.bytes, header.n) &&
                send_all(fd, body.bytes, body.n) && recv(fd, answer, sizeof answer, 0) > 1 &&
                answer[1] != ERROR;
    if (fd >= 0)
        close(fd);
    return good;
}
