/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/connections.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

struct diag_request {
    struct nlmsghdr head;
    struct inet_diag_req_v2 asked;
};

static struct diag_request diag_request(unsigned short type, unsigned short flags, int family)
{
    return (struct diag_request){
        .head = {.nlmsg_len = sizeof(struct diag_request),
                 .nlmsg_type = type,
                 .nlmsg_flags = (unsigned short)(NLM_F_REQUEST | flags)},
        .asked = {.sdiag_family = (unsigned char)family, .sdiag_protocol = IPPROTO_TCP},
    };
}

/* True when the peer has not answered a retransmission, or takes no data any more (tcp_get_info(),
 * net/ipv4/tcp_diag.c: timer 1 and 4). */
static bool is_silent_socket(const struct inet_diag_msg *m)
{
    return (m->idiag_timer == 1 && m->idiag_retrans) || m->idiag_timer == 4;
}

static void destroy_socket(const struct inet_diag_msg *m)
{
    struct diag_request request = diag_request(SOCK_DESTROY, 0, m->idiag_family);
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    request.asked.id = m->id;
    if (fd < 0)
        return;
    (void)!send(fd, &request, sizeof request, 0);
    close(fd);
}

/* Handles one datagram of the kernel's answer. True when more follow. */
static bool take_sockets(const char *text, ssize_t n, bool all)
{
    for (ssize_t at = 0; at + (ssize_t)sizeof(struct nlmsghdr) <= n;) {
        const struct nlmsghdr *head = (const void *)(text + at);
        const struct inet_diag_msg *m = (const void *)(text + at + NLMSG_HDRLEN);
        if (head->nlmsg_type != SOCK_DIAG_BY_FAMILY || head->nlmsg_len < NLMSG_HDRLEN + sizeof *m ||
            (ssize_t)head->nlmsg_len > n - at)
            return false;
        if (all || is_silent_socket(m))
            destroy_socket(m);
        at += (ssize_t)NLMSG_ALIGN(head->nlmsg_len);
    }
    return n > 0;
}

static void destroy_sockets(unsigned states, bool all)
{
    static const int families[] = {AF_INET, AF_INET6};
    _Alignas(struct nlmsghdr) char text[8192];
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        struct diag_request request = diag_request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, families[i]);
        int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
        request.asked.idiag_states = states;
        if (fd < 0)
            continue;
        if (send(fd, &request, sizeof request, 0) == sizeof request)
            while (take_sockets(text, recv(fd, text, sizeof text, 0), all))
                ;
        close(fd);
    }
}

void lethe_connections_arm(void)
{
    destroy_sockets(0, false);
}

int lethe_connections_end(bool all)
{
    const unsigned listening = 1U << 10; /* TCP_LISTEN, net/tcp_states.h */
    destroy_sockets(~listening, all);
    return 0;
}
