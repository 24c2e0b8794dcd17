/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "checks.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "init.h"
#include "lethe/kernel/ask.h"
#include "lethe/kernel/sys.h"
#include "lethe/plan/cmdline.h"
#include "lethe/plan/text.h"

struct line {
    char text[1024];
};

/* The first line of a file, "" where there is none. */
static struct line read_line(const char *path)
{
    struct line line;
    lethe_sys_read_line(AT_FDCWD, path, line.text, sizeof line.text);
    return line;
}

static bool says(const char *path, const char *text)
{
    return !strcmp(read_line(path).text, text);
}

/* Copies the value of a kernel argument, cut to fit. False when it is not given. */
static bool find_argument(const char *name, struct line *value)
{
    char text[8192];
    struct lethe_span found;
    const struct lethe_span all = lethe_sys_read_span("/proc/cmdline", text, sizeof text);
    if (!lethe_cmdline_find(all, name, &found))
        return false;
    snprintf(value->text, sizeof value->text, "%.*s", (int)found.n, found.n ? found.at : "");
    return true;
}

/* How many entries of a directory the test counts, of all where it is NULL; -1 without a
 * directory. */
static int count(const char *path, bool (*counts)(const char *name))
{
    DIR *dir = opendir(path);
    int n = dir ? 0 : -1;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        n += entry->d_name[0] != '.' && (!counts || counts(entry->d_name));
    if (dir)
        closedir(dir);
    return n;
}

/* An argument's value, read as kstrtobool() in the kernel's lib/kstrtox.c reads it; -1 where it
 * is not given or is neither. */
static int argument_bool(const char *name)
{
    struct line value;
    if (!find_argument(name, &value))
        return -1;
    const char *at = value.text;
    if (strchr("yYtT1", at[0]))
        return at[0] ? 1 : -1;
    if (strchr("nNfF0", at[0]))
        return 0;
    if (at[0] == 'o' || at[0] == 'O')
        return at[1] == 'n' || at[1] == 'N' ? 1 : at[1] == 'f' || at[1] == 'F' ? 0 : -1;
    return -1;
}

/* -- the kernel's configuration, which may lie on the medium ----------------------------------- */

/* The option has its value and a newline before and behind it. */
static int look_into_configuration(const void *option)
{
    static const char *const places[] = {"/boot/config-%s", "/lib/modules/%s/config"};
    struct utsname name;
    char path[160], line[512];
    FILE *file = NULL;
    uname(&name);
    for (size_t i = 0; !file && i < sizeof places / sizeof *places; i++) {
        snprintf(path, sizeof path, places[i], name.release);
        file = fopen(path, "re");
    }
    int answer = file ? 0 : -1;
    while (file && !answer && fgets(line, sizeof line, file))
        answer = !strcmp(line, option);
    if (file)
        fclose(file);
    return answer;
}

/* Returns 1 or 0, or -1 where nobody knows. */
static int is_configured(const char *option)
{
    enum { ANSWER_MS = 2000 };
    return lethe_ask_once(look_into_configuration, option, ANSWER_MS);
}

/* Reads slab_debug= as setup_slub_debug() in the kernel's mm/slub.c does: flags in blocks; a block
 * with a list of caches is for those alone. True when all others' objects are poisoned. */
static bool poisons_all(const char *blocks)
{
    bool all = !blocks[0];
    for (struct lethe_span rest = lethe_span(blocks); rest.at;) {
        const struct lethe_span block = lethe_text_cut(&rest, ';');
        bool poisons = false;
        for (size_t i = 0; i < block.n; i++)
            poisons = (poisons && block.at[i] != '-') || block.at[i] == 'P' || block.at[i] == 'p';
        if (block.n && !memchr(block.at, ',', block.n))
            all = poisons;
    }
    return all;
}

/* True when freed memory is poisoned in place of being cleared (init_mem_debugging_and_hardening()
 * in mm/). slub's own poisoning covers the objects too. */
static bool is_poisoned_only(void)
{
    struct line value;
    const bool debug = find_argument("slub_debug", &value) || find_argument("slab_debug", &value);
    return argument_bool("page_poison") == 1 && !(debug && poisons_all(value.text));
}

