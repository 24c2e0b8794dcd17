/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/uevent.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { KERNELS_GROUP = 1, MESSAGE_MAX = 2048 + 64 }; /* UEVENT_BUFFER_SIZE, linux/kobject.h */

/* Lets "remo…", "chan…" and, if that is wanted, "add@" pass
 * (Documentation/networking/filter.rst). */
static int set_filter(int fd, bool additions)
{
    enum { REMO = 0x72656d6f, CHAN = 0x6368616e, ADD = 0x61646440 };
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, REMO, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CHAN, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, additions ? ADD : REMO, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    const struct sock_fprog program = {sizeof steps / sizeof *steps, steps};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) ? -errno : 0;
}

int lethe_uevent_open(void)
{
    const struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = KERNELS_GROUP};
    const int on = 1;
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
    if (fd < 0)
        return -errno;
    int r = set_filter(fd, true);
    if (!r && (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) ||
               bind(fd, (const struct sockaddr *)&address, sizeof address)))
        r = -errno;
    if (r)
        close(fd);
    return r ? r : fd;
}

void lethe_uevent_leave_additions(int fd)
{
    (void)set_filter(fd, false);
}

/* The kernel has port 0 and no process; anybody may send to a port. */
static bool is_from_kernel(struct msghdr *message)
{
    const struct sockaddr_nl *sender = message->msg_name;
    struct ucred credentials = {.pid = -1};
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS)
            memcpy(&credentials, CMSG_DATA(c), sizeof credentials);
    return message->msg_namelen == sizeof *sender && !sender->nl_pid &&
           sender->nl_groups == KERNELS_GROUP && !credentials.pid && !credentials.uid;
}

int lethe_uevent_receive(int fd, struct lethe_uevent *event)
{
    char text[MESSAGE_MAX];
    union {
        char room[CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr aligned;
    } control;
    struct sockaddr_nl sender;
    for (;;) {
        struct iovec piece = {text, sizeof text};
        struct msghdr message = {.msg_name = &sender,
                                 .msg_namelen = sizeof sender,
                                 .msg_iov = &piece,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof control};
        ssize_t n = recvmsg(fd, &message, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -errno;
        if (is_from_kernel(&message) &&
            lethe_uevent_parse(event, (struct lethe_span){text, (size_t)n}))
            return 1;
    }
}
