/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tells whether the machine is ready for its end, what would be erased, and what weakens it.
 * Changes nothing, and waits for nothing that does not answer. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "checks.h"
#include "command.h"
#include "erasures.h"
#include "findings.h"
#include "init.h"
#include "lethe/kernel/ask.h"
#include "lethe/kernel/bounce.h"
#include "lethe/kernel/clearing.h"
#include "lethe/kernel/confined.h"
#include "lethe/kernel/probe.h"
#include "lethe/kernel/sys.h"
#include "lethe/kernel/takeover.h"
#include "lethe/kernel/withheld.h"
#include "lethe/plan/roles.h"
#include "lethe/plan/stays.h"
#include "lethe/plan/swap.h"
#include "options.h"
#include "ways.h"

enum { ANSWER_MS = 2000, HANGS_MAX = 4, ALL_ANSWERS_MS = 5000 };

struct status {
    struct lethe_snapshot snapshot;
    struct lethe_arena arena;
    struct lethe_findings findings;
    struct lethe_erasures erasures;
    struct lethe_stays_list stays;
    struct lethe_probe_identity *identities; /* of all devices, in shared memory */
    const char *clearing;                    /* NULL: not asked for */
    bool takeover, systemd;
};

/* -- questions to file systems ----------------------------------------------------------------- */

enum fact { FACT_RUNS, FACT_NOEXEC, FACT_SAME, FACT_INITRD, FACT_TAKEOVER, FACT_APART, N_FACTS };

/* Answers one question with 0 or 1; -1 stays where nobody answers. */
static void find_fact(void *context, size_t fact)
{
    int *answers = context;
    struct statvfs fs;
    switch ((enum fact)fact) {
    case FACT_RUNS:
        answers[fact] = !access(LETHE_ARMED_PROGRAM, X_OK);
        break;
    case FACT_NOEXEC:
        answers[fact] = !statvfs(LETHE_ARMED_DIR, &fs) && fs.f_flag & ST_NOEXEC;
        break;
    case FACT_SAME:
        answers[fact] = lethe_command_same_content(LETHE_ARMED_PROGRAM, "/proc/self/exe");
        break;
    case FACT_INITRD:
        answers[fact] = !access("/etc/initrd-release", F_OK);
        break;
    case FACT_TAKEOVER:
        answers[fact] = lethe_takeover_is_armed(LETHE_ARMED_COPY);
        break;
    case FACT_APART:
        answers[fact] = !lethe_confined_has_mounts();
        break;
    case N_FACTS:
        break;
    }
}

/* True for a device with a role, and for all that lies on a disk with one. */
static bool is_concerned(const struct status *s, size_t i)
{
    const size_t disk = s->snapshot.blocks[i].disk;
    return s->stays.roles[i] != LETHE_ROLE_NONE ||
           (disk != LETHE_NONE && s->stays.roles[disk] != LETHE_ROLE_NONE);
}

static void identify(void *context, size_t i)
{
    struct status *s = context;
    char path[300];
    if (!is_concerned(s, i))
        return;
    snprintf(path, sizeof path, "/dev/%.255s", s->snapshot.blocks[i].name);
    lethe_probe(path, &s->identities[i]);
}

/* -- what is found ----------------------------------------------------------------------------- */