static void check_clearing(struct lethe_findings *f, int clears)
{
    if (clears < 0)
        lethe_findings_add(f, LETHE_WEAKNESS, "init-on-free-unknown",
                           "whether the kernel clears what is freed can't be seen, since its "
                           "configuration is not there: add init_on_free=1 to the kernel's "
                           "arguments");
    else if (!clears)
        lethe_findings_add(
            f, LETHE_WEAKNESS, "init-on-free",
            "the kernel does not clear what is freed, so Lethe has to fill all free memory "
            "at the end: add init_on_free=1 to the kernel's arguments");
    else if (!is_poisoned_only())
        lethe_findings_add(f, LETHE_STRENGTH, "init-on-free",
                           "the kernel is set to clear what is freed");
}

void lethe_checks_clearing(struct lethe_findings *f)
{
    const int given = argument_bool("init_on_free");
    check_clearing(f, given < 0 ? is_configured("CONFIG_INIT_ON_FREE_DEFAULT_ON=y\n") : given);
    if (is_poisoned_only())
        lethe_findings_add(
            f, LETHE_WEAKNESS, "page-poison",
            "page_poison=1 without slab_debug=P switches init_on_free off, and freed kernel "
            "objects are not cleared: take it off the kernel's arguments");
}

/* -- ways round the end ------------------------------------------------------------------------ */

/* The argument enables all keys, whatever the sysctl says (sysrq_on(), drivers/tty/sysrq.c). */
static void check_sysrq(struct lethe_findings *f)
{
    enum { ALL = 1, CRASH = 8, REBOOT = 128 };
    struct line value;
    const int bits = atoi(read_line("/proc/sys/kernel/sysrq").text);
    if (find_argument("sysrq_always_enabled", &value))
        lethe_findings_add(
            f, LETHE_WEAKNESS, "sysrq",
            "the magic SysRq key may reboot or switch off at once, with nothing erased: take "
            "sysrq_always_enabled off the kernel's arguments");
    else if (bits == ALL || bits & (CRASH | REBOOT))
        lethe_findings_add(
            f, LETHE_WEAKNESS, "sysrq",
            "the magic SysRq key may %s at once, with nothing erased: set the sysctl "
            "kernel.sysrq to %d",
            bits == ALL || bits & REBOOT ? "reboot or switch off" : "crash the kernel",
            bits == ALL ? 0 : bits & ~(CRASH | REBOOT));
}

void lethe_checks_ways_round(struct lethe_findings *f)
{
    check_sysrq(f);
    if (says("/proc/sys/kernel/ctrl-alt-del", "1"))
        lethe_findings_add(f, LETHE_WEAKNESS, "ctrl-alt-del",
                           "Ctrl-Alt-Delete reboots at once, with nothing erased: set the sysctl "
                           "kernel.ctrl-alt-del to 0");
    if (says("/sys/kernel/kexec_crash_loaded", "1"))
        lethe_findings_add(
            f, LETHE_WEAKNESS, "kdump",
            "a kernel for crash dumps is loaded, and would write all of RAM to a disk when "
            "this one crashes: remove kdump-tools or crashkernel= from the kernel's "
            "arguments");
    if (says("/sys/kernel/kexec_loaded", "1"))
        lethe_findings_add(
            f, LETHE_WEAKNESS, "kexec",
            "a second system waits in kexec, and a reboot may begin it in place of the "
            "firmware, which clears RAM, and kexec -e passes Lethe by: unload it with kexec -u");
    if (!access("/run/nextroot", F_OK))
        lethe_findings_add(
            f, LETHE_PROBLEM, "nextroot",
            "/run/nextroot exists, so systemd makes of a reboot a soft-reboot, which passes "
            "Lethe by: remove it");
}

/* -- copies of memory -------------------------------------------------------------------------- */

/* The machine can hibernate when a device to resume from is set, or when systemd's generator would
 * set one. */
