/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/bluetooth.h"

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

/* The kernel exports no header for these (include/net/bluetooth/hci_sock.h, mgmt.h). */
enum {
    BTPROTO_HCI = 1,
    HCI_DEV_NONE = 0xffff,
    HCI_CHANNEL_RAW = 0,
    HCI_CHANNEL_CONTROL = 3,
    HCIDEVDOWN = 0x400448ca,
    SET_PRIVACY = 0x2f, /* with it goes the adapter's own identity */
    LOAD_LINK_KEYS = 0x12,
    LOAD_LONG_TERM_KEYS = 0x13,
    LOAD_IRKS = 0x30,
    COMMAND_COMPLETE = 1,
    COMMAND_STATUS = 2,
    SUCCESS = 0,
    NOT_SUPPORTED = 0xc,
    INVALID_INDEX = 0x11, /* also of one that was never set up */
};

struct address {
    sa_family_t family;
    uint16_t device, channel;
};

struct message {
    uint16_t code, device, size;
    uint8_t data[64];
};

struct answer {
    uint16_t event, device, size, command;
    uint8_t status, more[512];
} __attribute__((packed));

static int open_channel(uint16_t channel)
{
    const struct timeval patience = {2, 0};
    const struct address address = {AF_BLUETOOTH, HCI_DEV_NONE, channel};
    int fd = socket(AF_BLUETOOTH, SOCK_RAW | SOCK_CLOEXEC, BTPROTO_HCI);
    if (fd < 0)
        return fd;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (channel != HCI_CHANNEL_RAW && bind(fd, (const void *)&address, sizeof address)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Sends a command whose parameters are all zero: an empty list. True when no key of its kind can be
 * left. */
static bool command(int fd, uint16_t device, uint16_t code, uint16_t size)
{
    const struct message message = {.code = code, .device = device, .size = size};
    struct answer answer;
    if (write(fd, &message, offsetof(struct message, data) + size) < 0)
        return false;
    for (ssize_t n; (n = read(fd, &answer, sizeof answer)) > 0;)
        if (n >= (ssize_t)offsetof(struct answer, more) && answer.command == code &&
            answer.device == device &&
            (answer.event == COMMAND_COMPLETE || answer.event == COMMAND_STATUS))
            return answer.status == SUCCESS || answer.status == NOT_SUPPORTED ||
                   answer.status == INVALID_INDEX;
    return false;
}

static bool forget(int control, int raw, unsigned device)
{
    static const struct {
        uint16_t code, size;
    } commands[] = {
        {LOAD_LINK_KEYS, 3}, {LOAD_LONG_TERM_KEYS, 2}, {LOAD_IRKS, 2}, {SET_PRIVACY, 17}};
    bool forgotten = true;
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    lethe_sys->ioctl(raw, HCIDEVDOWN, (void *)(uintptr_t)device);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        forgotten &= command(control, (uint16_t)device, commands[i].code, commands[i].size);
    return forgotten;
}

unsigned lethe_bluetooth_forget(void)
{
    int control = -1, raw = -1;
    unsigned left = 0;
    DIR *dir = opendir("/sys/class/bluetooth");
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        /* hci0:5 is a connection */
        if (strncmp(entry->d_name, "hci", 3) || strchr(entry->d_name, ':'))
            continue;
        if (control < 0) /* not before there is an adapter: it would load the module */
            control = open_channel(HCI_CHANNEL_CONTROL), raw = open_channel(HCI_CHANNEL_RAW);
        left += !forget(control, raw, (unsigned)atoi(entry->d_name + 3));
    }
    if (dir)
        closedir(dir);
    if (control >= 0)
        close(control);
    if (raw >= 0)
        close(raw);
    return left;
}
