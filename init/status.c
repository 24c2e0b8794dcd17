/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tells whether the machine is ready for its end, what would be erased, and what weakens it.
 * Changes nothing. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "command.h"
#include "lethe/bounce.h"
#include "lethe/clearing.h"
#include "lethe/init.h"
#include "lethe/probe.h"
#include "lethe/roles.h"
#include "lethe/sys.h"
#include "lethe/takeover.h"
#include "lethe/verb.h"

/* Texts are gathered first, so that people and programs are told the same. */
enum { FINDINGS_MAX = 64 };

struct findings {
    char text[FINDINGS_MAX][200];
    size_t n;
};

static void find(struct findings *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void find(struct findings *f, const char *format, ...)
{
    va_list list;
    if (f->n == FINDINGS_MAX)
        return;
    va_start(list, format);
    vsnprintf(f->text[f->n++], sizeof f->text[0], format, list);
    va_end(list);
}

static bool same_content(const char *a, const char *b)
{
    static char left[16384], right[16384];
    FILE *fa = fopen(a, "re"), *fb = fopen(b, "re");
    bool same = fa && fb;
    for (size_t n = 1; same && n;) {
        n = fread(left, 1, sizeof left, fa);
        same = fread(right, 1, sizeof right, fb) == n && !memcmp(left, right, n);
    }
    if (fa)
        fclose(fa);
    if (fb)
        fclose(fb);
    return same;
}

/* What keeps systemd-shutdown from handing over (systemd src/shutdown/shutdown.c). */
static void check_ready(const struct lethe_snapshot *snapshot, struct findings *problems)
{
    struct statvfs fs;
    if (lethe_command_armed_mount(snapshot) == LETHE_NONE)
        find(problems, "not armed: nothing of Lethe is mounted on %s (run: lethe arm)",
             LETHE_ARMED_DIR);
    else if (access(LETHE_ARMED_PROGRAM, X_OK))
        find(problems, "%s can't be executed: %s", LETHE_ARMED_PROGRAM, strerror(errno));
    else if (!statvfs(LETHE_ARMED_DIR, &fs) && fs.f_flag & ST_NOEXEC)
        find(problems, "%s is mounted noexec, so systemd-shutdown will pass it by",
             LETHE_ARMED_DIR);
    else if (!same_content(LETHE_ARMED_PROGRAM, "/proc/self/exe"))
        find(problems, "%s is another build than this program (run: lethe arm)",
             LETHE_ARMED_PROGRAM);
    if (!access("/etc/initrd-release", F_OK))
        find(problems, "/etc/initrd-release exists, so systemd-shutdown takes this system for an "
                       "initramfs and does not hand over");
}

static void check_branches(const struct lethe_snapshot *snapshot, struct findings *weaknesses)
{
    for (size_t i = 0; i < snapshot->n_unions; i++)
        for (size_t j = 0; j < snapshot->unions[i].n_branches; j++) {
            const struct lethe_branch *b = &snapshot->unions[i].branches[j];
            char shown[150];
            if (b->writable && (b->path[0] != '/' || access(b->path, F_OK)))
                find(weaknesses,
                     "the writable branch %s can't be reached by its path: it can't be zeroed in "
                     "place",
                     lethe_printable(shown, sizeof shown, b->path));
        }
}

static const char *const clearing_names[] = {
    [LETHE_CLEARING_UNKNOWN] = "unknown",
    [LETHE_CLEARING_NONE] = "none",
    [LETHE_CLEARING_POISON] = "poison",
    [LETHE_CLEARING_ZERO] = "zero",
};

/* What was seen, in place of what the command line lets hope for. */
static void check_clearing(enum lethe_clearing clearing, struct findings *weaknesses)
{
    switch (clearing) {
    case LETHE_CLEARING_ZERO:
        break;
    case LETHE_CLEARING_NONE:
        find(weaknesses, "freed memory keeps what was in it: Lethe has to fill all free memory at "
                         "the end (set init_on_free=1)");
        break;
    case LETHE_CLEARING_POISON:
        find(weaknesses, "freed pages are overwritten, freed kernel objects may not be: Lethe has "
                         "to fill all free memory at the end");
        break;
    case LETHE_CLEARING_UNKNOWN:
        find(weaknesses, "whether freed memory is cleared can't be seen here (needs root, "
                         "/proc/kcore and /proc/self/pagemap)");
        break;
    }
}

static void check_kernel(struct findings *weaknesses)
{
    char text[8192];
    struct lethe_span value;
    ssize_t n = lethe_read_file(AT_FDCWD, "/proc/cmdline", text, sizeof text);
    const struct lethe_span line = {text, n > 0 ? (size_t)n : 0};
    bool clears = lethe_cmdline_find(line, "init_on_free", &value) && value.n &&
                  (value.at[0] == '1' || value.at[0] == 'y');
    if (!clears)
        find(weaknesses, "init_on_free=1 is not on the kernel command line: memory of ended "
                         "programs is not cleared");
    if (lethe_cmdline_find(line, "page_poison", &value) && value.n && value.at[0] == '1') {
        bool slub = lethe_cmdline_find(line, "slub_debug", &value) &&
                    (!value.n || memchr(value.at, 'P', value.n));
        if (!slub)
            find(weaknesses, "page_poison=1 without slub_debug=P switches init_on_free off: freed "
                             "slab memory is not cleared");
    }
}

static void check_swap(const struct lethe_snapshot *snapshot, struct findings *weaknesses)
{
    char shown[150];
    size_t armed = lethe_command_armed_mount(snapshot);
    for (size_t i = 0; i < snapshot->n_swaps; i++) {
        const struct lethe_swap *s = &snapshot->swaps[i];
        enum lethe_block_kind kind =
            s->device == LETHE_NONE ? LETHE_BLOCK_PLAIN : snapshot->blocks[s->device].kind;
        if (kind != LETHE_BLOCK_CRYPT && kind != LETHE_BLOCK_ZRAM)
            find(weaknesses, "swap on %s is not encrypted: what was in RAM stays on it",
                 lethe_printable(shown, sizeof shown, s->path));
    }
    if (snapshot->n_swaps && armed != LETHE_NONE &&
        !strstr(snapshot->mounts[armed].super_options, "noswap"))
        find(weaknesses,
             "the armed program can be swapped out (this kernel knows no tmpfs noswap)");
}

static void check_bounce(struct findings *weaknesses)
{
    struct lethe_bounce bounce;
    if (lethe_bounce_look(&bounce) || !bounce.used_kib)
        return;
    find(
        weaknesses,
        "%llu KiB of what went to and from devices lie in bounce buffers (swiotlb), which can't be "
        "cleared for sure: use an IOMMU, or other ports",
        (unsigned long long)bounce.used_kib);
}

/* What lies in RAM and would be erased. */
struct erasure {
    const char *path, *type;
    struct lethe_devno devno;
    unsigned long long bytes;
};

/* Each RAM-backed file system once, by its first mount; Lethe's own is none. */
static size_t list_file_systems(const struct lethe_snapshot *snapshot, struct erasure *list)
{
    size_t n = 0, armed = lethe_command_armed_mount(snapshot);
    for (size_t i = 0; i < snapshot->n_mounts; i++) {
        const struct lethe_mount *m = &snapshot->mounts[i];
        struct statvfs fs;
        bool known =
            !lethe_mount_is_ram(m) ||
            (armed != LETHE_NONE && lethe_devno_is(snapshot->mounts[armed].devno, m->devno));
        for (size_t j = 0; !known && j < n; j++)
            known = lethe_devno_is(list[j].devno, m->devno);
        if (known)
            continue;
        list[n] = (struct erasure){m->path, m->fstype, m->devno, 0};
        if (!statvfs(m->path, &fs))
            list[n].bytes = (unsigned long long)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
        n++;
    }
    return n;
}

/* Each ramdisk that something is on. */
static size_t list_ramdisks(const struct lethe_snapshot *snapshot, const enum lethe_role *roles,
                            struct erasure *list)
{
    size_t n = 0;
    char sectors[32];
    for (size_t i = 0; i < snapshot->n_blocks; i++) {
        const struct lethe_block *b = &snapshot->blocks[i];
        if (b->kind != LETHE_BLOCK_BRD || roles[i] == LETHE_ROLE_NONE)
            continue;
        lethe_read_block(b->name, "size", sectors, sizeof sectors);
        list[n++] =
            (struct erasure){b->name, "ramdisk", b->devno, strtoull(sectors, NULL, 10) * 512};
    }
    return n;
}

static void print_json_list(const char *name, const struct findings *f)
{
    printf("  \"%s\": [", name);
    for (size_t i = 0; i < f->n; i++) {
        fputs(i ? ", " : "", stdout);
        lethe_command_print_json(f->text[i]);
    }
    puts("],");
}

/* What a device says of itself, so that a person knows which it is; nothing where it does not
 * answer. */
static void identify(const struct lethe_block *b, struct lethe_identity *identity)
{
    char path[300];
    snprintf(path, sizeof path, "/dev/%.255s", b->name);
    lethe_probe(path, identity);
}

static void print_json_device(const struct lethe_block *b, enum lethe_role role)
{
    struct lethe_identity identity;
    identify(b, &identity);
    printf("    {\"name\": \"%s\", \"number\": \"%u:%u\", \"role\": \"%s\", \"type\": ", b->name,
           b->devno.major, b->devno.minor, lethe_role_name(role));
    lethe_command_print_json(identity.type);
    fputs(", \"label\": ", stdout);
    lethe_command_print_json(identity.label);
    putchar('}');
}

static void print_device(const struct lethe_block *b, enum lethe_role role)
{
    struct lethe_identity identity;
    char shown[300];
    identify(b, &identity);
    printf("%s: %s%s%s", lethe_role_name(role), b->name, b->dm_name[0] ? " " : "",
           lethe_printable(shown, sizeof shown, b->dm_name));
    if (identity.type[0])
        printf(" (%s%s%s)", identity.type, identity.label[0] ? ", " : "",
               lethe_printable(shown, sizeof shown, identity.label));
    putchar('\n');
}

static void print_json(const struct lethe_snapshot *snapshot, const char *clearing,
                       const struct findings *problems, const struct findings *weaknesses,
                       const struct erasure *ram, size_t n_ram, const enum lethe_role *roles)
{
    printf("{\n  \"format\": 1,\n  \"version\": \"%s\",\n  \"ready\": %s,\n  \"takeover\": %s,\n",
           LETHE_VERSION, problems->n ? "false" : "true",
           lethe_takeover_is_armed(LETHE_ARMED_COPY) ? "true" : "false");
    if (clearing)
        printf("  \"memory_clearing\": \"%s\",\n", clearing);
    print_json_list("problems", problems);
    print_json_list("weaknesses", weaknesses);
    fputs("  \"erases\": [", stdout);
    for (size_t i = 0; i < n_ram; i++) {
        fputs(i ? ",\n    {\"path\": " : "\n    {\"path\": ", stdout);
        lethe_command_print_json(ram[i].path);
        printf(", \"type\": \"%s\", \"bytes\": %llu}", ram[i].type, ram[i].bytes);
    }
    fputs("],\n  \"devices\": [", stdout);
    for (size_t i = 0, n = 0; i < snapshot->n_blocks; i++)
        if (roles[i] != LETHE_ROLE_NONE) {
            fputs(n++ ? ",\n" : "\n", stdout);
            print_json_device(&snapshot->blocks[i], roles[i]);
        }
    puts("]\n}");
}

static void print_lines(const char *title, const struct findings *f)
{
    for (size_t i = 0; i < f->n; i++)
        printf("%s: %s\n", title, f->text[i]);
}

static void print_plain(const struct lethe_snapshot *snapshot, const char *clearing,
                        const struct findings *problems, const struct findings *weaknesses,
                        const struct erasure *ram, size_t n_ram, const enum lethe_role *roles)
{
    char shown[300];
    puts(problems->n ? "NOT ready"
                     : "ready: the next poweroff, reboot, halt or kexec ends in Lethe");
    if (clearing)
        printf("memory clearing, as seen: %s\n", clearing);
    if (lethe_takeover_is_armed(LETHE_ARMED_COPY))
        puts("kill switch: PID 1 can be made to become Lethe");
    print_lines("problem", problems);
    print_lines("weakness", weaknesses);
    for (size_t i = 0; i < n_ram; i++)
        printf("would be erased: %s (%s), %llu KiB\n",
               lethe_printable(shown, sizeof shown, ram[i].path), ram[i].type, ram[i].bytes >> 10);
    for (size_t i = 0; i < snapshot->n_blocks; i++)
        if (roles[i] != LETHE_ROLE_NONE)
            print_device(&snapshot->blocks[i], roles[i]);
}

int lethe_status_main(int argc, char **argv)
{
    static struct findings problems, weaknesses;
    struct lethe_snapshot snapshot;
    struct lethe_arena arena;
    const char *clearing = NULL;
    bool json = false, verify = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--json"))
            json = true;
        else if (!strcmp(argv[i], "--verify-memory-clearing"))
            verify = true;
        else
            return lethe_command_bad_option("status", argv[i]);
    }
    if (lethe_command_snapshot("status", NULL, &snapshot, &arena))
        return 2;
    enum lethe_role *roles = lethe_arena_alloc(&arena, snapshot.n_blocks + 1, sizeof *roles);
    struct erasure *ram =
        lethe_arena_alloc(&arena, snapshot.n_mounts + snapshot.n_blocks, sizeof *ram);
    if (!roles || !ram)
        return lethe_command_refuse("status", strerror(ENOMEM));
    check_ready(&snapshot, &problems);
    check_branches(&snapshot, &weaknesses);
    if (verify) {
        enum lethe_clearing seen = lethe_clearing_look();
        clearing = clearing_names[seen];
        check_clearing(seen, &weaknesses);
    } else {
        check_kernel(&weaknesses);
    }
    check_swap(&snapshot, &weaknesses);
    check_bounce(&weaknesses);
    lethe_roles_find(&snapshot, false, roles);
    size_t n_ram = list_file_systems(&snapshot, ram);
    n_ram += list_ramdisks(&snapshot, roles, ram + n_ram);
    (json ? print_json : print_plain)(&snapshot, clearing, &problems, &weaknesses, ram, n_ram,
                                      roles);
    return problems.n ? 1 : 0;
}
