/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/slab.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "lethe/kernel/log.h"
#include "lethe/kernel/slab_makers.h"
#include "lethe/kernel/sys.h"
#include "lethe/plan/slabinfo.h"

enum { SLABINFO_MAX = 65536 };

struct refilling {
    struct lethe_slab_makers makers;
    int64_t end_ms;
    struct lethe_slab_refilled *refill;
    int error;
    bool buckets; /* messages have caches of their own (CONFIG_SLAB_BUCKETS) */
};

/* Looks now and then whether enough memory is free: objects that find no free slot take memory, and
 * when that ends there may be no process left that the OOM killer could take. */
static bool may_go_on(const struct refilling *r, uint64_t made)
{
    enum { EVERY = 256, FREE_MIN = 24 << 20 };
    struct sysinfo info;
    if (made % EVERY)
        return true;
    return lethe_sys_now_ms() < r->end_ms && !sysinfo(&info) &&
           (uint64_t)info.freeram * info.mem_unit > FREE_MIN;
}

static int open_attribute(const struct lethe_slabinfo_cache *c, const char *attribute, int flags)
{
    char path[320];
    snprintf(path, sizeof path, "/sys/kernel/slab/%.*s/%s",
             (int)(c->name.n < 255 ? c->name.n : 255), c->name.at, attribute);
    return lethe_sys->open(path, flags);
}

/* Returns the number in an attribute, or -1 when that can't be read. */
static long read_number(int attribute)
{
    char text[32];
    ssize_t n = pread(attribute, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return n > 0 ? strtol(text, NULL, 10) : -1;
}

/* How many objects a processor may hold in its two sheaves (Linux 6.18). They count as active. */
static long count_in_sheaves(const struct lethe_slabinfo_cache *c)
{
    int capacity = open_attribute(c, "sheaf_capacity", O_RDONLY);
    const long n = read_number(capacity);
    if (capacity >= 0)
        lethe_sys->close(capacity);
    return n > 0 ? 2 * n : 0;
}

/* Makes `n` objects, then more until the cache gets a new slab: only then is no free slot left that
 * this processor reaches, whatever was counted, but for those in its sheaves. True when that was
 * seen. */
static bool make_until_it_grows(struct refilling *r, const struct lethe_slabinfo_cache *c,
                                enum lethe_slabinfo_maker maker, uint64_t n, int slabs)
{
    enum { MORE_MAX = 4096, MORE_BYTES = 8 << 20 };
    const uint64_t by_bytes = MORE_BYTES / c->size, slack = 8 * c->per_slab,
                   more = by_bytes < MORE_MAX ? by_bytes : MORE_MAX,
                   most = n + (more > slack ? more : slack);
    const long before = read_number(slabs);
    bool grown = false;
    uint64_t made = 0;
    long in_sheaves = count_in_sheaves(c);
    while (made < most && !(made >= n && grown && in_sheaves-- <= 0) && may_go_on(r, made) &&
           lethe_slab_makers_make(&r->makers, maker, (size_t)c->size)) {
        made++;
        if (made >= n && !grown && (made - n) % (c->per_slab / 4 + 1) == 0)
            grown = before >= 0 && read_number(slabs) > before;
    }
    r->refill->objects += made;
    return grown;
}

/* True when the cache gave back all that it had: then what no maker reaches has gone. An object that
 * is in use just now, as a path is while it is looked up, keeps its slab, so that is tried again. */
static bool is_emptied(const struct lethe_slabinfo_cache *c, int slabs)
{
    enum { TRIES = 5 };
    const struct timespec pause = {0, 10 * 1000 * 1000};
    int shrink = open_attribute(c, "shrink", O_WRONLY);
    bool good = false;
    for (int i = 0; shrink >= 0 && !good && i < TRIES; i++) {
        if (i)
            nanosleep(&pause, NULL);
        good = write(shrink, "1", 1) == 1 && !read_number(slabs);
    }
    if (shrink >= 0)
        lethe_sys->close(shrink);
    return good;
}

/* Makes as many objects as the cache has free slots, and two slabs' worth more: the slab that a
 * processor takes from, and the one that it keeps beside it, count as full (mm/slub.c:
 * get_partial_node() takes a second one even where cpu_partial is 0). */
static void refill_cache(struct refilling *r, const struct lethe_slabinfo_cache *c,
                         const struct lethe_slabinfo_family *f)
{
    const uint64_t free = c->total - c->active, n = free + 2 * c->per_slab;
    int slabs = c->total ? open_attribute(c, "slabs", O_RDONLY) : -1;
    bool good = !c->total || (slabs >= 0 && !f->makers[0] && is_emptied(c, slabs));
    if (slabs >= 0 && !good && f->makers[0])
        good = make_until_it_grows(r, c, f->makers[r->buckets && f->makers[1]], n, slabs);
    if (slabs >= 0)
        lethe_sys->close(slabs);
    if (good || f->may_be_another)
        return;
    r->refill->left += free ? free : 1;
    snprintf(r->refill->cache, sizeof r->refill->cache, "%.*s", (int)c->name.n, c->name.at);
}

/* Refills all families on the caller's processor. */
static void refill_all(void *refilling)
{
    struct refilling *r = refilling;
    static char text[SLABINFO_MAX];
    struct lethe_slabinfo_cache cache;
    ssize_t n = lethe_sys_read_file(AT_FDCWD, "/proc/slabinfo", text, sizeof text);
    struct lethe_span rest = {text, n > 0 ? (size_t)n : 0};
    text[rest.n] = '\0';
    r->buckets = strstr(text, "msg_msg-");
    while (lethe_slabinfo_next(&rest, &cache)) {
        const struct lethe_slabinfo_family *f = lethe_slabinfo_family(&cache);
        if (f)
            refill_cache(r, &cache, f);
    }
    if (n < 0)
        r->error = (int)n;
}

int lethe_slab_refill(int64_t end_ms, struct lethe_slab_refilled *refill)
{
    struct refilling refilling = {.end_ms = end_ms, .refill = refill};
    *refill = (struct lethe_slab_refilled){0};
    int r = lethe_slab_makers_open(&refilling.makers);
    if (r)
        return r;
    lethe_sys_on_each_processor(refill_all, &refilling);
    lethe_slab_makers_close(&refilling.makers);
    return refilling.error;
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

/* A processor runs its callbacks in their order: one that is waited for comes after those that were
 * queued before. */
static void wait_here(void *unused)
{
    (void)unused;
    syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0);
}

/* Dead tasks, names and inodes are freed by RCU callbacks. The kernel waits for all of them when it
 * is asked (seen on Linux 6.12, not on 6.1), twice for those that the first ones queue; else these
 * get a moment. */
static void wait_for_callbacks(void)
{
    static const char barrier[] = "/sys/module/rcutree/parameters/do_rcu_barrier";
    const struct timespec queued = {0, 100 * 1000 * 1000};
    int r = 0;
    for (int i = 0; !r && i < 2; i++)
        r = lethe_sys->write_file(barrier, "1");
    if (!r)
        return;
    lethe_sys_on_each_processor(wait_here, NULL);
    nanosleep(&queued, NULL);
}

void lethe_slab_settle(void)
{
    wait_for_callbacks();
    set_all("cpu_partial", "0");
    set_all("shrink", "1");
}
