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

/* Removes POSIX message queues, or leaves them, through a mount of its own: any mount of mqueue
 * shows the queues of the mounter's ipc namespace. Returns how many stay, or -errno. */
static int visit_posix_queues(bool remove)
{
    static const char place[] = "/mqueue";
    int n = 0;
    mkdir(place, 0700);
    int r = lethe_sys->mount("mqueue", place, "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    if (r)
        return r == -ENODEV ? 0 : r; /* a kernel without them */
    DIR *dir = opendir(place);
    r = dir ? 0 : -errno;
    errno = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir)); errno = 0)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
            (!remove || unlinkat(dirfd(dir), entry->d_name, 0))) {
            r = remove ? -errno : r;
            n++;
        }
    r = r ? r : -errno;
    if (dir)
        closedir(dir);
    lethe_sys->umount(place, MNT_DETACH);
    return r ? r : n;
}

unsigned lethe_ipc_count_posix_queues(void)
{
    int n = visit_posix_queues(false);
    if (n < 0)
        n = visit_posix_queues(false);
    return n < 0 ? 1 : (unsigned)n;
}

void lethe_ipc_erase(struct lethe_ram_fs_erased *erased)
{
    *erased = (struct lethe_ram_fs_erased){0};
    erase_segments(erased);
    remove_messages();
    int r = visit_posix_queues(true);
    if (r)
        r = visit_posix_queues(true);
    if (r && !erased->failed++)
        erased->first_error = r;
}

/* A line of /proc/keys begins with the key's serial number in hexadecimal and its flags, of which
 * the second tells of a revoked one and the seventh of an invalidated one (proc(5)). Only keys whose
 * type holds a payload of the user's count: a revoked keyring would hide its keys from the rest of
 * the walk, and the firmware's list of bad hashes can't be revoked. */
static bool has_payload(const char *line)
{
    return strlen(line) > 15 && line[10] != 'R' && line[15] != 'i' && !strstr(line, " keyring ") &&
           !strstr(line, " asymmetri") && !strstr(line, " blacklist ");
}

/* Reads /proc/keys, here in the working directory, and revokes what it shows. Returns how many keys
 * those are, or -errno. */
static int visit_visible_keys(bool revoke)
{
    static int32_t keys[KEYS_MAX];
    char line[512];
    size_t n = 0;
    FILE *list = fopen("keys", "re");
    int error = list ? 0 : errno;
    errno = 0;
    while (list && n < KEYS_MAX && fgets(line, sizeof line, list))
        if (has_payload(line))
            keys[n++] = (int32_t)strtoul(line, NULL, 16);
    error = error ? error : errno;
    if (list)
        fclose(list);
    for (size_t i = 0; revoke && i < n; i++) {
        syscall(SYS_keyctl, KEYCTL_SETPERM, keys[i], 0x3f3f3f3f);
        syscall(SYS_keyctl, KEYCTL_REVOKE, keys[i]);
        syscall(SYS_keyctl, KEYCTL_INVALIDATE, keys[i]);
    }
    return error ? -error : (int)n;
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

enum { UNKNOWN = 255 };

/* Returns how many keys the user has, UNKNOWN where nobody can tell; they are revoked if that is asked
 * for. */
static unsigned visit_keys_of(uid_t uid, bool revoke)
{
    int status = -1;
    pid_t child = fork();
    if (!child) {
        /* The list shows what its opener may see, to whom the root is closed. */
        if (chdir("/proc") || setresuid(uid, uid, uid))
            _exit(UNKNOWN);
        reach_keyrings(uid);
        int n = visit_visible_keys(revoke);
        _exit(n < 0 ? UNKNOWN : n < UNKNOWN ? n : UNKNOWN - 1);
    }
    if (child > 0)
        waitpid(child, &status, 0);
    return status == -1 || !WIFEXITED(status) ? UNKNOWN : (unsigned)WEXITSTATUS(status);
}

/* Goes through all users. Returns their keys' number, or -1 where one of them is not known. */
static int visit_keys(bool revoke)
{
    unsigned keys = 0;
    char line[256];
    FILE *users = fopen("/proc/key-users", "re");
    bool good = users || errno == ENOENT; /* a kernel without keys */
    errno = 0;
    for (; users && fgets(line, sizeof line, users); errno = 0) {
        char *end;
        unsigned long uid = strtoul(line, &end, 10);
        unsigned n = *end == ':' ? visit_keys_of((uid_t)uid, revoke) : 0;
        good &= n != UNKNOWN;
        keys += n;
    }
    good &= !errno;
    if (users)
        fclose(users);
    return good ? (int)keys : -1;
}

bool lethe_ipc_revoke_keys(void)
{
    return visit_keys(true) >= 0;
}

unsigned lethe_ipc_count_keys(void)
{
    int n = visit_keys(false);
    if (n < 0)
        n = visit_keys(false);
    return n < 0 ? 1 : (unsigned)n;
}
