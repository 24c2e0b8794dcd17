/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/watched.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/cdrom.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lethe/kernel/ask.h"
#include "lethe/kernel/sys.h"
#include "lethe/kernel/sysfs.h"
#include "lethe/plan/uevent.h"

static bool read_devno(const char *folder, struct lethe_devno *devno)
{
    char text[32];
    return lethe_sysfs_text(folder, "dev", text, sizeof text) &&
           !lethe_devno(lethe_span(text), devno);
}

/* Writes the identity of the nearest USB device that the disk is part of. The folder may be a link;
 * ".." behind it is what the device is part of. */
static bool usb_identity_above(const char *folder, char *out, size_t size)
{
    enum { LEVELS_MAX = 32 };
    char path[PATH_MAX];
    size_t n = (size_t)snprintf(path, sizeof path, "%s", folder);
    for (int i = 0; i < LEVELS_MAX && n + 4 < sizeof path; i++, n += 3) {
        if (lethe_sysfs_usb_identity(path, out, size))
            return true;
        memcpy(path + n, "/..", 4);
    }
    return false;
}

/* Writes what a disk says of itself. A drive's size is left out: it is that of the disc in it. */
static void disk_identity(const char *folder, bool is_optical, char *out, size_t size)
{
    char usb[160], wwid[96], serial[64], model[48];
    unsigned long long sectors = is_optical ? 0 : lethe_sysfs_number(folder, "size");
    if (usb_identity_above(folder, usb, sizeof usb)) {
        snprintf(out, size, "%s %llu", usb, sectors);
        return;
    }
    if (!lethe_sysfs_text(folder, "wwid", wwid, sizeof wwid))
        lethe_sysfs_text(folder, "device/wwid", wwid, sizeof wwid);
    lethe_sysfs_text(folder, "serial", serial, sizeof serial);
    lethe_sysfs_text(folder, "device/model", model, sizeof model);
    snprintf(out, size, "disk:%s:%s:%s %llu", wwid, serial, model, sectors);
}

int lethe_watched_disk(struct lethe_watched *watched, const char *name)
{
    enum { SCSI_CD = 5 }; /* TYPE_ROM, scsi/scsi_proto.h */
    char folder[320];
    *watched = (struct lethe_watched){.kind = LETHE_WATCHED_DISK, .is_there = true};
    snprintf(folder, sizeof folder, "class/block/%.255s", name);
    if (!read_devno(folder, &watched->devno))
        return -ENODEV;
    snprintf(watched->name, sizeof watched->name, "%.63s", name);
    watched->sequence = lethe_sysfs_number(folder, "diskseq");
    watched->is_optical = lethe_sysfs_number(folder, "device/type") == SCSI_CD;
    watched->is_removable = watched->is_optical || lethe_sysfs_number(folder, "removable");
    disk_identity(folder, watched->is_optical, watched->identity, sizeof watched->identity);
    return 0;
}

/* True when the identity has all that was asked for; it may have a serial number besides. */
static bool is_meant(const char *asked, const char *identity)
{
    size_t n = strlen(asked);
    return !strncmp(asked, identity, n) && (!identity[n] || identity[n] == ':');
}

static bool take_usb(void *context, const char *name, const char *folder, const char *identity)
{
    struct lethe_watched *watched = context;
    if (!is_meant(watched->identity, identity) || !read_devno(folder, &watched->devno))
        return false;
    snprintf(watched->name, sizeof watched->name, "%.63s", name);
    return true;
}

int lethe_watched_usb(struct lethe_watched *watched, const char *identity)
{
    *watched = (struct lethe_watched){.is_there = false};
    if (!lethe_uevent_usb_identity(identity, watched->identity, sizeof watched->identity))
        return -EINVAL;
    return lethe_watched_find(watched) ? 0 : -ENODEV;
}

/* -- what is plugged in as a whole ------------------------------------------------------------- */

/* The devices that may come and go while the rest is frozen. */
static char free_identities[LETHE_WATCHED_FREE_MAX][160];
static size_t n_free;

/* The start of each hash, chosen at random: else whoever makes a device could choose a serial
 * number that adds nothing to the sum. */
static uint64_t basis = 0xcbf29ce484222325;

/* Adds the text's hash (FNV-1a) to a sum, which does not depend on the order. */
static void add(uint64_t *sum, const char *text)
{
    uint64_t hash = basis;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
    *sum += hash;
}

