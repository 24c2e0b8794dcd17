/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lethe/kernel/pid1.h"
#include "lethe/kernel/sys.h"

enum { GLIBC_SIGRTMIN = 34 }; /* systemd's; musl keeps one more for itself */

/* Returns the beginning of the name in the path of the program that PID 1 runs, or NULL when it
 * can't be told. An upgrade of systemd replaces the file before PID 1 runs the new one
 * (proc(5)). */
static char *init_name(char *path, size_t size)
{
    ssize_t n = readlink("/proc/1/exe", path, size - 1);
    static const char replaced[] = " (deleted)";
    if (n <= 0)
        return NULL;
    path[n] = '\0';
    size_t kept = (size_t)n - (sizeof replaced - 1);
    if ((size_t)n >= sizeof replaced && !strcmp(path + kept, replaced))
        path[kept] = '\0';
    char *slash = strrchr(path, '/');
    return slash ? slash + 1 : NULL;
}

/* Finds systemd-shutdown, which lies beside systemd. */
static int find_place(char *place, size_t size)
{
    char init[PATH_MAX];
    const char *name = init_name(init, sizeof init);
    if (!name || strcmp(name, "systemd"))
        return -ENOENT;
    int n = snprintf(place, size, "%.*s/systemd-shutdown", (int)(name - 1 - init), init);
    return n >= (int)size ? -ENAMETOOLONG : 0;
}

static bool is_same(const char *a, const char *b)
{
    struct stat one, other;
    return !stat(a, &one) && !stat(b, &other) && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

/* Has the union copy up the link by giving it its owner again: systemd of Debian 12 execs
 * /lib/systemd/systemd-shutdown. */
static void copy_up_link(void)
{
    struct stat st;
    if (!lstat("/lib", &st) && S_ISLNK(st.st_mode))
        (void)!lchown("/lib", st.st_uid, st.st_gid);
}

bool lethe_takeover_is_armed(const char *program)
{
    char place[PATH_MAX];
    return !find_place(place, sizeof place) && is_same(program, place);
}

int lethe_takeover_arm(const char *program)
{
    char place[PATH_MAX];
    int r = find_place(place, sizeof place);
    if (r || is_same(program, place))
        return r;
    if (access(place, F_OK))
        return -errno;
    lethe_takeover_disarm(); /* an earlier program's */
    copy_up_link();
    r = lethe_sys->mount(program, place, NULL, MS_BIND, NULL);
    return r ? r : lethe_sys->mount(NULL, place, NULL, MS_PRIVATE, NULL);
}

/* Unmounts whatever is bound there; only Lethe binds anything there. */
int lethe_takeover_disarm(void)
{
    char place[PATH_MAX];
    int r = find_place(place, sizeof place);
    if (!r)
        r = lethe_sys->umount(place, MNT_DETACH | UMOUNT_NOFOLLOW);
    return r == -EINVAL || r == -ENOENT ? 0 : r;
}

/* One mapping of a file by PID 1. */
struct piece {
    size_t length;
    void *at;
};

/* Maps the piece that a line of /proc/1/maps describes (proc(5)). False when it is no file's. */
static bool map_piece(const char *line, struct piece *piece)
{
    unsigned long long begin, end, offset, inode;
    char path[64];
    if (sscanf(line, "%llx-%llx %*s %llx %*s %llu", &begin, &end, &offset, &inode) != 4 || !inode)
        return false;
    snprintf(path, sizeof path, "/proc/1/map_files/%llx-%llx", begin, end);
    int fd = lethe_sys->open(path, O_RDONLY);
    if (fd < 0)
        return false;
    piece->length = (size_t)(end - begin);
    piece->at = mmap(NULL, piece->length, PROT_READ, MAP_SHARED, fd, (off_t)offset);
    lethe_sys->close(fd);
    return piece->at != MAP_FAILED;
}

static bool is_in_memory(const struct piece *piece)
{
    unsigned char pages[256];
    const size_t page = lethe_sys->page_size(), window = sizeof pages * page;
    for (size_t done = 0; done < piece->length; done += window) {
        size_t n = piece->length - done < window ? piece->length - done : window;
        if (lethe_sys->mincore((char *)piece->at + done, n, pages))
            return false;
        for (size_t i = 0; i * page < n; i++)
            if (!(pages[i] & 1))
                return false;
    }
    return true;
}

/* Calls `use` for the pieces as long as it returns true. True when it always did, and there was
 * one. */
static bool each_piece(bool (*use)(const struct piece *))
{
    char line[PATH_MAX + 128];
    struct piece piece;
    bool good = true, any = false;
    FILE *maps = fopen("/proc/1/maps", "re");
    while (maps && good && fgets(line, sizeof line, maps))
        if (map_piece(line, &piece)) {
            any = true;
            good = use(&piece);
        }
    if (maps)
        fclose(maps);
    return good && any;
}

static bool check_and_unmap(const struct piece *piece)
{
    bool good = is_in_memory(piece);
    munmap(piece->at, piece->length);
    return good;
}

/* Locks a piece in memory. The part behind the end of its file
 * can't be locked, and is not needed. */
static bool lock(const struct piece *piece)
{
    (void)!mlock(piece->at, piece->length);
    return true;
}

bool lethe_takeover_is_resident(void)
{
    return each_piece(check_and_unmap);
}

void lethe_takeover_load(void)
{
    each_piece(lock);
}

pid_t lethe_takeover_hold(void)
{
    pid_t child = fork();
    if (child)
        return child < 0 ? -errno : child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    munlockall(); /* only what is named is locked, not all that is mapped from now on */
    each_piece(lock);
    for (;;)
        pause();
}

void lethe_takeover_keep(void)
{
    char place[PATH_MAX];
    int fd = find_place(place, sizeof place) ? -1 : lethe_sys->open(place, O_PATH);
    if (fd < 0)
        return;
    if (fork()) {
        lethe_sys->close(fd);
        return;
    }
    setsid();
    lethe_pid1_leave_cgroup(); /* with its service it would be ended */
    for (;;)
        pause();
}

int lethe_takeover_signal(enum lethe_verb verb)
{
    int offset = verb == LETHE_VERB_HALT ? 13 : verb == LETHE_VERB_REBOOT ? 15 : 14;
    return lethe_sys->kill(1, GLIBC_SIGRTMIN + offset);
}

bool lethe_takeover_has_begun(void)
{
    char init[PATH_MAX];
    const char *name = init_name(init, sizeof init);
    return name && strcmp(name, "systemd") != 0;
}