static void check_hibernation(struct lethe_findings *f)
{
    struct line value;
    const struct line device = read_line("/sys/power/resume");
    const bool set = device.text[0] && strcmp(device.text, "0:0");
    if (strstr(read_line("/sys/power/state").text, "disk") &&
        (set || find_argument("resume", &value)))
        lethe_findings_add(
            f, LETHE_WEAKNESS, "hibernation",
            "the machine can hibernate, which writes all of RAM to a disk: take resume= off "
            "the kernel's arguments and add nohibernate");
}

/* Cards are cardN; their outputs are cardN-NAME. */
static bool is_card_with_memory(const char *card)
{
    static const char *const drivers[] = {"nouveau", "radeon", "nvidia", "amdgpu", "xe"};
    char path[320], link[1024];
    if (strncmp(card, "card", 4) != 0 || strchr(card, '-'))
        return false;
    snprintf(path, sizeof path, "/sys/class/drm/%.255s/device/driver", card);
    ssize_t n = readlink(path, link, sizeof link - 1);
    link[n > 0 ? n : 0] = '\0';
    const char *driver = strrchr(link, '/');
    for (size_t i = 0; driver && i < sizeof drivers / sizeof *drivers; i++)
        if (!strcmp(driver + 1, drivers[i]))
            return true;
    return false;
}

static void check_cards(struct lethe_findings *f)
{
    if (count("/sys/class/drm", is_card_with_memory) > 0)
        lethe_findings_add(
            f, LETHE_WEAKNESS, "vram",
            "a graphics card has memory of its own, which Lethe can't reach: use the "
            "processor's graphics, or leave the machine without power for minutes");
}

void lethe_checks_copies(struct lethe_findings *f)
{
    check_hibernation(f);
    check_cards(f);
    if (read_line("/sys/module/zswap/parameters/enabled").text[0] == 'Y')
        lethe_findings_add(
            f, LETHE_WEAKNESS, "zswap",
            "zswap keeps compressed copies of pages, of which some are left in buffers: add "
            "zswap.enabled=0 to the kernel's arguments");
    if (says("/sys/kernel/mm/ksm/run", "1"))
        lethe_findings_add(
            f, LETHE_WEAKNESS, "ksm",
            "the kernel merges equal pages (KSM), which tells one program what another has: "
            "write 2 to /sys/kernel/mm/ksm/run");
    if (count("/sys/class/iommu", NULL) == 0)
        lethe_findings_add(
            f, LETHE_WEAKNESS, "no-iommu",
            "no IOMMU is at work: a device can read all RAM, and what old ones read and "
            "write may be left in buffers (swiotlb): switch it on in the firmware's "
            "set-up");
}

/* -- hardware and firmware --------------------------------------------------------------------- */

/* True of AMD's secure processor when the firmware has switched encryption of all RAM on
 * (Documentation/ABI/testing/sysfs-driver-ccp: TSME). */
static bool encrypts_all(const char *device)
{
    char path[256];
    snprintf(path, sizeof path, "/sys/bus/pci/drivers/ccp/%.200s/tsme_status", device);
    return says(path, "1");
}

static void check_encryption(struct lethe_findings *f)
{
    struct line value;
    char text[16384];
    lethe_sys_read_text(AT_FDCWD, "/proc/cpuinfo", text, sizeof text);
    if ((strstr(text, " sme ") && find_argument("mem_encrypt", &value) &&
         !strcmp(value.text, "on")) ||
        count("/sys/bus/pci/drivers/ccp", encrypts_all) > 0)
        lethe_findings_add(f, LETHE_STRENGTH, "memory-encryption",
                           "the processor encrypts RAM with a key that is lost with the power");
}

/* The lock's variable has the attributes before its value, which is 0 as long as the other variable
 * can be written (TCG, Secure MOR). */
