/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/ipc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"
#include "lethe/plan/text.h"

#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15 /* linux/shm.h, Linux 4.17 */
#endif
#ifndef MSG_STAT_ANY
#define MSG_STAT_ANY 13 /* linux/msg.h, Linux 4.17 */
#endif

enum { WINDOW = 4096, KEYS_MAX = 65536 };

static void zero_resident(char *segment, size_t size, struct lethe_ram_fs_erased *erased)
{
    static unsigned char resident[WINDOW]; /* a byte a page */
    const size_t page = lethe_sys->page_size(), window = WINDOW * page;
    for (size_t at = 0; at < size; at += window) {
        size_t n = size - at < window ? size - at : window;
        int r = lethe_sys->mincore(segment + at, n, resident);
        if (r) {
            if (!erased->failed++)
                erased->first_error = r;
            return;
        }
        for (size_t i = 0; i * page < n; i++)
            if (resident[i] & 1) {
                memset(segment + at + i * page, 0, page);
                erased->bytes += page;
            }
    }
}

static void erase_segment(int id, size_t size, struct lethe_ram_fs_erased *erased)
{
    char *segment = shmat(id, NULL, 0);
    if ((intptr_t)segment == -1) {
        if (!erased->failed++)
            erased->first_error = -errno;
    } else {
        zero_resident(segment, size, erased);
        shmdt(segment);
        erased->files++;
    }
    shmctl(id, IPC_RMID, NULL);
}

/* Walks over all indices: SHM_INFO and MSG_INFO return the highest one in use. */
static void erase_segments(struct lethe_ram_fs_erased *erased)
{
    struct shm_info info;
    int last = shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&info);
    for (int i = 0; i <= last; i++) {
        struct shmid_ds segment;
        int id = shmctl(i, SHM_STAT_ANY, &segment);
        if (id >= 0)
            erase_segment(id, segment.shm_segsz, erased);
    }
}

static void remove_messages(void)
{
    struct msginfo info;
    int last = msgctl(0, MSG_INFO, (struct msqid_ds *)(void *)&info);
    for (int i = 0; i <= last; i++) {
        struct msqid_ds queue;
        int id = msgctl(i, MSG_STAT_ANY, &queue);
        if (id >= 0)
            msgctl(id, IPC_RMID, NULL);
    }
}

/* Removes POSIX message queues through a mount of its own: any mount of mqueue shows the queues of
 * the mounter's ipc namespace. */
static int remove_posix_queues(void)
{
    static const char place[] = "/mqueue";
    mkdir(place, 0700);
    int r = lethe_sys->mount("mqueue", place, "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    if (r)
        return r == -ENODEV ? 0 : r; /* a kernel without them */
    DIR *dir = opendir(place);
    r = dir ? 0 : -errno;
    errno = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir)); errno = 0)
        if (entry->d_name[0] != '.' && unlinkat(dirfd(dir), entry->d_name, 0))
            r = -errno;
    r = r ? r : -errno;
    if (dir)
        closedir(dir);
    lethe_sys->umount(place, MNT_DETACH);
    return r;
}

void lethe_ipc_erase(struct lethe_ram_fs_erased *erased)
{
    *erased = (struct lethe_ram_fs_erased){0};
    erase_segments(erased);
    remove_messages();
    int r = remove_posix_queues();
    if (r)
        r = remove_posix_queues();
    if (r && !erased->failed++)
        erased->first_error = r;
}

/* Lines of /proc/keys, here in the working directory, begin with the key's serial number in
 * hexadecimal (proc(5)). Only keys whose type holds a payload of the user's are revoked: a revoked
 * keyring would hide its keys from the rest of the walk. */
static bool revoke_visible_keys(void)
{
    static int32_t keys[KEYS_MAX];
    char line[512];
    size_t n = 0;
    FILE *list = fopen("keys", "re");
    int error = list ? 0 : errno;
    errno = 0;
    while (list && n < KEYS_MAX && fgets(line, sizeof line, list))
        if (!strstr(line, " keyring ") && !strstr(line, " asymmetri"))
            keys[n++] = (int32_t)strtoul(line, NULL, 16);
    error = error ? error : errno;
    if (list)
        fclose(list);
    for (size_t i = 0; i < n; i++) {
        syscall(SYS_keyctl, KEYCTL_SETPERM, keys[i], 0x3f3f3f3f);
        syscall(SYS_keyctl, KEYCTL_REVOKE, keys[i]);
        syscall(SYS_keyctl, KEYCTL_INVALIDATE, keys[i]);
    }
    return !error;
}

/* Joins the user's keyrings, to which the session of a systemd service does not lead. */
static void reach_keyrings(uid_t uid)
{
    lethe_ipc_leave_session();
    syscall(SYS_keyctl, KEYCTL_LINK, KEY_SPEC_USER_KEYRING, KEY_SPEC_SESSION_KEYRING);
    syscall(SYS_keyctl, KEYCTL_LINK, KEY_SPEC_USER_SESSION_KEYRING, KEY_SPEC_SESSION_KEYRING);
    syscall(SYS_keyctl, KEYCTL_GET_PERSISTENT, uid, KEY_SPEC_SESSION_KEYRING);
}

void lethe_ipc_leave_session(void)
{
    syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
}

static bool revoke_keys_of(uid_t uid)
{
    int status = 1;
    pid_t child = fork();
    if (!child) {
        /* The list shows what its opener may see, to whom the root is closed. */
        if (chdir("/proc") || setresuid(uid, uid, uid))
            _exit(1);
        reach_keyrings(uid);
        _exit(!revoke_visible_keys());
    }
    if (child > 0)
        waitpid(child, &status, 0);
    return !status;
}

bool lethe_ipc_revoke_keys(void)
{
    char line[256];
    FILE *users = fopen("/proc/key-users", "re");
    bool good = users || errno == ENOENT; /* a kernel without keys */
    errno = 0;
    for (; users && fgets(line, sizeof line, users); errno = 0) {
        char *end;
        unsigned long uid = strtoul(line, &end, 10);
        if (*end == ':')
            good &= revoke_keys_of((uid_t)uid);
    }
    good &= !errno;
    if (users)
        fclose(users);
    return good;
}
