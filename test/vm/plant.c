/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * plant KIND[:SIZE[:PATH]]...
 *
 * Leaves secrets in the memory of the machine it runs on, as a user's programs would: each kind's
 * pattern (secrets.h), over and over, in the place that the kind is named for. SIZE is in bytes
 * (with K or M) or, for names, small, links, xattrs, messages, registers and general, a number of them. What
 * a process has to hold is held by one in the background. A line a kind is printed once it is
 * planted. Kinds that end in "+" of another word ("shm+rw") are that kind with a pattern of their
 * own.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/keyctl.h>
#include <linux/netlink.h>
#include <linux/soundcard.h>
#include <mqueue.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "secrets.h"

enum { BLOCK = 1 << 20, HUGE_PAGE = 2 << 20 };

struct order {
    char kind[32];
    size_t size;
    const char *path;
};

static unsigned char pattern[SECRET_SIZE];
static int ready_fd;

static void fill(unsigned char *to, size_t size)
{
    for (size_t i = 0; i + SECRET_SIZE <= size; i += SECRET_SIZE)
        memcpy(to + i, pattern, SECRET_SIZE);
}

/* Fills through a window, so that of a file's content no second copy stays in this process. */
static void fill_fd(int fd, size_t size)
{
    unsigned char *block =
        mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (block == MAP_FAILED)
        err(1, "mmap");
    fill(block, BLOCK);
    while (size > 0) {
        ssize_t n = write(fd, block, size < BLOCK ? size : BLOCK);

        if (n <= 0)
            err(1, "write");
        size -= (size_t)n;
    }
    explicit_bzero(block, BLOCK);
    munmap(block, BLOCK);
}

static unsigned char *map(size_t size, int flags, int fd)
{
    unsigned char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

    if (p == MAP_FAILED)
        err(1, "mmap of %zu bytes", size);
    return p;
}

/* Where this order's file or folder is; good until the next call. */
static const char *place(const struct order *o)
{
    static char path[4096];

    snprintf(path, sizeof path, "%s/lethe-%s", o->path, o->kind);
    return path;
}

static int create(const struct order *o)
{
    int fd = open(place(o), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0)
        err(1, "%s", place(o));
    return fd;
}

static void destroy(const struct order *o)
{
    if (unlink(place(o)) < 0)
        err(1, "%s", place(o));
}

/* The i-th of many strings that begin with the pattern; every second one is long. */
static void many_name(char *out, size_t size, size_t i)
{
    snprintf(out, size, "%.16s%05zu%s", (const char *)pattern, i,
             i % 2 ? "-a-longer-name-that-the-kernel-keeps-outside-of-its-object" : "");
}

static void enter_many(const struct order *o)
{
    if (mkdir(place(o), 0700) < 0 || chdir(place(o)) < 0)
        err(1, "%s", place(o));
}

/* Says that the kind is planted, and stays alive. */
static void hold(void)
{
    explicit_bzero(pattern, sizeof pattern);
    if (write(ready_fd, "", 1) != 1)
        err(1, "ready");
    close(ready_fd);
    for (;;)
        pause();
}

static void plant_file(const struct order *o)
{
    fill_fd(create(o), o->size);
}

/* A file held open in the working directory, not yet synced: as an editor has it. */
static void plant_cache(const struct order *o)
{
    fill_fd(create(o), o->size);
    if (chdir(o->path) < 0)
        err(1, "%s", o->path);
    hold();
}

static void plant_unlinked(const struct order *o)
{
    fill_fd(create(o), o->size);
    destroy(o);
    hold();
}

static void plant_mapped(const struct order *o)
{
    int fd = create(o);

    if (ftruncate(fd, (off_t)o->size) < 0)
        err(1, "ftruncate");
    fill(map(o->size, MAP_SHARED, fd), o->size);
    close(fd);
    destroy(o);
    hold();
}

static void plant_heap(const struct order *o)
{
    fill(map(o->size, MAP_PRIVATE | MAP_ANONYMOUS, -1), o->size);
    hold();
}

static void plant_stack(const struct order *o)
{
    unsigned char here[o->size];

    fill(here, sizeof here);
    __asm__ volatile("" : : "r"(here) : "memory");
    hold();
}

/* Starts this program anew, with the secret in its environment. */
static void plant_environ(const struct order *o)
{
    char *variable = malloc(o->size + sizeof "SECRET="), fd[16];

    if (!variable)
        err(1, "malloc");
    strcpy(variable, "SECRET=");
    fill((unsigned char *)variable + strlen("SECRET="), o->size);
    variable[strlen("SECRET=") + o->size] = '\0';
    snprintf(fd, sizeof fd, "%d", dup(ready_fd));
    execve("/proc/self/exe", (char *[]){"plant", "--hold", fd, NULL}, (char *[]){variable, NULL});
    err(1, "exec");
}