static bool add_identity(void *sum, const char *name, const char *folder, const char *identity)
{
    (void)name;
    (void)folder;
    for (size_t i = 0; i < n_free; i++)
        if (is_meant(free_identities[i], identity))
            return false;
    add(sum, identity);
    return false;
}

/* Adds a model's hash, unless a device of that model may come and go. */
static bool add_model(void *sum, const char *name, const char *folder, const char *model)
{
    (void)name;
    (void)folder;
    for (size_t i = 0; i < n_free; i++)
        if (is_meant(model, free_identities[i]))
            return false;
    add(sum, model);
    return false;
}

int lethe_watched_freeze(struct lethe_watched *watched, const char *const *identities, size_t n)
{
    *watched = (struct lethe_watched){.kind = LETHE_WATCHED_FROZEN, .is_there = true};
    snprintf(watched->name, sizeof watched->name, "USB devices");
    memcpy(watched->identity, watched->name, sizeof watched->name);
    for (n_free = 0; n_free < n; n_free++)
        if (!lethe_uevent_usb_identity(identities[n_free], free_identities[n_free],
                                       sizeof *free_identities))
            return -EINVAL;
    (void)!getrandom(&basis, sizeof basis, GRND_NONBLOCK);
    lethe_sysfs_each_usb(lethe_sysfs_usb_model, add_model, &watched->models);
    lethe_sysfs_each_usb(lethe_sysfs_usb_identity, add_identity, &watched->sum);
    return 0;
}

/* True for a supply of the machine's own that has power from outside. A mouse that is charged has a
 * supply, too, which does not count. A supply that can't be asked is on: only the kernel's 0 says
 * that it is off. */
static bool is_online(const char *name)
{
    char folder[320], type[16], scope[16], online[16];
    snprintf(folder, sizeof folder, "class/power_supply/%.255s", name);
    return lethe_sysfs_text(folder, "type", type, sizeof type) &&
           (!strcmp(type, "Mains") || !strcmp(type, "USB")) &&
           (!lethe_sysfs_text(folder, "scope", scope, sizeof scope) ||
            strcmp(scope, "Device") != 0) &&
           (!lethe_sysfs_text(folder, "online", online, sizeof online) || strcmp(online, "0") != 0);
}

static bool has_mains(void)
{
    bool found = false;
    DIR *supplies = lethe_sysfs_folder("class/power_supply");
    if (!supplies)
        return false;
    for (struct dirent *entry; !found && (entry = readdir(supplies));)
        found = entry->d_name[0] != '.' && is_online(entry->d_name);
    closedir(supplies);
    return found;
}

void lethe_watched_mains(struct lethe_watched *watched)
{
    *watched = (struct lethe_watched){.kind = LETHE_WATCHED_MAINS, .is_there = has_mains()};
    snprintf(watched->name, sizeof watched->name, "power");
    memcpy(watched->identity, watched->name, sizeof watched->name);
}

/* -- looking ----------------------------------------------------------------------------------- */

/* True unless the device says that it has no medium. A drive for discs is asked; a card reader
 * without a card can't be opened (ENOMEDIUM), while any drive can with O_NONBLOCK. */
static int has_medium(const void *drive)
{
    const struct lethe_watched *watched = drive;
    char path[96];
    snprintf(path, sizeof path, "/dev/%s", watched->name);
    int fd = lethe_sys->open(path, watched->is_optical ? O_RDONLY | O_NONBLOCK : O_RDONLY);
    if (fd < 0 || !watched->is_optical)
        return fd != -ENOMEDIUM;
    int status = ioctl(fd, CDROM_DRIVE_STATUS, CDSL_CURRENT);
    return status != CDS_NO_DISC && status != CDS_TRAY_OPEN;
}

/* Asks in a child, since a device may hang. Without an answer it is yes. */
static bool unless_silent(int (*question)(const void *), const struct lethe_watched *watched)
{
    enum { ANSWER_MS = 3000 };
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ; /* one that had been left behind */
    return lethe_ask_once(question, watched, ANSWER_MS) != 0;
}

/* True when the same devices are there by their serial numbers. A serial number is read with the
 * device locked (usb_string_attr(), drivers/usb/core/sysfs.c). A device that has just been plugged
 * in and does not answer is locked for as long, so this is asked in a child. */
static int has_same_serials(const void *frozen)
{
    const struct lethe_watched *watched = frozen;
    uint64_t sum = 0;
    lethe_sysfs_each_usb(lethe_sysfs_usb_identity, add_identity, &sum);
    return sum == watched->sum;
}

/* True when what is plugged in is as it was. That looks changed, too, where memory is short for
 * reading one of them, so it is looked at up to three times. */