/* Reports what keeps systemd-shutdown from handing over (systemd src/shutdown/shutdown.c). */
static void check_ready(struct status *s)
{
    struct lethe_findings *f = &s->findings;
    int *facts = lethe_ask_memory(N_FACTS * sizeof *facts);
    for (size_t i = 0; facts && i < N_FACTS; i++)
        facts[i] = -1;
    if (!facts || lethe_ask(find_fact, facts, N_FACTS, ANSWER_MS, HANGS_MAX))
        lethe_findings_add(
            f, LETHE_PROBLEM, "no-answer",
            "a file system that the system runs from does not answer: look in the kernel's log "
            "for the disk or server that fails");
    if (facts && facts[FACT_APART] == 1)
        lethe_findings_add(f, LETHE_PROBLEM, "apart",
                           "PID 1 sees other mounts than this chroot or namespace shows (ask "
                           "there: nsenter -t 1 -m lethe status)");
    else if (lethe_command_armed_mount(&s->snapshot) == LETHE_NONE)
        lethe_findings_add(f, LETHE_PROBLEM, "not-armed",
                           "not armed: nothing of Lethe is mounted on %s%s (run: lethe arm)",
                           LETHE_ARMED_DIR,
                           facts && facts[FACT_RUNS] == 1 ? ", where another program stands" : "");
    else if (facts && facts[FACT_NOEXEC] == 1)
        lethe_findings_add(
            f, LETHE_PROBLEM, "noexec",
            "%s is mounted noexec, so systemd-shutdown will pass it by (run: lethe disarm, "
            "lethe arm)",
            LETHE_ARMED_DIR);
    else if (facts && !facts[FACT_RUNS])
        lethe_findings_add(f, LETHE_PROBLEM, "not-executable",
                           "%s can't be executed (run: lethe arm)", LETHE_ARMED_PROGRAM);
    else if (facts && !facts[FACT_SAME])
        lethe_findings_add(f, LETHE_PROBLEM, "other-build",
                           "%s is another build than this program (run: lethe arm)",
                           LETHE_ARMED_PROGRAM);
    if (facts && facts[FACT_INITRD] == 1)
        lethe_findings_add(
            f, LETHE_PROBLEM, "initrd-release",
            "/etc/initrd-release exists, so systemd-shutdown takes this system for an "
            "initramfs and does not hand over: remove it");
    s->takeover = facts && facts[FACT_TAKEOVER] == 1;
}

/* Reports branches that no mount shows, and swap that stays. */
static void check_plan(struct status *s)
{
    char shown[120];
    for (size_t i = 0; i < s->stays.n; i++) {
        const struct lethe_stays *l = &s->stays.list[i];
        if (l->kind == LETHE_STAYS_BRANCH)
            lethe_findings_add(
                &s->findings, LETHE_WEAKNESS, "branch-lost",
                "the writable branch %s: %s: add init_on_free=1 to the kernel's arguments",
                lethe_text_printable(shown, sizeof shown,
                                     s->snapshot.unions[l->index].branches[l->branch].path),
                l->reason);
        if (l->kind == LETHE_STAYS_SWAP)
            lethe_findings_add(
                &s->findings, LETHE_WEAKNESS, "swap",
                "%s: %s: use zram or dm-crypt with a "
                "random key",
                lethe_text_printable(shown, sizeof shown, s->snapshot.swaps[l->index].path),
                l->reason);
    }
    if (lethe_stays_origin_text(s->stays.origin))
        lethe_findings_add(&s->findings, LETHE_WEAKNESS, "medium",
                           "%s: name it to the watcher as a cord (lethe watch --list)",
                           lethe_stays_origin_text(s->stays.origin));
}

/* What a suspended system has written to its swap is all of its RAM. */
static void check_images(struct status *s)
{
    char shown[120];
    for (size_t i = 0; i < s->snapshot.n_blocks; i++)
        if (!strcmp(s->identities[i].type, "swsuspend"))
            lethe_findings_add(
                &s->findings, LETHE_WEAKNESS, "hibernation-image",
                "%s holds the image of a system that has hibernated, with all that "
                "was in its RAM: resume that system, or overwrite it (mkswap)",
                lethe_text_printable(shown, sizeof shown, s->snapshot.blocks[i].name));
}

static void check_bounce(struct status *s)
{
    struct lethe_bounce bounce;
    if (lethe_bounce_look(&bounce) || !bounce.used_kib)
        return;
    lethe_findings_add(
        &s->findings, LETHE_WEAKNESS, "bounce-buffers",
        "%llu KiB of what went to and from devices lie in bounce buffers (swiotlb), which "
        "can't be cleared for sure: use an IOMMU, or other ports",
        (unsigned long long)bounce.used_kib);
}