static void plant_names(const struct order *o)
{
    enter_many(o);
    for (size_t i = 0; i < o->size; i++) {
        char name[256];
        int fd;

        many_name(name, sizeof name, i);
        fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0)
            err(1, "name %zu", i);
        close(fd);
    }
}

/* Many files of 16 bytes. */
static void plant_small(const struct order *o)
{
    enter_many(o);
    for (size_t i = 0; i < o->size; i++) {
        char name[32];
        int fd;

        snprintf(name, sizeof name, "%zu", i);
        fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0 || write(fd, pattern, SECRET_SIZE) != SECRET_SIZE)
            err(1, "file %zu", i);
        close(fd);
    }
}

static void plant_links(const struct order *o)
{
    enter_many(o);
    for (size_t i = 0; i < o->size; i++) {
        char target[256], name[32];

        many_name(target, sizeof target, i);
        snprintf(name, sizeof name, "%zu", i);
        if (symlink(target, name) < 0)
            err(1, "link %zu", i);
    }
}

static void plant_xattrs(const struct order *o)
{
    enter_many(o);
    for (size_t i = 0; i < o->size; i++) {
        char value[256], name[32];
        int fd;

        many_name(value, sizeof value, i);
        snprintf(name, sizeof name, "%zu", i);
        fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0 || fsetxattr(fd, "trusted.secret", value, strlen(value), 0) < 0)
            err(1, "xattr %zu", i);
        close(fd);
    }
}

/* Lines of the kernel's log, as a driver writes a name of a user's there. */
static void plant_printk(const struct order *o)
{
    int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        err(1, "/dev/kmsg");
    for (size_t i = 0; i < o->size; i++)
        dprintf(fd, "<7>%.16s%.16s\n", (const char *)pattern, (const char *)pattern);
    close(fd);
}

/* Played, as it is, by the first sound card. */
static void plant_sound(const struct order *o)
{
    int format = AFMT_S16_LE, channels = 2, rate = 48000,
        fd = open("/dev/dsp", O_WRONLY | O_CLOEXEC);

    if (fd < 0 || ioctl(fd, SNDCTL_DSP_SETFMT, &format) < 0 ||
        ioctl(fd, SNDCTL_DSP_CHANNELS, &channels) < 0 || ioctl(fd, SNDCTL_DSP_SPEED, &rate) < 0)
        err(1, "/dev/dsp");
    fill_fd(fd, o->size);
    close(fd);
}

/* Records of a program's for audit, which the kernel keeps for a daemon that is not there. */
static void plant_audit(const struct order *o)
{
    struct {
        struct nlmsghdr head;
        char text[64];
    } record = {.head = {sizeof record, AUDIT_USER, NLM_F_REQUEST, 0, 0}};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT);

    if (fd < 0)
        err(1, "audit");
    snprintf(record.text, sizeof record.text, "%.16s%.16s", (const char *)pattern,
             (const char *)pattern);
    for (size_t i = 0; i < o->size; i++)
        if (send(fd, &record, sizeof record, 0) < 0)
            err(1, "audit");
    explicit_bzero(record.text, sizeof record.text);
    close(fd);
}

static void plant_pipe(const struct order *o)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0 || fcntl(ends[1], F_SETPIPE_SZ, (int)o->size) < 0)
        err(1, "pipe");
    fill_fd(ends[1], o->size);
    hold();
}

