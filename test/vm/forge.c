/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * forge MAJOR:MINOR [PORT]
 *
 * Sends what looks like the kernel's word that a disk was removed: to all who listen to the kernel,
 * or to the one who listens at PORT.
 */
#define _GNU_SOURCE
#include <err.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
    unsigned major, minor;
    char text[512];
    if (argc < 2 || sscanf(argv[1], "%u:%u", &major, &minor) != 2)
        errx(1, "usage: forge MAJOR:MINOR [PORT]");
    int n = snprintf(text, sizeof text,
                     "remove@/devices/x%cACTION=remove%cSUBSYSTEM=block%cMAJOR=%u%cMINOR=%u%c", 0,
                     0, 0, major, 0, minor, 0);
    struct sockaddr_nl to = {.nl_family = AF_NETLINK, .nl_groups = argc > 2 ? 0 : 1};
    to.nl_pid = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    int fd = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_KOBJECT_UEVENT);
    if (fd < 0 || sendto(fd, text, (size_t)n, 0, (struct sockaddr *)&to, sizeof to) != n)
        err(1, "sendto");
    return 0;
}
