/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/claimed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/major.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lethe/kernel/stop.h"
#include "lethe/kernel/sys.h"

static bool is_in_btrfs(const char *name)
{
    char path[600];
    bool found = false;
    DIR *dir = opendir("/sys/fs/btrfs");
    for (struct dirent *entry; dir && !found && (entry = readdir(dir));) {
        snprintf(path, sizeof path, "/sys/fs/btrfs/%.255s/devices/%.255s", entry->d_name, name);
        found = !access(path, F_OK);
    }
    if (dir)
        closedir(dir);
    return found;
}

const char *lethe_claimed_by(const struct lethe_block *block)
{
    static const char *const kinds[] = {"ext4", "xfs", "f2fs", "erofs", "nilfs2", "gfs2"};
    char path[320];
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        snprintf(path, sizeof path, "/sys/fs/%s/%.255s", kinds[i], block->name);
        if (!access(path, F_OK))
            return kinds[i];
    }
    return is_in_btrfs(block->name) ? "btrfs" : NULL;
}

bool lethe_claimed_is_held(const struct lethe_block *block)
{
    int fd = lethe_stop_open(block, O_EXCL);
    if (fd >= 0)
        lethe_sys->close(fd);
    return fd == -EBUSY;
}

static uint16_t little16(const unsigned char *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

/* Reads s_magic, s_state and s_feature_incompat (struct ext4_super_block, fs/ext4/ext4.h). While it
 * is mounted, a file system with a journal needs recovery, and one without is not valid. */
static bool is_unclean_ext4(const unsigned char *super)
{
    enum { MAGIC_AT = 56, STATE_AT = 58, INCOMPAT_AT = 96 };
    enum { MAGIC = 0xEF53, VALID = 1, ERRORS = 2, RECOVER = 4 };
    return little16(super + MAGIC_AT) == MAGIC &&
           ((little16(super + STATE_AT) & (VALID | ERRORS)) != VALID ||
            (super[INCOMPAT_AT] & RECOVER));
}

/* A loop that was set up to clear itself (LO_FLAGS_AUTOCLEAR) and a volume whose removal was
 * deferred have gone with their last mount. */
int lethe_claimed_is_unclean(const struct lethe_block *block)
{
    enum { BLOCK = 4096, SUPER_AT = 1024 };
    static unsigned char buffer[BLOCK] __attribute__((aligned(BLOCK)));
    int fd = lethe_stop_open(block, O_DIRECT);
    if ((fd == -ENOENT || fd == -ENXIO) && !strncmp(block->name, "dm-", 3))
        return 0;
    if (fd < 0)
        return fd;
    ssize_t n = pread(fd, buffer, BLOCK, 0);
    bool let_go = !n && block->devno.major == LOOP_MAJOR;
    int r = let_go ? 0 : n < 0 ? -errno : n < BLOCK ? -EIO : is_unclean_ext4(buffer + SUPER_AT);
    lethe_sys->close(fd);
    explicit_bzero(buffer, BLOCK);
    return r;
}