static void plant_socket(const struct order *o)
{
    int ends[2], size = (int)o->size * 2;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 ||
        setsockopt(ends[1], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
        err(1, "socketpair");
    fill_fd(ends[1], o->size);
    hold();
}

static int plant_memfd_open(const struct order *o)
{
    int fd = memfd_create(o->kind, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        err(1, "memfd_create");
    fill_fd(fd, o->size);
    return fd;
}

static void plant_memfd(const struct order *o)
{
    plant_memfd_open(o);
    hold();
}

static void plant_sealed(const struct order *o)
{
    int fd = plant_memfd_open(o);

    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        err(1, "F_ADD_SEALS");
    hold();
}

/* Outlives its process. */
static void plant_sysv(const struct order *o)
{
    int id = shmget(IPC_PRIVATE, o->size, IPC_CREAT | 0600);
    void *at = id < 0 ? (void *)-1 : shmat(id, NULL, 0);

    if (at == (void *)-1)
        err(1, "shm");
    fill(at, o->size);
}

/* Outlives its process; its name is one that ls(1) hides. */
static void plant_mqueue(const struct order *o)
{
    struct mq_attr attr = {.mq_maxmsg = 10, .mq_msgsize = (long)o->size / 10};
    char *message = malloc((size_t)attr.mq_msgsize);
    mqd_t queue = mq_open("/.lethe-mqueue", O_RDWR | O_CREAT, 0600, &attr);

    if (!message || queue < 0)
        err(1, "mq_open");
    fill((unsigned char *)message, (size_t)attr.mq_msgsize);
    for (int i = 0; i < attr.mq_maxmsg; i++)
        if (mq_send(queue, message, (size_t)attr.mq_msgsize, 0) < 0)
            err(1, "mq_send");
}

/* So many of System V's, small and large ones. They outlive their process. */
static void plant_messages(const struct order *o)
{
    static struct {
        long type;
        unsigned char text[2048];
    } message;
    FILE *limit = fopen("/proc/sys/kernel/msgmnb", "we");
    int queue;

    if (!limit || fprintf(limit, "%zu\n", o->size * sizeof message) < 0 || fclose(limit) != 0)
        err(1, "msgmnb");
    queue = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    message.type = 1;
    fill(message.text, sizeof message.text);
    for (size_t i = 0; i < o->size; i++)
        if (queue < 0 || msgsnd(queue, &message, SECRET_SIZE << i % 8, 0) < 0)
            err(1, "message %zu", i);
    explicit_bzero(message.text, sizeof message.text);
}

static void reserve_huge(const struct order *o)
{
    FILE *f = fopen("/proc/sys/vm/nr_hugepages", "r+e");
    size_t n = 0;

    if (!f || fscanf(f, "%zu", &n) != 1)
        err(1, "nr_hugepages");
    rewind(f);
    if (fprintf(f, "%zu\n", n + o->size / HUGE_PAGE) < 0 || fclose(f) != 0)
        err(1, "nr_hugepages");
}

/* A file of huge pages; outlives its process. */
static void plant_hugetlb(const struct order *o)
{
    reserve_huge(o);
    fill(map(o->size, MAP_SHARED, create(o)), o->size);
}

/* A program's huge pages. */
static void plant_huge(const struct order *o)
{
    reserve_huge(o);
    fill(map(o->size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1), o->size);
    hold();
}

/* Sleeps for ever by the call whose number is the second operand, with all other registers kept. */
#if defined __aarch64__
#define SLEEP                                                                                      \
    "1: mov x0, xzr\n"                                                                             \
    "mov x1, xzr\n"                                                                                \
    "mov x2, xzr\n"                                                                                \
    "mov x3, xzr\n"                                                                                \
    "mov x8, %1\n"                                                                                 \
    "svc 0\n"                                                                                      \
    "b 1b"
#define SLEEP_CLOBBERS "x0", "x1", "x2", "x3", "x8"
#else
#define SLEEP                                                                                      \
    "1: mov %1, %%eax\n"                                                                           \
    "syscall\n"                                                                                    \
    "jmp 1b"
#define SLEEP_CLOBBERS "rax", "rcx", "r11"
#endif

/* Sleeps with the pattern in the vector registers and nowhere else: the kernel has to keep them. */
static _Noreturn void sleep_with_registers(void)
{
#if defined __aarch64__
    __asm__ volatile("ldr q0, [%0]\n"
                     "mov v7.16b, v0.16b\n"
                     "mov v31.16b, v0.16b\n"
                     "stp xzr, xzr, [%0]\n" SLEEP ::"r"(pattern),
                     "i"(SYS_ppoll)
                     : "memory", SLEEP_CLOBBERS, "v0", "v7", "v31");
#else
    __asm__ volatile("movups (%0), %%xmm0\n"
                     "movaps %%xmm0, %%xmm7\n"
                     "movaps %%xmm0, %%xmm15\n"
                     "movq $0, (%0)\n"
                     "movq $0, 8(%0)\n" SLEEP ::"r"(pattern),
                     "i"(SYS_pause)
                     : "memory", SLEEP_CLOBBERS, "xmm0", "xmm7", "xmm15");
#endif
    __builtin_unreachable();
}

/* The same in general registers, which lie on the kernel's stack of the process. */
static _Noreturn void sleep_with_general(void)
{
#if defined __aarch64__
    __asm__ volatile("ldp x19, x20, [%0]\n"
                     "stp xzr, xzr, [%0]\n" SLEEP ::"r"(pattern),
                     "i"(SYS_ppoll)
                     : "memory", SLEEP_CLOBBERS, "x19", "x20");
#else
    __asm__ volatile("movq (%0), %%r15\n"
                     "movq 8(%0), %%r14\n"
                     "movq $0, (%0)\n"
                     "movq $0, 8(%0)\n" SLEEP ::"r"(pattern),
                     "i"(SYS_pause)
                     : "memory", SLEEP_CLOBBERS, "r14", "r15");
#endif
    __builtin_unreachable();
}

/* So many processes. */
static void fork_each(size_t n, void (*sleep_with)(void))
{
    for (size_t i = 0; i < n; i++)
        switch (fork()) {
        case -1:
            err(1, "fork %zu", i);
        case 0:
            sleep_with();
        }
    hold();
}

static void plant_registers(const struct order *o)
{
    fork_each(o->size, sleep_with_registers);
}

static void plant_general(const struct order *o)
{
    fork_each(o->size, sleep_with_general);
}

/* In root's user keyring; outlives its process. */
static void plant_key(const struct order *o)
{
    unsigned char *payload = malloc(o->size);

    if (!payload)
        err(1, "malloc");
    fill(payload, o->size);
    if (syscall(SYS_add_key, "user", "lethe", payload, o->size, KEY_SPEC_USER_KEYRING) < 0)
        err(1, "add_key");
}

static const struct kind {
    const char *name;
    void (*plant)(const struct order *o);
    size_t size;
    const char *path;
} kinds[] = {
    {"rw", plant_file, 64 << 20, "/var/tmp"},
    {"shm", plant_file, 32 << 20, "/dev/shm"},
    {"run", plant_file, 4 << 20, "/run"},
    {"file", plant_file, 1 << 20, "/tmp"},
    {"heap", plant_heap, 32 << 20, NULL},
    {"cache", plant_cache, 64 << 20, "/home"},
    {"names", plant_names, 1000, "/var/tmp"},
    {"pipe", plant_pipe, 64 << 10, NULL},
    {"audit", plant_audit, 30, NULL},
    {"sound", plant_sound, 512 << 10, NULL},
    {"printk", plant_printk, 200, NULL},
    {"unlinked", plant_unlinked, 4 << 20, "/var/tmp"},
    {"mapped", plant_mapped, 4 << 20, "/dev/shm"},
    {"memfd", plant_memfd, 4 << 20, NULL},
    {"sealed", plant_sealed, 4 << 20, NULL},
    {"sysv", plant_sysv, 4 << 20, NULL},
    {"mqueue", plant_mqueue, 40 << 10, NULL},
    {"messages", plant_messages, 500, NULL},
    {"hugetlb", plant_hugetlb, HUGE_PAGE, "/dev/hugepages"},
    {"huge", plant_huge, HUGE_PAGE, NULL},
    {"keyring", plant_key, 16 << 10, NULL},
    {"small", plant_small, 1000, "/var/tmp"},
    {"links", plant_links, 500, "/var/tmp"},
    {"xattrs", plant_xattrs, 500, "/var/tmp"},
    {"environ", plant_environ, 4 << 10, NULL},
    {"stack", plant_stack, 64 << 10, NULL},
    {"socket", plant_socket, 64 << 10, NULL},
    {"registers", plant_registers, 100, NULL},
    {"general", plant_general, 100, NULL},
};

static const struct kind *find_kind(const char *name)
{
    size_t length = strcspn(name, "+");

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strlen(kinds[i].name) == length && strncmp(kinds[i].name, name, length) == 0)
            return &kinds[i];
    errx(2, "%s: no such kind", name);
}

static size_t parse_size(const char *text)
{
    char *end;
    size_t size = strtoul(text, &end, 10);

    return *end == 'M' ? size << 20 : *end == 'K' ? size << 10 : size;
}

/* Plants in a child, waits until it has ended or says that it holds. It is reaped here: the kernel
 * keeps the registers of the dead, and memcpy's has the pattern in it. */
static void plant(char *spec)
{
    struct order o = {0};
    char *name = strsep(&spec, ":"), *size = strsep(&spec, ":");
    const struct kind *kind = find_kind(name);
    char byte;
    int ends[2], status;
    pid_t child;

    snprintf(o.kind, sizeof o.kind, "%s", name);
    o.size = size && *size ? parse_size(size) : kind->size;
    o.path = spec && *spec ? spec : kind->path;
    if (pipe2(ends, O_CLOEXEC) < 0)
        err(1, "pipe");
    child = fork();
    switch (child) {
    case -1:
        err(1, "fork");
    case 0:
        setsid();
        signal(SIGHUP, SIG_IGN);
        close(ends[0]);
        ready_fd = ends[1];
        secret_pattern(o.kind, pattern);
        kind->plant(&o);
        explicit_bzero(pattern, sizeof pattern);
        _exit(0);
    }
    close(ends[1]);
    if (read(ends[0], &byte, 1) != 1 && (waitpid(child, &status, 0) != child || status != 0))
        errx(1, "%s: could not be planted", o.kind);
    close(ends[0]);
    printf("planted %s: %zu%s%s\n", o.kind, o.size, o.path ? " in " : "", o.path ?: "");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--hold") == 0) {
        ready_fd = atoi(argv[2]);
        hold();
    }
    if (argc < 2)
        errx(2, "usage: plant KIND[:SIZE[:PATH]]...");
    for (int i = 1; i < argc; i++)
        plant(argv[i]);
    return 0;
}