static void check_bad_memory(struct status *s)
{
    const uint64_t kib = lethe_withheld_bad_kib();
    if (kib)
        lethe_findings_add(&s->findings, LETHE_WEAKNESS, "bad-memory",
                           "%llu KiB of memory are out of use for errors: what they hold can't be "
                           "erased",
                           (unsigned long long)kib);
}

/* Reports what was seen, where the command line only lets one hope. */
static void check_clearing(struct status *s)
{
    static const char *const names[] = {
        [LETHE_CLEARING_UNKNOWN] = "unknown",
        [LETHE_CLEARING_NONE] = "none",
        [LETHE_CLEARING_POISON] = "poison",
        [LETHE_CLEARING_ZERO] = "zero",
    };
    static const char *const texts[] = {
        [LETHE_CLEARING_UNKNOWN] = "whether freed memory is cleared can't be seen here (needs "
                                   "root, /proc/kcore and /proc/self/pagemap)",
        [LETHE_CLEARING_NONE] = "freed memory keeps what was in it: Lethe has to fill all free "
                                "memory at the end (set init_on_free=1)",
        [LETHE_CLEARING_POISON] = "freed pages are overwritten, freed kernel objects may not be: "
                                  "Lethe has to fill all free memory at the end",
    };
    const enum lethe_clearing seen = lethe_clearing_look();
    s->clearing = names[seen];
    if (seen == LETHE_CLEARING_ZERO)
        lethe_findings_add(&s->findings, LETHE_STRENGTH, "init-on-free",
                           "the kernel was seen to clear what is freed");
    else
        lethe_findings_add(&s->findings, LETHE_WEAKNESS, "init-on-free", "%s", texts[seen]);
}

static int look(struct status *s, bool verify)
{
    int r = lethe_erasures_list(&s->erasures, &s->snapshot, &s->arena);
    if (!r)
        r = lethe_stays_find(&s->stays, &s->snapshot, false, &s->arena);
    if (r)
        return r;
    s->identities = lethe_ask_memory((s->snapshot.n_blocks + 1) * sizeof *s->identities);
    if (!s->identities)
        return -ENOMEM;
    lethe_ask(identify, s, s->snapshot.n_blocks, ANSWER_MS, HANGS_MAX);
    check_ready(s);
    s->systemd = lethe_ways_look(&s->findings);
    check_plan(s);
    check_images(s);
    check_bounce(s);
    check_bad_memory(s);
    if (verify)
        check_clearing(s);
    else
        lethe_checks_clearing(&s->findings);
    lethe_checks_ways_round(&s->findings);
    lethe_checks_copies(&s->findings);
    lethe_checks_hardware(&s->findings);
    return 0;
}

/* -- printing ---------------------------------------------------------------------------------- */

static void print_json_erasures(const struct lethe_erasures *e)
{
    fputs("  \"erases\": [", stdout);
    for (size_t i = 0; i < e->n; i++) {
        fputs(i ? ",\n    {" : "\n    {", stdout);
        lethe_command_print_field("path", e->list[i].path);
        fputs(", ", stdout);
        lethe_command_print_field("type", e->list[i].type);
        if (e->list[i].known)
            printf(", \"bytes\": %llu}", e->list[i].bytes);
        else
            fputs(", \"bytes\": null}", stdout);
    }
    puts("],");
}

static void print_json_devices(const struct status *s)
{
    fputs("  \"devices\": [", stdout);
    for (size_t i = 0, n = 0; i < s->snapshot.n_blocks; i++) {
        const struct lethe_block *b = &s->snapshot.blocks[i];
        if (s->stays.roles[i] == LETHE_ROLE_NONE)
            continue;
        fputs(n++ ? ",\n    {" : "\n    {", stdout);
        lethe_command_print_field("name", b->name);
        printf(", \"number\": \"%u:%u\", \"role\": \"%s\", ", b->devno.major, b->devno.minor,
               lethe_role_name(s->stays.roles[i]));
        lethe_command_print_field("type", s->identities[i].type);
        fputs(", ", stdout);
        lethe_command_print_field("label", s->identities[i].label);
        putchar('}');
    }
    puts("]\n}");
}