static bool is_as_frozen(const struct lethe_watched *watched)
{
    enum { TRIES = 3 };
    const struct timespec pause = {0, 10 * 1000 * 1000};
    for (int i = 0; i < TRIES; i++, nanosleep(&pause, NULL)) {
        uint64_t models = 0;
        lethe_sysfs_each_usb(lethe_sysfs_usb_model, add_model, &models);
        if (models == watched->models && unless_silent(has_same_serials, watched))
            return true;
    }
    return false;
}

/* True when it is still the same disk. A disk gets another sequence number not only when another
 * takes its place, but also for a change of its medium, which some report after a mere reset; then
 * what it says of itself decides, and whether it holds a medium. */
static bool is_same_disk(struct lethe_watched *watched, const char *folder, bool ask_it)
{
    char identity[sizeof watched->identity];
    uint64_t sequence = lethe_sysfs_number(folder, "diskseq");
    if (!sequence || sequence != watched->sequence) {
        disk_identity(folder, watched->is_optical, identity, sizeof identity);
        if (strcmp(identity, watched->identity) != 0)
            return false;
        ask_it |= sequence != watched->sequence;
        watched->sequence = sequence;
    }
    return !ask_it || !watched->is_removable || unless_silent(has_medium, watched);
}

/* False where a part of /sys is covered by another mount and no clone could be made: links lead
 * over the root, where that mount may be. */
static bool is_uncovered(void)
{
    int fd = lethe_sys_open_below(lethe_sysfs_root(), "dev/../kernel", O_PATH);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* True only if the kernel says that there is no such device. It is asked again while there is no
 * memory to ask, which proves nothing. */
static bool is_gone(const char *folder)
{
    enum { TRIES = 50 };
    const struct timespec pause = {0, 20 * 1000 * 1000};
    char path[80], text[32];
    snprintf(path, sizeof path, "%.63s/dev", folder);
    for (int i = 0; i < TRIES; i++, nanosleep(&pause, NULL)) {
        ssize_t n = lethe_sys_read_file(lethe_sysfs_root(), path, text, sizeof text);
        if (n >= 0 || n == -ENOENT || n == -ENODEV)
            return n < 0 && is_uncovered();
    }
    return false;
}

static bool is_device_there(struct lethe_watched *watched, bool ask_it)
{
    char folder[64];
    bool is_disk = watched->kind == LETHE_WATCHED_DISK;
    snprintf(folder, sizeof folder, "dev/%s/%u:%u", is_disk ? "block" : "char",
             watched->devno.major, watched->devno.minor);
    return !is_gone(folder) && (!is_disk || is_same_disk(watched, folder, ask_it));
}

bool lethe_watched_look(struct lethe_watched *watched, bool ask_it)
{
    watched->is_there = watched->kind == LETHE_WATCHED_FROZEN  ? is_as_frozen(watched)
                        : watched->kind == LETHE_WATCHED_MAINS ? has_mains()
                                                               : is_device_there(watched, ask_it);
    return watched->is_there;
}

static bool is_meant_disk(const struct lethe_watched *watched, const char *name,
                          struct lethe_watched *found)
{
    return !lethe_watched_disk(found, name) && !strcmp(found->identity, watched->identity) &&
           (!found->is_removable || unless_silent(has_medium, found));
}

static bool find_disk(struct lethe_watched *watched)
{
    struct lethe_watched found;
    bool there = false;
    DIR *disks = lethe_sysfs_folder("block");
    if (!disks)
        return false;
    for (struct dirent *entry; !there && (entry = readdir(disks));)
        there = entry->d_name[0] != '.' && is_meant_disk(watched, entry->d_name, &found);
    closedir(disks);
    if (there)
        *watched = found;
    return there;
}

bool lethe_watched_find(struct lethe_watched *watched)
{
    if (watched->kind > LETHE_WATCHED_DISK)
        return lethe_watched_look(watched, false);
    watched->is_there = watched->kind == LETHE_WATCHED_DISK
                            ? find_disk(watched)
                            : lethe_sysfs_each_usb(lethe_sysfs_usb_identity, take_usb, watched);
    return watched->is_there;
}

static bool tell_usb(void *context, const char *name, const char *folder, const char *identity)
{
    void (*const *tell)(const char *, const char *) = context;
    (void)folder;
    (*tell)(name, identity);
    return false;
}

void lethe_watched_list_usb(void (*tell)(const char *, const char *))
{
    lethe_sysfs_each_usb(lethe_sysfs_usb_identity, tell_usb, &tell);
}
