/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/probe.h"

#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

static void take(blkid_probe probe, const char *name, char *out, size_t size)
{
    const char *value;
    if (!blkid_probe_lookup_value(probe, name, &value, NULL))
        snprintf(out, size, "%s", value);
}

static int probe(const char *device, struct lethe_probe_identity *identity)
{
    blkid_probe probe = blkid_new_probe_from_filename(device);
    if (!probe)
        return errno ? -errno : -EIO;
    blkid_probe_enable_partitions(probe, 1);
    blkid_probe_set_partitions_flags(probe, BLKID_PARTS_ENTRY_DETAILS);
    blkid_probe_set_superblocks_flags(probe,
                                      BLKID_SUBLKS_TYPE | BLKID_SUBLKS_UUID | BLKID_SUBLKS_LABEL);
    int r = blkid_do_safeprobe(probe);
    take(probe, "TYPE", identity->type, sizeof identity->type);
    take(probe, "UUID", identity->uuid, sizeof identity->uuid);
    take(probe, "LABEL", identity->label, sizeof identity->label);
    take(probe, "PART_ENTRY_UUID", identity->part_uuid, sizeof identity->part_uuid);
    blkid_free_probe(probe);
    return r < 0 ? -EIO : 0;
}

struct answer {
    int r;
    struct lethe_probe_identity identity;
};

static _Noreturn void answer(const char *device, int to)
{
    struct answer a = {0};
    a.r = probe(device, &a.identity);
    _exit(write(to, &a, sizeof a) != (ssize_t)sizeof a);
}

/* Waits for the child's answer. A child that gives none is killed, and left behind where it can't
 * die, so that nobody else waits for a device that hangs. */
static int await(pid_t child, int from, struct answer *a)
{
    enum { ANSWER_MS = 3000 };
    struct pollfd source = {from, POLLIN, 0};
    bool told = poll(&source, 1, ANSWER_MS) == 1 && read(from, a, sizeof *a) == (ssize_t)sizeof *a;
    if (!told)
        lethe_sys->kill(child, SIGKILL);
    waitpid(child, NULL, told ? 0 : WNOHANG);
    return told ? a->r : -ETIMEDOUT;
}

int lethe_probe(const char *device, struct lethe_probe_identity *identity)
{
    enum { HUNG_MAX = 3 };
    static unsigned hung;
    struct answer a = {0};
    int ends[2], r = hung < HUNG_MAX ? 0 : -ETIMEDOUT;
    *identity = (struct lethe_probe_identity){0};
    if (!r && pipe2(ends, O_CLOEXEC))
        r = -errno;
    if (r)
        return r;
    pid_t child = fork();
    if (!child)
        answer(device, ends[1]);
    close(ends[1]);
    r = child < 0 ? -errno : await(child, ends[0], &a);
    close(ends[0]);
    hung += r == -ETIMEDOUT;
    if (!r)
        *identity = a.identity;
    return r;
}
