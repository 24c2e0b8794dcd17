/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "command.h"
#include "init.h"
#include "lethe/kernel/own_root.h"
#include "lethe/kernel/sys.h"

enum { KEPT_MAX = 32 };

/* Copies of the mounts below the folder, and the links beside it. */
struct kept {
    struct {
        const char *path; /* the snapshot's */
        int tree;
    } mounts[KEPT_MAX];
    struct {
        char name[NAME_MAX + 1], target[PATH_MAX];
    } links[KEPT_MAX];
    size_t n_mounts, n_links;
};

bool lethe_place_is_taken(const struct lethe_snapshot *snapshot)
{
    if (!access(LETHE_ARMED_PROGRAM, F_OK))
        return true;
    for (size_t i = 0; i < snapshot->n_mounts; i++)
        if (!strcmp(snapshot->mounts[i].path, LETHE_ARMED_DIR))
            return true;
    return false;
}

static bool is_kept(const struct kept *kept, const char *path)
{
    for (size_t i = 0; i < kept->n_mounts; i++)
        if (lethe_text_path_below(path, kept->mounts[i].path))
            return true;
    return false;
}

/* Keeps a mount with all that is mounted on it. */
static void keep_mount(struct kept *kept, const char *path)
{
    struct stat st;
    if (kept->n_mounts == KEPT_MAX || is_kept(kept, path))
        return;
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, path,
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree < 0)
        return;
    if (fstat(tree, &st) || !S_ISDIR(st.st_mode)) {
        close(tree);
        return;
    }
    kept->mounts[kept->n_mounts].path = path;
    kept->mounts[kept->n_mounts++].tree = tree;
}

/* Keeps links; dracut's link to the medium's device is one. */
static void keep_links(struct kept *kept)
{
    DIR *dir = opendir(LETHE_ARMED_DIR);
    if (!dir)
        return;
    for (struct dirent *entry; kept->n_links < KEPT_MAX && (entry = readdir(dir));) {
        ssize_t n =
            readlinkat(dirfd(dir), entry->d_name, kept->links[kept->n_links].target, PATH_MAX - 1);
        if (n <= 0)
            continue;
        kept->links[kept->n_links].target[n] = '\0';
        snprintf(kept->links[kept->n_links++].name, NAME_MAX + 1, "%s", entry->d_name);
    }
    closedir(dir);
}

static void keep(struct kept *kept, const struct lethe_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->n_mounts; i++)
        if (strcmp(snapshot->mounts[i].path, LETHE_ARMED_DIR) != 0 &&
            lethe_text_path_below(snapshot->mounts[i].path, LETHE_ARMED_DIR))
            keep_mount(kept, snapshot->mounts[i].path);
    keep_links(kept);
}

static void make_dirs(const char *path)
{
    char part[PATH_MAX];
    for (const char *at = path + strlen(LETHE_ARMED_DIR); at; at = strchr(at + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(at - path), path);
        mkdir(part, 0755);
    }
    mkdir(path, 0755);
}

static int put_back(struct kept *kept)
{
    char path[PATH_MAX];
    int r = 0;
    for (size_t i = 0; i < kept->n_mounts; i++) {
        make_dirs(kept->mounts[i].path);
        if (syscall(SYS_move_mount, kept->mounts[i].tree, "", AT_FDCWD, kept->mounts[i].path,
                    MOVE_MOUNT_F_EMPTY_PATH))
            r = -errno;
        close(kept->mounts[i].tree);
    }
    for (size_t i = 0; i < kept->n_links; i++) {
        snprintf(path, sizeof path, LETHE_ARMED_DIR "/%s", kept->links[i].name);
        (void)!symlink(kept->links[i].target, path);
    }
    return r;
}

int lethe_place_make(const struct lethe_snapshot *snapshot)
{
    static struct kept kept;
    if (lethe_command_armed_mount(snapshot) != LETHE_NONE)
        return 0;
    if (mkdir(LETHE_ARMED_DIR, 0755) && errno != EEXIST)
        return -errno;
    keep(&kept, snapshot);
    int r = lethe_own_root_mount_ram(LETHE_ARMED_DIR);
    if (!r)
        r = lethe_sys->mount(NULL, LETHE_ARMED_DIR, NULL, MS_PRIVATE, NULL);
    return r ? r : put_back(&kept);
}

int lethe_place_hold(void)
{
    mkdir(LETHE_ARMED_DIR "/bin", 0755);
    return symlink("../lethe", LETHE_ARMED_DIR "/bin/sh") && errno != EEXIST ? -errno : 0;
}
