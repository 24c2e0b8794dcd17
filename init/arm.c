/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Gets the machine ready for its end: puts the program into a tmpfs where systemd-shutdown looks
 * for it, and keeps the writable branches within reach. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "command.h"
#include "init.h"
#include "lethe/kernel/ask.h"
#include "lethe/kernel/confined.h"
#include "lethe/kernel/connections.h"
#include "lethe/kernel/efi.h"
#include "lethe/kernel/own_root.h"
#include "lethe/kernel/sys.h"
#include "lethe/kernel/takeover.h"
#include "lethe/kernel/uncover.h"
#include "lethe/plan/roles.h"
#include "options.h"
#include "place.h"

enum { ANSWER_MS = 5000 };

static int failed(const char *what, int r)
{
    fprintf(stderr, "lethe arm: %s: %s\n", what, strerror(-r));
    return 1;
}

/* Returns 1 when something else stands there and it is not to be taken over. */
static int refuse_if_taken(const struct lethe_snapshot *snapshot, bool take_over)
{
    bool armed = lethe_command_armed_mount(snapshot) != LETHE_NONE;
    if (armed || take_over || !lethe_place_is_taken(snapshot))
        return 0;
    fputs("lethe arm: another exitrd stands at " LETHE_ARMED_DIR "; nothing was done. "
          "To put Lethe in its place: lethe arm --take-over\n",
          stderr);
    return 1;
}

/* Copies the program. Two copies with debugging symbols do not fit beside each other. */
static int copy_program(void)
{
    if (lethe_command_same_content(LETHE_ARMED_PROGRAM, "/proc/self/exe"))
        return 0;
    return lethe_own_root_copy_program(LETHE_ARMED_PROGRAM);
}

static int name_copy(void)
{
    unlink(LETHE_ARMED_COPY);
    return link(LETHE_ARMED_PROGRAM, LETHE_ARMED_COPY) ? -errno : 0;
}

static void name_anchor(char *path, size_t size, struct lethe_devno devno)
{
    snprintf(path, size, LETHE_ARMED_BRANCHES "/%u:%u", devno.major, devno.minor);
}

/* True when an earlier arm has anchored the file system, or an earlier branch of this one (the
 * upper and the work directory share a file system). */
static bool is_anchored(struct lethe_devno devno)
{
    char path[64];
    struct stat st;
    name_anchor(path, sizeof path, devno);
    return !stat(path, &st) && st.st_dev == makedev(devno.major, devno.minor);
}

