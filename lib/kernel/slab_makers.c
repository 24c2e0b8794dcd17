/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/slab_makers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/keyctl.h>
#include <linux/limits.h>
#include <linux/mount.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

enum { OBJECT_MAX = 65536, PER_DIR = 4096 };

static const char *filling(size_t n)
{
    static char text[OBJECT_MAX + 1];
    if (!text[0])
        memset(text, '0', OBJECT_MAX);
    return text + OBJECT_MAX - n;
}

/* Enters a new directory when one has many names: where directories are no hash, they are searched
 * name by name. */
static bool enter_dir(struct lethe_slab_makers *m)
{
    char name[16];
    if (m->n_names++ % PER_DIR)
        return true;
    snprintf(name, sizeof name, "%u", m->n_names);
    if (m->dir != m->top)
        close(m->dir);
    m->dir =
        mkdirat(m->top, name, 0700) ? -1 : openat(m->top, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return m->dir >= 0;
}

/* Returns a new name of n bytes, NUL-terminated. */
static const char *new_name(const struct lethe_slab_makers *m, size_t n, char *name)
{
    snprintf(name, n + 1, "%0*u", (int)n, m->n_names);
    return name;
}

/* Makes a file with the longest name that lies within the dentry: 31 bytes, in later kernels up to
 * 39. */
static bool make_name(struct lethe_slab_makers *m, size_t size)
{
    char name[NAME_MAX + 1];
    (void)size;
    return enter_dir(m) && !symlinkat("0", m->dir, new_name(m, 31, name));
}

/* Makes a symbolic link. Its target, with the NUL, is one
 * object as long as it has up to 128 bytes. */
static bool make_link(struct lethe_slab_makers *m, size_t size)
{
    char name[16];
    return enter_dir(m) && !symlinkat(filling(size - 1), m->dir, new_name(m, 10, name));
}

/* Makes a name too long for its dentry: struct external_name, 16 bytes, 24 in Linux 7.2, and the
 * name with its NUL. */
static bool make_long_name(struct lethe_slab_makers *m, size_t size)
{
    char name[NAME_MAX + 1];
    const size_t room = size - (m->linux_major < 7 ? 17 : 25),
                 n = room < NAME_MAX ? room : NAME_MAX;
    return enter_dir(m) && !symlinkat("0", m->dir, new_name(m, n, name));
}

/* Makes a System V message: struct msg_msg, 48 bytes, and the text. */
static bool make_message(struct lethe_slab_makers *m, size_t size)
{
    static struct {
        long type;
        char text[OBJECT_MAX];
    } message;
    message.type = 1;
    return !msgsnd(m->queue, &message, size - 48, IPC_NOWAIT);
}

/* Makes a user's key: struct user_key_payload, 24 bytes, and the data. */
static bool make_key(struct lethe_slab_makers *m, size_t size)
{
    char name[16];
    snprintf(name, sizeof name, "%u", m->n_names++);
    return syscall(SYS_add_key, "user", name, filling(size - 24), size - 24,
                   KEY_SPEC_PROCESS_KEYRING) >= 0;
}

/* Makes and ends a process. Its task_struct takes the place of a dead one's, where the last
 * registers lie, vector registers with keys among them; so does its kernel stack, of which each
 * processor keeps two. */
static bool make_process(struct lethe_slab_makers *m, size_t size)
{
    char byte;
    (void)size;
    pid_t child = fork();
    if (!child) {
        close(m->gate[1]);
        _exit((int)read(m->gate[0], &byte, 1));
    }
    m->n_processes += child > 0;
    return child > 0;
}

static bool set_attribute(struct lethe_slab_makers *m, size_t name_size, size_t value_size)
{
    char name[XATTR_NAME_MAX + 1];
    snprintf(name, sizeof name, "trusted.%0*u", (int)name_size - 9, m->n_names++);
    return !fsetxattr(m->bearer, name, filling(value_size), value_size, XATTR_CREATE);
}

/* Makes an attribute: struct simple_xattr, 40 bytes, 64 in Linux 7.2, and the value. Its name is
 * another object. */
static bool make_attribute(struct lethe_slab_makers *m, size_t size)
{
    return set_attribute(m, 20, size - (m->linux_major < 7 ? 40 : 64));
}

/* Makes an attribute whose name has at least 20 bytes: a shorter one could not be new each time. */
static bool make_attribute_name(struct lethe_slab_makers *m, size_t size)
{
    return set_attribute(m, size < 20 ? 20 : size, 1);
}

/* Sends a datagram to itself: in the queue its head is a small object (6.3). */
static bool make_datagram(struct lethe_slab_makers *m, size_t size)
{
    enum { DATA = 200 };
    (void)size;
    return send(m->datagrams, filling(DATA), DATA, MSG_DONTWAIT) == DATA;
}

static int open_tmpfs(void)
{
    int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    if (fs < 0)
        return -errno;
    syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "nr_inodes", "0", 0);
    syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", "0700", 0);
    int mount = syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)
                    ? -1
                    : (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
    int r = mount < 0 ? -errno : mount;
    close(fs);
    return r;
}