static void check_firmware(struct lethe_findings *f)
{
    static const char dir[] = "/sys/firmware/efi/efivars";
    static const char mor[] = "MemoryOverwriteRequestControl-e20939be-32d4-41be-a150-897f85d49829",
                      lock[] = "MemoryOverwriteRequestControlLock-bb983ccf-151d-40e1-a07b-"
                               "4a17be168292";
    char path[200], value[8];
    snprintf(path, sizeof path, "%s/%s", dir, lock);
    const bool locked = lethe_sys_read_file(AT_FDCWD, path, value, sizeof value) == 5 && value[4];
    snprintf(path, sizeof path, "%s/%s", dir, mor);
    if (!access(path, F_OK) && locked)
        lethe_findings_add(
            f, LETHE_WEAKNESS, "firmware-locked",
            "the firmware's variable that asks it to clear RAM is locked: what is set there "
            "can't be changed until the next start: let the firmware's set-up unlock it");
    else if (!access(path, F_OK))
        lethe_findings_add(f, LETHE_STRENGTH, "firmware-clears",
                           "the firmware can be asked to clear RAM at the next start");
    else if (count(dir, NULL) <= 0)
        lethe_findings_add(
            f, LETHE_WEAKNESS, "firmware-unknown",
            "the firmware shows no variables, so it can't be asked to clear RAM after a "
            "reset: boot by UEFI where the machine has it");
    else
        lethe_findings_add(
            f, LETHE_WEAKNESS, "firmware-does-not-clear",
            "the firmware can't be asked to clear RAM after a reset: look for \"memory "
            "overwrite request\" in its set-up");
}

static bool is_active(const char *watchdog)
{
    char path[320];
    snprintf(path, sizeof path, "/sys/class/watchdog/%.255s/state", watchdog);
    return says(path, "active");
}

/* systemd serves one watchdog; a second one that somebody left running resets the machine amid its
 * end. */
static void check_watchdogs(struct lethe_findings *f)
{
    const int active = count("/sys/class/watchdog", is_active);
    if (active > 1)
        lethe_findings_add(
            f, LETHE_WEAKNESS, "watchdogs",
            "%d hardware watchdogs are running; one that nobody serves at the end resets the "
            "machine: stop all but one",
            active);
}

/* Asks SELinux whether PID 1 may execute the armed program and stay what it is, as systemd-shutdown
 * does. False too where it does not answer. */
static bool policy_lets_init_execute(void)
{
    char question[700], answer[80] = "", label[256] = "";
    const struct line init = read_line("/proc/1/attr/current"),
                      class = read_line("/sys/fs/selinux/class/file/index"),
                      execute = read_line("/sys/fs/selinux/class/file/perms/execute"),
                      stay = read_line("/sys/fs/selinux/class/file/perms/execute_no_trans");
    const unsigned wanted = 1U << (atoi(execute.text) - 1) % 32 | 1U << (atoi(stay.text) - 1) % 32;
    unsigned allowed = 0;
    int fd = open("/sys/fs/selinux/access", O_RDWR | O_CLOEXEC);
    const bool known =
        fd >= 0 && getxattr(LETHE_ARMED_PROGRAM, "security.selinux", label, sizeof label - 1) > 0;
    int n = snprintf(question, sizeof question, "%.220s %s %.20s", init.text, label, class.text);
    if (known && write(fd, question, (size_t)n) == n && read(fd, answer, sizeof answer - 1) > 0)
        sscanf(answer, "%x", &allowed);
    if (fd >= 0)
        close(fd);
    return (allowed & wanted) == wanted;
}

void lethe_checks_hardware(struct lethe_findings *f)
{
    check_encryption(f);
    check_firmware(f);
    check_watchdogs(f);
    if (strstr(read_line("/sys/kernel/security/lockdown").text, "[confidentiality]"))
        lethe_findings_add(
            f, LETHE_WEAKNESS, "lockdown",
            "lockdown=confidentiality keeps Lethe from seeing that the kernel clears what is "
            "freed, so that it fills all free memory: lockdown=integrity does not");
    if (says("/sys/fs/selinux/enforce", "1") && !policy_lets_init_execute())
        lethe_findings_add(
            f, LETHE_WEAKNESS, "selinux",
            "SELinux is enforcing, and its policy is not seen to let PID 1 execute " LETHE_ARMED_DIR
            "/*: label that as dracut's exitrd is (chcon -t bin_t), until this is said no more");
}
