/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ways.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lethe/kernel/ask.h"
#include "lethe/kernel/sys.h"
#include "lethe/plan/text.h"

/* Where the last scripts of a PID 1 lie. */
static const struct init {
    const char *program; /* of PID 1 */
    const char *name;
    const char *marks[2]; /* directories that are there if it is this one */
    const char *off[3], *reboot[3];
} inits[] = {
    {"openrc-init",
     "openrc-init",
     {NULL},
     {"/etc/runlevels/shutdown/*"},
     {"/etc/runlevels/shutdown/*"}},
    {"runit",
     "runit",
     {NULL},
     {"/etc/rc0.d/K*", "/etc/runit/shutdown.d/*", "/etc/runit/3"},
     {"/etc/rc6.d/K*", "/etc/runit/shutdown.d/*", "/etc/runit/3"}},
    {"busybox",
     "busybox init",
     {NULL},
     {"/etc/inittab", "/etc/runlevels/shutdown/*"},
     {"/etc/inittab", "/etc/runlevels/shutdown/*"}},
    {"init", /* Debian's unmounts in a runlevel of its own */
     "init with OpenRC",
     {"/run/openrc", "/etc/runlevels/off"},
     {"/etc/runlevels/off/*"},
     {"/etc/runlevels/off/*"}},
    {"init",
     "init with OpenRC",
     {"/run/openrc"},
     {"/etc/runlevels/shutdown/*", "/etc/inittab"},
     {"/etc/runlevels/shutdown/*", "/etc/inittab"}},
    {"init",
     "sysvinit",
     {"/etc/rc0.d"},
     {"/etc/rc0.d/K*", "/etc/inittab"},
     {"/etc/rc6.d/K*", "/etc/inittab"}},
};
enum { N_INITS = sizeof inits / sizeof *inits, N_PLACES = 3 };

static bool calls_lethe(const char *script)
{
    char text[32768];
    const char *at = text;
    if (!lethe_sys_read_text(AT_FDCWD, script, text, sizeof text))
        return false;
    while ((at = strstr(at, "lethe end"))) {
        const char *line = at;
        while (line > text && line[-1] != '\n')
            line--;
        if (line[strspn(line, " \t")] != '#')
            return true;
        at++;
    }
    return false;
}

/* A place is a file, or all files of a directory whose names begin so: "/etc/rc0.d/K*". glob(3)
 * would bring musl's tables of wide characters into the program. */
static bool place_calls_lethe(const char *place)
{
    char path[PATH_MAX];
    const char *name = strrchr(place, '/') + 1;
    const size_t begin = strlen(name) - 1;
    if (name[begin] != '*')
        return calls_lethe(place);
    snprintf(path, sizeof path, "%.*s", (int)(name - place), place);
    DIR *dir = opendir(path);
    bool found = false;
    for (struct dirent *entry; dir && !found && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.' || strncmp(entry->d_name, name, begin) != 0)
            continue;
        snprintf(path, sizeof path, "%.*s%s", (int)(name - place), place, entry->d_name);
        found = calls_lethe(path);
    }
    if (dir)
        closedir(dir);
    return found;
}

static bool any_calls_lethe(const char *const *places)
{
    bool found = false;
    for (int i = 0; i < N_PLACES && places[i] && !found; i++)
        found = place_calls_lethe(places[i]);
    return found;
}

/* The program of PID 1. Its file tells busybox' init from others that are called so, where only
 * root may look, but not from busybox' shell. */
static void read_program(char *out, size_t size)
{
    char path[PATH_MAX], name[32];
    lethe_sys_read_line(AT_FDCWD, "/proc/1/comm", name, sizeof name);
    const char *program = name;
    if (lethe_sys_read_link(AT_FDCWD, "/proc/1/exe", path, sizeof path) && path[0] == '/') {
        program = strrchr(path, '/') + 1;
        if (!strcmp(program, "busybox") && strcmp(name, "init") != 0)
            program = name;
    }
    lethe_text_printable(out, size, program);
}

/* What is seen of PID 1 and its scripts, which may lie on what does not answer: by a child, into
 * memory that both see. */
struct ways {
    char program[128];
    int init; /* of `inits`; -1 for one that is not known */
    bool off, reboot, soft_reboot;
};

static bool is_systemd(const struct ways *w)
{
    return !strcmp(w->program, "systemd");
}

static bool has_marks(const struct init *init)
{
    for (int i = 0; i < 2; i++)
        if (init->marks[i] && access(init->marks[i], F_OK))
            return false;
    return true;
}

static int find_init(const char *program)
{
    for (int i = 0; i < N_INITS; i++)
        if (!strcmp(inits[i].program, program) && has_marks(&inits[i]))
            return i;
    return -1;
}

static void look(void *context, size_t unused)
{
    static const char *const script[N_PLACES] = {"/sbin/init"}; /* where PID 1 is one */
    struct ways *w = context;
    (void)unused;
    read_program(w->program, sizeof w->program);
    w->soft_reboot = !access("/usr/lib/systemd/system/soft-reboot.target", F_OK);
    if (is_systemd(w))
        return;
    w->init = find_init(w->program);
    w->off = any_calls_lethe(w->init < 0 ? script : inits[w->init].off);
    w->reboot = w->init < 0 ? w->off : any_calls_lethe(inits[w->init].reboot);
}

static void tell_scripts(struct lethe_findings *findings, const struct ways *w)
{
    const struct init *init = &inits[w->init < 0 ? 0 : w->init];
    if (w->off && w->reboot)
        return;
    if (w->init < 0)
        lethe_findings_add(
            findings, LETHE_PROBLEM, "last-script",
            "PID 1 is %.60s, of whose poweroff Lethe knows nothing: its last script has to "
            "call lethe end",
            w->program);
    else
        lethe_findings_add(findings, LETHE_PROBLEM, "last-script",
                           "PID 1 is %s, and a %s passes Lethe by: no script in %s calls lethe end",
                           init->name,
                           w->off      ? "reboot"
                           : w->reboot ? "poweroff"
                                       : "poweroff or reboot",
                           w->off ? init->reboot[0] : init->off[0]);
}

bool lethe_ways_look(struct lethe_findings *findings)
{
    enum { ANSWER_MS = 2000 };
    struct ways *w = lethe_ask_memory(sizeof *w);
    if (!w || lethe_ask(look, w, 1, ANSWER_MS, 1))
        lethe_findings_add(findings, LETHE_PROBLEM, "no-answer",
                           "what PID 1 runs at its end lies where nothing answers");
    else if (!is_systemd(w))
        tell_scripts(findings, w);
    else if (w->soft_reboot)
        lethe_findings_add(
            findings, LETHE_WEAKNESS, "soft-reboot",
            "systemctl soft-reboot passes Lethe by, and leaves everything in RAM: end with "
            "poweroff or reboot");
    if (!access("/dev/liveupdate", F_OK))
        lethe_findings_add(
            findings, LETHE_WEAKNESS, "liveupdate",
            "this kernel hands memory over to the next at a kexec, and what is handed over "
            "is not erased: take liveupdate= off the kernel's arguments");
    return w && is_systemd(w);
}
