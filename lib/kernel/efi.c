/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/efi.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

enum { CLEAR_MEMORY = 0x01, DISABLE_AUTO_DETECT = 0x10 };

/* A file of efivarfs: the variable's attributes, then its data. */
struct request {
    uint8_t attributes[4], value;
};

static bool is_locked(int dir)
{
    struct request lock;
    int fd = openat(dir, "MemoryOverwriteRequestControlLock-bb983ccf-151d-40e1-a07b-4a17be168292",
                    O_RDONLY | O_CLOEXEC);
    bool locked = fd >= 0 && (read(fd, &lock, sizeof lock) != sizeof lock || lock.value);
    if (fd >= 0)
        close(fd);
    return locked;
}

/* Clears the immutable flag, which efivarfs sets on most variables so that no rm -r bricks the
 * machine. */
static void make_writable(int fd)
{
    unsigned flags;
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) || !(flags & FS_IMMUTABLE_FL))
        return;
    flags &= ~(unsigned)FS_IMMUTABLE_FL;
    ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

static int set_request(int dir)
{
    static const char name[] = "MemoryOverwriteRequestControl-e20939be-32d4-41be-a150-897f85d49829";
    struct request request;
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    make_writable(fd);
    ssize_t n = read(fd, &request, sizeof request);
    close(fd);
    if (n != sizeof request)
        return -EBADMSG;
    if (request.value & CLEAR_MEMORY)
        return 0;
    if (is_locked(dir))
        return -EPERM;
    request.value |= CLEAR_MEMORY | DISABLE_AUTO_DETECT;
    fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
    int r = fd < 0 ? -errno : write(fd, &request, sizeof request) != sizeof request ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return r;
}

int lethe_efi_request_clearing(const char *dir)
{
    int fd = lethe_sys->open(dir, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return fd;
    int r = set_request(fd);
    lethe_sys->close(fd);
    return r;
}

int lethe_efi_request_clearing_mounted(void)
{
    static const char place[] = "/sys/firmware/efi/efivars";
    if (access(place, F_OK))
        return -errno;
    int r = lethe_efi_request_clearing(place);
    if (r != -ENOENT ||
        lethe_sys->mount("efivarfs", place, "efivarfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
        return r;
    r = lethe_efi_request_clearing(place);
    lethe_sys->umount(place, MNT_DETACH);
    return r;
}