static int make_anchor(char *path, size_t size, struct lethe_devno devno)
{
    mkdir(LETHE_ARMED_BRANCHES, 0700);
    name_anchor(path, size, devno);
    return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

static int anchor(const struct lethe_mount *branch)
{
    char path[64];
    int r = make_anchor(path, sizeof path, branch->devno);
    if (!r)
        r = lethe_sys->mount(branch->path, path, NULL, MS_BIND, NULL);
    return r ? r : lethe_sys->mount(NULL, path, NULL, MS_PRIVATE, NULL);
}

/* In a child: binds a branch that no path leads to, but that the initramfs has left mounted on its
 * own root, as casper does. */
static int anchor_covered(const void *path)
{
    char place[64];
    struct stat st;
    int tree = lethe_uncover_copy(path);
    if (tree < 0 || fstat(tree, &st))
        return 1;
    const struct lethe_devno devno = {major(st.st_dev), minor(st.st_dev)};
    if (is_anchored(devno))
        return 0;
    return make_anchor(place, sizeof place, devno) ||
           syscall(SYS_move_mount, tree, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH);
}

/* Binds the branches below /run/initramfs: systemd unmounts a branch's own mount point before its
 * exitrd runs, but nothing there. */
static int anchor_branches(const struct lethe_snapshot *snapshot)
{
    int status = 0;
    for (size_t i = 0; i < snapshot->n_unions; i++)
        for (size_t j = 0; j < snapshot->unions[i].n_branches; j++) {
            const struct lethe_branch *b = &snapshot->unions[i].branches[j];
            const bool shown = lethe_branch_is_shown(&snapshot->unions[i], b);
            const struct lethe_mount *m = shown ? &snapshot->mounts[b->mount] : NULL;
            if (b->writable && !shown && b->path[0] == '/')
                lethe_ask_once(anchor_covered, b->path, ANSWER_MS); /* status tells what is lost */
            if (!b->writable || !m || !lethe_mount_is_ram(m) || is_anchored(m->devno))
                continue;
            int r = anchor(m);
            if (r && r != -EBUSY)
                status = failed(m->path, r);
        }
    return status;
}

/* Keeps systemd from unmounting what stands in the place of systemd-shutdown. At a shutdown without
 * the medium PID 1 can exec nothing else. */
static void keep_place_without_medium(const struct lethe_snapshot *snapshot)
{
    enum lethe_role *roles = calloc(snapshot->n_blocks + 1, sizeof *roles);
    if (roles && lethe_roles_find(snapshot, false, roles) == LETHE_ORIGIN_GONE)
        lethe_takeover_keep();
    free(roles);
}

static bool take_flag(void *flag, const char *unused)
{
    (void)unused;
    return *(bool *)flag = true;
}

static const struct lethe_option arm_options[] = {
    {"--take-over", NULL, "take the place of another exitrd", take_flag, false},
};

static const struct lethe_usage arm_usage = {
    .command = "arm",
    .summary = "Gets ready: stands where systemd-shutdown looks for the last program.",
    .options = arm_options,
    .n_options = sizeof arm_options / sizeof *arm_options,
};

static const struct lethe_usage disarm_usage = {.command = "disarm", .summary = "Undoes arm."};

int lethe_arm_main(int argc, char **argv)
{
    struct lethe_snapshot snapshot;
    struct lethe_arena arena;
    bool take_over = false;
    int exit_status;
    if (!lethe_options_read(&arm_usage, &take_over, argc, argv, &exit_status))
        return exit_status;
    if (geteuid())
        return lethe_command_refuse("arm", "only root can do this");
    if (!lethe_confined_has_mounts())
        return lethe_command_refuse("arm", "in a chroot or a mount namespace of its own PID 1 "
                                           "sees nothing of it");
    if (lethe_command_snapshot("arm", NULL, &snapshot, &arena))
        return 2;
    if (refuse_if_taken(&snapshot, take_over))
        return 1;
    int r = lethe_place_make(&snapshot);
    if (r || (r = copy_program()) || (r = name_copy()) || (r = lethe_place_hold()))
        return failed(LETHE_ARMED_PROGRAM, r);
    int status = anchor_branches(&snapshot);
    lethe_efi_request_clearing_mounted(); /* a reset may come before the end */
    lethe_connections_arm();
    r = lethe_takeover_arm(LETHE_ARMED_COPY);
    if (r && r != -ENOENT) /* the kill switch has another way */
        status = failed("systemd-shutdown", r);
    keep_place_without_medium(&snapshot);
    if ((r = lethe_command_write_words())) /* without the file all is said in English */
        status = failed("words", r);
    return status;
}

int lethe_disarm_main(int argc, char **argv)
{
    struct lethe_snapshot snapshot;
    struct lethe_arena arena;
    int exit_status;
    if (!lethe_options_read(&disarm_usage, NULL, argc, argv, &exit_status))
        return exit_status;
    if (geteuid())
        return lethe_command_refuse("disarm", "only root can do this");
    if (lethe_command_snapshot("disarm", NULL, &snapshot, &arena))
        return 2;
    if (lethe_command_armed_mount(&snapshot) == LETHE_NONE)
        return 0;
    lethe_takeover_disarm();
    int r = lethe_sys->umount(LETHE_ARMED_DIR, MNT_DETACH);
    if (!r)
        return 0;
    fprintf(stderr, "lethe disarm: " LETHE_ARMED_DIR ": %s\n", strerror(-r));
    return 1;
}
