/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * adapter NAME
 *
 * A Bluetooth adapter that is only a process (hci_vhci), with keys of paired devices in the kernel: the pattern of NAME (secrets.h), as
 * bluetoothd loads them. The process answers what the kernel asks the adapter, and knows no key.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "secrets.h"

enum {
    COMMAND = 1,
    EVENT = 4,
    VENDOR = 0xff,
    COMPLETE = 0x0e,
    READ_FEATURES = 0x1003,
    FEATURE_LE = 0x41,
    CONTROL = 3,
    LOAD_LINK_KEYS = 0x12,
    LOAD_LONG_TERM_KEYS = 0x13,
    KEYS = 24
};

/* Every question is answered with success and ones: small buffers, old versions. */
static void answer_forever(int vhci)
{
    unsigned char in[1024];

    for (ssize_t n; (n = read(vhci, in, sizeof in)) > 0;) {
        unsigned char out[258] = {EVENT, COMPLETE, sizeof out - 3, 1, in[1], in[2], 0};

        if (in[0] != COMMAND)
            continue;
        memset(out + 7, 1, sizeof out - 7);
        if ((in[1] | in[2] << 8) == READ_FEATURES)
            out[7 + 4] = FEATURE_LE;
        if (write(vhci, out, sizeof out) < 0)
            err(1, "vhci");
    }
}

static int load(int control, uint16_t code, const void *parameters, size_t size)
{
    unsigned char message[2048] = {(unsigned char)code, (unsigned char)(code >> 8), 0, 0,
                                   (unsigned char)size, (unsigned char)(size >> 8)},
                  answer[512];

    memcpy(message + 6, parameters, size);
    if (write(control, message, 6 + size) < 0)
        err(1, "mgmt");
    explicit_bzero(message, sizeof message);
    for (ssize_t n; (n = read(control, answer, sizeof answer)) > 0;)
        if (n >= 9 && (answer[0] == 1 || answer[0] == 2) && answer[6] == code)
            return answer[8];
    err(1, "mgmt");
}

static void load_keys(int control, const unsigned char *pattern)
{
    enum { LINK = 25, TERM = 36 };
    static unsigned char link[3 + KEYS * LINK] = {0, KEYS}, term[2 + KEYS * TERM] = {KEYS};
    int status;

    for (int i = 0; i < KEYS; i++) {
        link[3 + i * LINK] = (unsigned char)i; /* the address; type 0: BR/EDR, key type 0 */
        memcpy(link + 3 + i * LINK + 8, pattern, SECRET_SIZE);
        term[2 + i * TERM] = (unsigned char)i;
        term[2 + i * TERM + 6] = 1; /* LE public */
        memcpy(term + 2 + i * TERM + 20, pattern, SECRET_SIZE);
    }
    for (int i = 0; (status = load(control, LOAD_LINK_KEYS, link, sizeof link)) && i < 100; i++)
        usleep(100000); /* the adapter is being set up */
    status |= load(control, LOAD_LONG_TERM_KEYS, term, sizeof term);
    explicit_bzero(link, sizeof link);
    explicit_bzero(term, sizeof term);
    if (status)
        errx(1, "keys were not loaded: status %d", status);
}

int main(int argc, char **argv)
{
    const struct {
        sa_family_t family;
        uint16_t device, channel;
    } address = {AF_BLUETOOTH, 0xffff, CONTROL};
    unsigned char pattern[SECRET_SIZE];
    int vhci = open("/dev/vhci", O_RDWR | O_CLOEXEC),
        control = socket(AF_BLUETOOTH, SOCK_RAW | SOCK_CLOEXEC, 1);

    if (argc != 2 || vhci < 0 || control < 0 ||
        bind(control, (const void *)&address, sizeof address))
        err(1, "adapter");
    if (write(vhci, (const unsigned char[]){VENDOR, 0}, 2) != 2)
        err(1, "vhci");
    switch (fork()) {
    case -1:
        err(1, "fork");
    case 0:
        close(control);
        setsid();
        answer_forever(vhci);
        _exit(0);
    }
    secret_pattern(argv[1], pattern);
    load_keys(control, pattern);
    explicit_bzero(pattern, sizeof pattern);
    return 0;
}
