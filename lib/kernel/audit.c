/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/audit.h"

#include <linux/audit.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

struct message {
    struct nlmsghdr head;
    struct audit_status status;
};

static void ask(int fd, uint16_t type, const struct audit_status *status)
{
    const struct message request = {.head = {sizeof request, type, NLM_F_REQUEST, 0, 0},
                                    .status = *status};
    (void)!send(fd, &request, sizeof request, 0);
}

static void wait_at_most(int fd, long ms)
{
    const struct timeval time = {0, ms * 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
}

/* True also where the kernel does not say. */
static bool is_on(int fd)
{
    struct message answer;
    wait_at_most(fd, 500);
    ask(fd, AUDIT_GET, &(struct audit_status){0});
    return recv(fd, &answer, sizeof answer, 0) <
               (ssize_t)offsetof(struct message, status.failure) ||
           answer.head.nlmsg_type != AUDIT_GET || answer.status.enabled;
}

static void enable(int fd, bool on)
{
    ask(fd, AUDIT_SET, &(struct audit_status){.mask = AUDIT_STATUS_ENABLED, .enabled = on});
}

/* The kernel looks at what it keeps for a daemon only when there is a new record, such as that of a
 * new daemon where audit is on (kauditd_thread(), kernel/audit.c). */
void lethe_audit_take(int64_t end_ms)
{
    char first; /* the rest of a record is not read */
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT);
    if (fd < 0)
        return;
    wait_at_most(fd, is_on(fd) ? 500 : 30);
    enable(fd, true);
    ask(fd, AUDIT_SET, &(struct audit_status){.mask = AUDIT_STATUS_PID, .pid = (uint32_t)getpid()});
    while (lethe_sys_now_ms() < end_ms && recv(fd, &first, sizeof first, 0) > 0)
        ;
    enable(fd, false);
    close(fd);
}
