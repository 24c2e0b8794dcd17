/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/slab.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/keyctl.h>
#include <linux/membarrier.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lethe/slabinfo.h"
#include "lethe/sys.h"

enum { OBJECT_MAX = 8192, SLABINFO_MAX = 65536, PER_DIR = 4096 };

/* What the objects are made with. */
struct makers {
    int top,
        dir; /* a tmpfs that is mounted nowhere, and the directory in it that is being filled */
    unsigned n_names; /* made so far: every one is new */
    int queue;
    int gate[2]; /* a pipe: its processes wait for its closing */
    unsigned n_processes;
    int64_t end_ms;
};

struct family {
    const char *cache;
    size_t size;
    /* Makes one object of this size. False when there can be no more. */
    bool (*make)(struct makers *m, size_t size);
};

static const char *filling(size_t n)
{
    static char text[OBJECT_MAX + 1];
    if (!text[0])
        memset(text, '0', OBJECT_MAX);
    return text + OBJECT_MAX - n;
}

/* Directories are searched one name after the other where they are no hash: none becomes large. */
static bool enter_dir(struct makers *m)
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

/* A new name of n bytes, NUL-terminated. */
static const char *new_name(const struct makers *m, size_t n, char *name)
{
    snprintf(name, n + 1, "%0*u", (int)n, m->n_names);
    return name;
}

/* The longest name that lies within the dentry: 31 bytes, in later kernels up to 39. */
static bool make_name(struct makers *m, size_t size)
{
    char name[NAME_MAX + 1];
    (void)size;
    return enter_dir(m) && !symlinkat("0", m->dir, new_name(m, 31, name));
}

/* The target of a link, with its NUL, is one object as long as it has up to 128 bytes. */
static bool make_link(struct makers *m, size_t size)
{
    char name[16];
    return enter_dir(m) && !symlinkat(filling(size - 1), m->dir, new_name(m, 10, name));
}

/* A name that is too long for its dentry: struct external_name, 16 bytes and the name with its NUL.
 */
static bool make_long_name(struct makers *m, size_t size)
{
    char name[NAME_MAX + 1];
    size_t n = size - 17 < NAME_MAX ? size - 17 : NAME_MAX;
    return enter_dir(m) && !symlinkat("0", m->dir, new_name(m, n, name));
}

/* A System V message: struct msg_msg, 48 bytes, and the text. */
static bool make_message(struct makers *m, size_t size)
{
    static struct {
        long type;
        char text[OBJECT_MAX];
    } message;
    message.type = 1;
    return !msgsnd(m->queue, &message, size - 48, IPC_NOWAIT);
}

/* The payload of a user's key: struct user_key_payload, 24 bytes, and the data. */
static bool make_key(struct makers *m, size_t size)
{
    char name[16];
    snprintf(name, sizeof name, "%u", m->n_names++);
    return syscall(SYS_add_key, "user", name, filling(size - 24), size - 24,
                   KEY_SPEC_PROCESS_KEYRING) >= 0;
}

/* The registers of the dead, vector registers with keys among them, lie in their task_struct, and
 * what they last told the kernel on their stack in there, of which each processor keeps two. */
static bool make_process(struct makers *m, size_t size)
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

static const struct family families[] = {
    {"task_struct", 0, make_process},
    {"dentry", 0, make_name},
    {"kmalloc-8", 8, make_link},
    {"kmalloc-16", 16, make_link},
    {"kmalloc-32", 32, make_link},
    {"kmalloc-64", 64, make_link},
    {"kmalloc-96", 96, make_link},
    {"kmalloc-128", 128, make_link},
    {"kmalloc-192", 192, make_key},
    {"kmalloc-256", 256, make_key},
    {"kmalloc-512", 512, make_key},
    {"kmalloc-1k", 1024, make_key},
    {"kmalloc-2k", 2048, make_key},
    {"kmalloc-4k", 4096, make_key},
    {"kmalloc-8k", 8192, make_key},
    {"kmalloc-rcl-64", 64, make_long_name},
    {"kmalloc-rcl-96", 96, make_long_name},
    {"kmalloc-rcl-128", 128, make_long_name},
    {"kmalloc-rcl-192", 192, make_long_name},
    {"kmalloc-rcl-256", 256, make_long_name},
    {"kmalloc-rcl-512", 512, make_long_name},
    {"kmalloc-cg-64", 64, make_message},
    {"kmalloc-cg-96", 96, make_message},
    {"kmalloc-cg-128", 128, make_message},
    {"kmalloc-cg-192", 192, make_message},
    {"kmalloc-cg-256", 256, make_message},
    {"kmalloc-cg-512", 512, make_message},
    {"kmalloc-cg-1k", 1024, make_message},
    {"kmalloc-cg-2k", 2048, make_message},
    {"kmalloc-cg-4k", 4096, make_message},
};

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

