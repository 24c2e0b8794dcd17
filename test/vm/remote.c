/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * remote fuse DIRECTORY DEVICE: serves an empty file system that takes new files into its cache;
 * when the kernel wants to write the first of them back, the daemon gets stuck in a write to
 * DEVICE, which the caller has suspended, so that not even SIGKILL ends it: a server that no longer
 * answers. remote nbd DEVICE FILE: serves the file as a network block device, until it is killed.
 *
 * Both go into the background when what they serve is there.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/nbd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* -- FUSE ----------------------------------------------------------------------------------------
 */

enum { ROOT = 1, NODE = 2, LARGEST = 1 << 20 };
static int fuse;
static uint64_t file_size;

static void answer(uint64_t unique, int error, const void *data, size_t n)
{
    char out[1024];
    struct fuse_out_header head = {(uint32_t)(sizeof head + n), error, unique};
    memcpy(out, &head, sizeof head);
    if (n)
        memcpy(out + sizeof head, data, n);
    if (write(fuse, out, head.len) < 0 && errno != ENOENT)
        err(1, "answer");
}

static struct fuse_attr attributes(uint64_t node)
{
    return (struct fuse_attr){.ino = node,
                              .mode = node == ROOT ? S_IFDIR | 0755 : S_IFREG | 0644,
                              .size = node == ROOT ? 0 : file_size,
                              .nlink = 1};
}

static void get_stuck(const char *device)
{
    static _Alignas(4096) char block[4096];
    int fd = open(device, O_WRONLY | O_DIRECT | O_CLOEXEC);
    if (fd < 0 || write(fd, block, sizeof block) < 0)
        err(1, "%s", device);
}

static void serve_fuse(const struct fuse_in_header *in, const char *device)
{
    struct {
        struct fuse_entry_out entry;
        struct fuse_open_out open;
    } made = {
        .entry = {.nodeid = NODE, .attr_valid = 60, .entry_valid = 60, .attr = attributes(NODE)}};
    struct fuse_attr_out attr = {.attr_valid = 60, .attr = attributes(in->nodeid)};
    struct fuse_init_out init = {.major = 7,
                                 .minor = 31,
                                 .max_readahead = 4096,
                                 .flags = FUSE_WRITEBACK_CACHE | FUSE_BIG_WRITES,
                                 .max_write = 65536};
    struct fuse_open_out opened = {0};
    struct fuse_statfs_out statfs = {
        {.bsize = 4096, .blocks = 1 << 20, .bfree = 1 << 20, .bavail = 1 << 20, .namelen = 255}};
    switch (in->opcode) {
    case FUSE_INIT:
        answer(in->unique, 0, &init, sizeof init);
        break;
    case FUSE_GETATTR:
    case FUSE_SETATTR:
        answer(in->unique, 0, &attr, sizeof attr);
        break;
    case FUSE_LOOKUP:
        answer(in->unique, -ENOENT, NULL, 0);
        break;
    case FUSE_CREATE:
        answer(in->unique, 0, &made, sizeof made);
        break;
    case FUSE_OPEN:
    case FUSE_OPENDIR:
        answer(in->unique, 0, &opened, sizeof opened);
        break;
    case FUSE_STATFS:
        answer(in->unique, 0, &statfs, sizeof statfs);
        break;
    case FUSE_WRITE:
        explicit_bzero((char *)in,
                       in->len); /* a server elsewhere holds no memory of this machine */
        get_stuck(device);
        break;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
        break;
    default:
        answer(in->unique, -ENOSYS, NULL, 0);
    }
}

static int run_fuse(const char *directory, const char *device)
{
    static _Alignas(8) char in[LARGEST];
    char options[100];
    fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
    if (fuse < 0 || mount("server:/share", directory, "fuse.remote", MS_NOSUID | MS_NODEV, options))
        err(1, "%s", directory);
    if (daemon(0, 0))
        err(1, "daemon");
    while (read(fuse, in, sizeof in) > 0)
        serve_fuse((void *)in, device);
    return 0;
}

/* -- a network block device
 * ------------------------------------------------------------------------ */

static void all(ssize_t (*what)(int, void *, size_t), int fd, void *data, size_t n)
{
    for (char *at = data; n;) {
        ssize_t r = what(fd, at, n);
        if (r <= 0)
            exit(0); /* the other end is gone */
        at += r;
        n -= (size_t)r;
    }
}

static ssize_t put(int fd, void *data, size_t n)
{
    return write(fd, data, n);
}

static void serve_nbd(int socket, int file)
{
    static char data[LARGEST * 4];
    struct nbd_request request;
    for (;;) {
        all(read, socket, &request, sizeof request);
        size_t n = be32toh(request.len), type = be32toh(request.type) & 0xffff;
        off_t at = (off_t)be64toh(request.from);
        struct nbd_reply reply = {.magic = htobe32(NBD_REPLY_MAGIC)};
        memcpy(reply.handle, request.handle, sizeof reply.handle);
        if (type == NBD_CMD_WRITE) {
            all(read, socket, data, n);
            reply.error = htobe32(pwrite(file, data, n, at) < 0 ? EIO : 0);
        }
        if (type == NBD_CMD_DISC)
            exit(0);
        all(put, socket, &reply, sizeof reply);
        if (type == NBD_CMD_READ) {
            memset(data, 0, n);
            if (pread(file, data, n, at) < 0)
                err(1, "read");
            all(put, socket, data, n);
        }
    }
}

static int run_nbd(const char *device, const char *path)
{
    int pair[2], disk = open(device, O_RDWR | O_CLOEXEC), file = open(path, O_RDWR | O_CLOEXEC);
    struct stat st;
    if (disk < 0 || file < 0 || fstat(file, &st) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        err(1, "%s or %s", device, path);
    if (!fork()) {
        close(pair[0]);
        serve_nbd(pair[1], file);
    }
    close(pair[1]);
    if (ioctl(disk, NBD_SET_BLKSIZE, 4096UL) ||
        ioctl(disk, NBD_SET_SIZE_BLOCKS, (unsigned long)st.st_size / 4096) ||
        ioctl(disk, NBD_CLEAR_SOCK) || ioctl(disk, NBD_SET_SOCK, pair[0]))
        err(1, "%s", device);
    if (daemon(0, 0))
        err(1, "daemon");
    ioctl(disk, NBD_DO_IT);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && !strcmp(argv[1], "fuse"))
        return run_fuse(argv[2], argv[3]);
    if (argc == 4 && !strcmp(argv[1], "nbd"))
        return run_nbd(argv[2], argv[3]);
    errx(2, "usage: remote fuse DIRECTORY DEVICE | remote nbd DEVICE FILE");
}