static void print_json(const struct status *s)
{
    printf("{\n  \"format\": 2,\n  \"version\": \"%s\",\n  \"ready\": %s,\n  \"takeover\": %s,\n",
           LETHE_VERSION, lethe_findings_count(&s->findings, LETHE_PROBLEM) ? "false" : "true",
           s->takeover ? "true" : "false");
    if (s->clearing)
        printf("  \"memory_clearing\": \"%s\",\n", s->clearing);
    lethe_findings_print_json(&s->findings);
    print_json_erasures(&s->erasures);
    print_json_devices(s);
}

static void print_device(const struct lethe_block *b, enum lethe_role role,
                         const struct lethe_probe_identity *identity)
{
    char name[300], shown[300];
    printf("%s: %s", lethe_role_name(role), lethe_text_printable(name, sizeof name, b->name));
    if (b->dm_name[0])
        printf(" %s", lethe_text_printable(shown, sizeof shown, b->dm_name));
    if (identity->type[0])
        printf(" (%s%s%s)", identity->type, identity->label[0] ? ", " : "",
               lethe_text_printable(shown, sizeof shown, identity->label));
    putchar('\n');
}

static void print_plain(const struct status *s)
{
    char shown[300], type[64];
    puts(lethe_findings_count(&s->findings, LETHE_PROBLEM) ? "NOT ready"
         : s->systemd ? "ready: the next poweroff, reboot, halt or kexec ends in Lethe"
                      : "ready: the next poweroff, reboot or halt ends in Lethe");
    if (s->clearing)
        printf("memory clearing, as seen: %s\n", s->clearing);
    if (s->takeover)
        puts("kill switch: PID 1 can be made to become Lethe");
    lethe_findings_print(&s->findings);
    for (size_t i = 0; i < s->erasures.n; i++) {
        const struct lethe_erasure *e = &s->erasures.list[i];
        printf("would be erased: %s (%s)", lethe_text_printable(shown, sizeof shown, e->path),
               lethe_text_printable(type, sizeof type, e->type));
        if (e->known)
            printf(", %llu KiB\n", e->bytes >> 10);
        else
            puts(", of a size that can't be seen");
    }
    for (size_t i = 0; i < s->snapshot.n_blocks; i++)
        if (s->stays.roles[i] != LETHE_ROLE_NONE)
            print_device(&s->snapshot.blocks[i], s->stays.roles[i], &s->identities[i]);
}

struct request {
    bool json, verify;
};

static bool take_json(void *request, const char *unused)
{
    (void)unused;
    return ((struct request *)request)->json = true;
}

static bool take_verify(void *request, const char *unused)
{
    (void)unused;
    return ((struct request *)request)->verify = true;
}

static const struct lethe_option options[] = {
    {"--json", NULL, "for programs, as one JSON object", take_json, false},
    {"--verify-memory-clearing", NULL, "try whether the kernel clears what is freed", take_verify,
     false},
};

static const struct lethe_usage usage = {
    .command = "status",
    .summary =
        "Tells whether the next end will be in Lethe, what would be erased, and what weakens "
        "it.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
};

int lethe_status_main(int argc, char **argv)
{
    static struct status status;
    struct request request = {0};
    int r;
    if (!lethe_options_read(&usage, &request, argc, argv, &r))
        return r;
    lethe_ask_limit(ALL_ANSWERS_MS);
    if (lethe_command_snapshot("status", NULL, &status.snapshot, &status.arena))
        return 2;
    r = look(&status, request.verify);
    if (r)
        return lethe_command_refuse("status", strerror(-r));
    (request.json ? print_json : print_plain)(&status);
    if (lethe_command_flush("status"))
        return 2;
    return lethe_findings_count(&status.findings, LETHE_PROBLEM) ? 1 : 0;
}