static int open_makers(struct makers *m, int64_t end_ms)
{
    static const char *const limits[][2] = {
        {"/proc/sys/kernel/msgmax", "65536"},
        {"/proc/sys/kernel/msgmnb", "2000000000"},
        {"/proc/sys/kernel/keys/root_maxkeys", "2000000000"},
        {"/proc/sys/kernel/keys/root_maxbytes", "2000000000"},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        lethe_sys->write_file(limits[i][0], limits[i][1]);
    int top = open_tmpfs();
    if (top < 0)
        return top;
    *m = (struct makers){.top = top, .dir = top, .end_ms = end_ms};
    m->queue = msgget(IPC_PRIVATE, 0600);
    return pipe2(m->gate, O_CLOEXEC) ? -errno : 0;
}

/* The tmpfs goes with its last descriptor. */
static void close_makers(struct makers *m)
{
    if (m->dir >= 0 && m->dir != m->top)
        close(m->dir);
    close(m->top);
    msgctl(m->queue, IPC_RMID, NULL);
    close(m->gate[0]);
    close(m->gate[1]);
    while (m->n_processes--)
        waitpid(-1, NULL, 0);
    syscall(SYS_keyctl, KEYCTL_CLEAR, KEY_SPEC_PROCESS_KEYRING);
}

/* Now and then: objects that find no free slot after all take memory, and when that ends there may
 * be no process left that the OOM killer could take. */
static bool may_go_on(const struct makers *m, uint64_t made)
{
    enum { EVERY = 256, FREE_MIN = 24 << 20 };
    struct sysinfo info;
    if (made % EVERY)
        return true;
    return lethe_now_ms() < m->end_ms && !sysinfo(&info) &&
           (uint64_t)info.freeram * info.mem_unit > FREE_MIN;
}

/* As many objects as the cache has free slots, and two slabs' worth more: the slab that a processor
 * takes from and the one that it keeps beside it count as full (mm/slub.c: get_partial_node() takes
 * a second one even where cpu_partial is 0). */
static void refill_cache(struct makers *m, const struct family *f, struct lethe_span slabinfo,
                         struct lethe_refill *refill)
{
    struct lethe_slab_cache c;
    uint64_t made = 0;
    if (!lethe_slabinfo(slabinfo, f->cache, &c))
        return;
    uint64_t n = c.total - c.active + 2 * c.per_slab;
    while (made < n && may_go_on(m, made) && f->make(m, f->size))
        made++;
    refill->objects += made;
    refill->left += n - made;
}

/* On the processor that the caller runs on. */
static int refill_all(struct makers *m, struct lethe_refill *refill)
{
    static char text[SLABINFO_MAX];
    ssize_t n = lethe_read_file(AT_FDCWD, "/proc/slabinfo", text, sizeof text);
    if (n < 0)
        return (int)n;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        refill_cache(m, &families[i], (struct lethe_span){text, (size_t)n}, refill);
    return 0;
}

int lethe_slab_refill(int64_t end_ms, struct lethe_refill *refill)
{
    struct makers makers;
    cpu_set_t ours, one;
    *refill = (struct lethe_refill){0};
    int r = open_makers(&makers, end_ms);
    if (r)
        return r;
    sched_getaffinity(0, sizeof ours, &ours);
    for (int processor = 0; !r && processor < CPU_SETSIZE; processor++) {
        if (!CPU_ISSET(processor, &ours))
            continue;
        CPU_ZERO(&one);
        CPU_SET(processor, &one);
        sched_setaffinity(0, sizeof one, &one);
        r = refill_all(&makers, refill);
    }
    sched_setaffinity(0, sizeof ours, &ours);
    close_makers(&makers);
    return r;
}

static void set_all(const char *attribute, const char *value)
{
    char path[300];
    DIR *dir = opendir("/sys/kernel/slab");
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        snprintf(path, sizeof path, "/sys/kernel/slab/%.255s/%s", entry->d_name, attribute);
        if (entry->d_name[0] != '.')
            lethe_sys->write_file(path, value);
    }
    closedir(dir);
}

void lethe_slab_settle(void)
{
    const struct timespec callbacks = {0, 100 * 1000 * 1000};
    syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0);
    nanosleep(&callbacks, NULL);
    set_all("cpu_partial", "0");
    set_all("shrink", "1");
}