/* Opens a socket that is connected to itself, with room for very many datagrams. */
static int open_datagrams(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof here;
    const int room = 1 << 30;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const void *)&here, n) || getsockname(fd, (void *)&here, &n) ||
        connect(fd, (const void *)&here, n))
        return fd;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    return fd;
}

static void raise_limits(void)
{
    static const struct lethe_sys_setting limits[] = {
        {"/proc/sys/kernel/msgmax", "65536"},
        {"/proc/sys/kernel/msgmnb", "2000000000"},
        {"/proc/sys/kernel/keys/root_maxkeys", "2000000000"},
        {"/proc/sys/kernel/keys/root_maxbytes", "2000000000"},
    };
    lethe_sys_write_settings(limits, sizeof limits / sizeof *limits);
}

/* True since Linux 6.6. Before it attributes lie in other caches, and in a list, which becomes
 * slow. */
static bool accounts_attributes(unsigned *major)
{
    struct utsname name;
    unsigned minor;
    return !uname(&name) && sscanf(name.release, "%u.%u", major, &minor) == 2 &&
           (*major > 6 || (*major == 6 && minor >= 6));
}

int lethe_slab_makers_open(struct lethe_slab_makers *m)
{
    raise_limits();
    int top = open_tmpfs();
    if (top < 0)
        return top;
    *m = (struct lethe_slab_makers){.top = top, .dir = top};
    m->bearer = accounts_attributes(&m->linux_major)
                    ? openat(top, "bearer", O_RDWR | O_CREAT | O_CLOEXEC, 0600)
                    : -1;
    m->queue = msgget(IPC_PRIVATE, 0600);
    m->datagrams = open_datagrams();
    return pipe2(m->gate, O_CLOEXEC) ? -errno : 0;
}

/* Closes the last descriptor of the tmpfs, with which it goes. */
void lethe_slab_makers_close(struct lethe_slab_makers *m)
{
    if (m->dir >= 0 && m->dir != m->top)
        close(m->dir);
    close(m->bearer);
    close(m->top);
    close(m->datagrams);
    msgctl(m->queue, IPC_RMID, NULL);
    close(m->gate[0]);
    close(m->gate[1]);
    while (m->n_processes--)
        waitpid(-1, NULL, 0);
    syscall(SYS_keyctl, KEYCTL_CLEAR, KEY_SPEC_PROCESS_KEYRING);
}

bool lethe_slab_makers_make(struct lethe_slab_makers *makers, enum lethe_slabinfo_maker maker,
                            size_t size)
{
    static bool (*const make[])(struct lethe_slab_makers *, size_t) = {
        [LETHE_SLABINFO_PROCESS] = make_process,
        [LETHE_SLABINFO_NAME] = make_name,
        [LETHE_SLABINFO_LONG_NAME] = make_long_name,
        [LETHE_SLABINFO_LINK] = make_link,
        [LETHE_SLABINFO_KEY] = make_key,
        [LETHE_SLABINFO_MESSAGE] = make_message,
        [LETHE_SLABINFO_ATTRIBUTE] = make_attribute,
        [LETHE_SLABINFO_ATTRIBUTE_NAME] = make_attribute_name,
        [LETHE_SLABINFO_DATAGRAM] = make_datagram,
    };
    return maker != LETHE_SLABINFO_NO_MAKER && make[maker](makers, size);
}
