/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/interfaces.h"

#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

static void set_up(int fd, const char *interface, bool up)
{
    struct ifreq request = {0};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%.15s", interface);
    if (lethe_sys->ioctl(fd, SIOCGIFFLAGS, &request) < 0 || !(request.ifr_flags & IFF_UP) != up)
        return;
    request.ifr_flags = (short)(request.ifr_flags ^ IFF_UP);
    lethe_sys->ioctl(fd, SIOCSIFFLAGS, &request);
}

/* Sends each processor a datagram from itself. Received data are freed by the processor that
 * received them, when it receives again (skb_attempt_defer_free(), net/core/skbuff.c). */
static void receive_everywhere(void)
{
    cpu_set_t ours;
    bool known = !sched_getaffinity(0, sizeof ours, &ours);
    const struct sockaddr_in here = {.sin_family = AF_INET,
                                     .sin_port = htons(9), /* discard */
                                     .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (int i = 0; fd >= 0 && i < CPU_SETSIZE; i++) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(i, &one);
        if (!sched_setaffinity(0, sizeof one, &one))
            sendto(fd, "", 1, MSG_DONTWAIT, (const void *)&here, sizeof here);
    }
    if (known)
        sched_setaffinity(0, sizeof ours, &ours);
    if (fd >= 0)
        close(fd);
}

/* Unbinds virtio_net, which keeps its receive buffers and what came in with them until then
 * (test_stacks.py nbd-unplugged). No other driver is unbound: one that hangs would keep the machine
 * from being switched off. */
static void unbind(const char *interface)
{
    char path[300], driver[256], device[256];
    snprintf(path, sizeof path, "/sys/class/net/%.15s/device/driver", interface);
    lethe_sys_read_link(AT_FDCWD, path, driver, sizeof driver);
    snprintf(path, sizeof path, "/sys/class/net/%.15s/device", interface);
    lethe_sys_read_link(AT_FDCWD, path, device, sizeof device);
    const char *name = strrchr(device, '/');
    if (!name || !strstr(driver, "/virtio_net"))
        return;
    snprintf(path, sizeof path, "/sys/class/net/%.15s/device/driver/unbind", interface);
    lethe_sys->write_file(path, name + 1);
}

unsigned lethe_interfaces_count_up(void)
{
    char path[64], flags[16];
    unsigned n = 0;
    DIR *dir = opendir("/sys/class/net");
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        snprintf(path, sizeof path, "/sys/class/net/%.15s/flags", entry->d_name);
        n += entry->d_name[0] != '.' && strcmp(entry->d_name, "lo") != 0 &&
             lethe_sys_read_line(AT_FDCWD, path, flags, sizeof flags) &&
             strtoul(flags, NULL, 16) & IFF_UP;
    }
    if (dir)
        closedir(dir);
    return n;
}

void lethe_interfaces_down(void)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* any socket takes these requests */
    DIR *dir = opendir("/sys/class/net");
    for (struct dirent *entry; fd >= 0 && dir && (entry = readdir(dir));)
        if (entry->d_name[0] != '.') {
            set_up(fd, entry->d_name, false);
            unbind(entry->d_name);
        }
    if (dir)
        closedir(dir);
    if (fd < 0)
        return;
    set_up(fd, "lo", true);
    receive_everywhere();
    close(fd);
}
