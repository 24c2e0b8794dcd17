/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/links.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ipsec.h>
#include <linux/netlink.h>
#include <linux/pfkeyv2.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "lethe/kernel/log.h"
#include "lethe/kernel/sys.h"

struct request {
    struct nlmsghdr head;
    union {
        struct ifinfomsg link;
        struct xfrm_usersa_flush states;
        uint32_t flags;
    };
};

/* Sends one request and takes the first datagram of the answer. Returns its length, or -errno. */
static ssize_t ask(int protocol, struct request *request, size_t size, void *answer, size_t room)
{
    const struct timeval patience = {2, 0};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    request->head.nlmsg_len = (uint32_t)NLMSG_LENGTH(size);
    request->head.nlmsg_flags |= NLM_F_REQUEST;
    ssize_t n = send(fd, request, request->head.nlmsg_len, 0);
    if (n > 0)
        n = recv(fd, answer, room, 0);
    int error = n < 0 ? errno : 0;
    close(fd);
    return error ? -error : n;
}

static void command(int protocol, struct request *request, size_t size)
{
    char answer[256];
    request->head.nlmsg_flags = NLM_F_ACK;
    ask(protocol, request, size, answer, sizeof answer);
}

static bool is_virtual(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/sys/class/net/%.15s/device", name);
    return access(path, F_OK) && strcmp(name, "lo");
}

/* True for a kind of interface that has keys; its uevent says the kind (SET_NETDEV_DEVTYPE,
 * linux/netdevice.h). */
static bool has_keys(const char *name)
{
    static const char *const kinds[] = {"\nDEVTYPE=wireguard\n", "\nDEVTYPE=macsec\n",
                                        "\nDEVTYPE=ovpn\n"};
    char path[64], text[256] = "\n";
    snprintf(path, sizeof path, "/sys/class/net/%.15s/uevent", name);
    lethe_sys_read_text(AT_FDCWD, path, text + 1, sizeof text - 1);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strstr(text, kinds[i]))
            return true;
    return false;
}

static void delete_link(const char *name)
{
    struct request request = {.head.nlmsg_type = RTM_DELLINK,
                              .link = {.ifi_index = (int)if_nametoindex(name)}};
    if (request.link.ifi_index)
        command(NETLINK_ROUTE, &request, sizeof request.link);
}

/* Deletes the virtual interfaces, or counts those that have keys. */
static unsigned for_each_virtual(bool count)
{
    unsigned n = 0;
    DIR *dir = opendir("/sys/class/net");
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.' || !is_virtual(entry->d_name))
            continue;
        if (!count)
            delete_link(entry->d_name);
        else
            n += has_keys(entry->d_name);
    }
    if (dir)
        closedir(dir);
    return n;
}

/* Deletes states through PF_KEY, by which they can be made too, without XFRM's own module. */
static void flush_pf_key(void)
{
    static const uint8_t types[] = {SADB_X_SPDFLUSH, SADB_FLUSH};
    int fd = socket(PF_KEY, SOCK_RAW | SOCK_CLOEXEC, PF_KEY_V2);
    for (size_t i = 0; fd >= 0 && i < sizeof types; i++) {
        struct sadb_msg message = {.sadb_msg_version = PF_KEY_V2,
                                   .sadb_msg_type = types[i],
                                   .sadb_msg_len = sizeof message / 8,
                                   .sadb_msg_pid = (uint32_t)getpid()};
        (void)!write(fd, &message, sizeof message);
    }
    if (fd >= 0)
        close(fd);
}

static void flush_states(void)
{
    struct request policies = {.head.nlmsg_type = XFRM_MSG_FLUSHPOLICY},
                   states = {.head.nlmsg_type = XFRM_MSG_FLUSHSA,
                             .states = {.proto = IPSEC_PROTO_ANY}};
    command(NETLINK_XFRM, &policies, 0);
    command(NETLINK_XFRM, &states, sizeof states.states);
    flush_pf_key();
}

/* Counts the states: the first attribute of the answer is their number (build_sadinfo(),
 * net/xfrm/xfrm_user.c). */
static unsigned count_states(void)
{
    struct {
        struct nlmsghdr head;
        uint32_t flags;
        struct nlattr attribute;
        uint32_t count;
        char more[256];
    } answer = {.count = 0};
    struct request request = {.head.nlmsg_type = XFRM_MSG_GETSADINFO};
    ssize_t n = ask(NETLINK_XFRM, &request, sizeof request.flags, &answer, sizeof answer);
    if (n < (ssize_t)offsetof(typeof(answer), more) ||
        answer.head.nlmsg_type != XFRM_MSG_NEWSADINFO || answer.attribute.nla_type != XFRMA_SAD_CNT)
        return 0;
    return answer.count;
}

void lethe_links_delete(void)
{
    for_each_virtual(false);
    flush_states();
}

unsigned lethe_links_report(void)
{
    unsigned links = for_each_virtual(true), states = count_states();
    if (links)
        lethe_log(LETHE_LOG_ERROR, "left: the keys of %u network interfaces", links);
    if (states)
        lethe_log(LETHE_LOG_ERROR, "left: the keys of %u states of IPsec", states);
    return links + states;
}
