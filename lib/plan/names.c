/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/plan/names.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "lethe/plan/union.h"

struct lethe_name {
    const char *from, *to;
    struct lethe_name *next;
};

/* Names that stay as they are, separated by blanks. */
static const char common[] =
    " .. . .ro-store .rw-store bin boot branches bpf by-id by-label by-partuuid by-path by-uuid cache cdrom cgroup "
    "config "
    "connections control cow credentials data debug deleted dev devpts devtmpfs disk efi efivars "
    "etc "
    "filesystem filesystem.squashfs firmware fs fuse fuse-overlayfs fusectl gnu home hugepages "
    "hugetlbfs "
    "image initramfs kernel lethe lib lib64 live lock log lower lowerdir mapper md media medium "
    "mergerfs "
    "misc mnt mounts mqueue net netns nix none ns oldroot opt overlay persistence proc pstore pts "
    "ramfs "
    "rofs root rootfs run rw sbin security securityfs self shm shutdown srv store swap swapfile sys "
    "sysfs "
    "system systemd tmp tmpfs tracefs tracing udev union unionfs upper upperdir user usr var work "
    "workdir ";

static bool is_common(struct lethe_span name)
{
    for (const char *at = common; (at = memchr(at, ' ', (size_t)(common + sizeof common - at)));) {
        at++;
        if ((size_t)(common + sizeof common - at) > name.n && !memcmp(at, name.at, name.n) &&
            at[name.n] == ' ')
            return true;
    }
    return false;
}

static size_t digits(struct lethe_span name, size_t at)
{
    size_t n = at;
    while (n < name.n && name.at[n] >= '0' && name.at[n] <= '9')
        n++;
    return n - at;
}

/* True for a name that the kernel gives a device: sda1, vdb, loop0p1, dm-3, nvme0n1p2, md127. */
static bool is_device(struct lethe_span name)
{
    static const char *const letters[] = {"sd", "vd", "hd", "xvd"};
    static const char *const numbers[] = {"loop",   "dm-",  "md",     "zram", "ram", "sr",
                                          "nbd",    "nvme", "mmcblk", "pmem", "fd",  "drbd",
                                          "bcache", "zd",   "rbd",    "ublkb"};
    size_t at = 0;
    for (size_t i = 0; !at && i < sizeof letters / sizeof *letters; i++) {
        size_t n = strlen(letters[i]);
        if (name.n > n && !memcmp(name.at, letters[i], n) && name.at[n] >= 'a' &&
            name.at[n] <= 'z' && name.n <= n + 5)
            at = n + 1;
    }
    for (size_t i = 0; !at && i < sizeof numbers / sizeof *numbers; i++) {
        size_t n = strlen(numbers[i]);
        if (name.n > n && !memcmp(name.at, numbers[i], n) && digits(name, n))
            at = n + digits(name, n);
    }
    if (!at)
        return false;
    while (at < name.n && (name.at[at] == 'p' || name.at[at] == 'n') && digits(name, at + 1))
        at += 1 + digits(name, at + 1);
    return at + digits(name, at) == name.n;
}

static bool stays(struct lethe_span name)
{
    return !name.n || is_common(name) || is_device(name) ||
           (name.n <= 4 && digits(name, 0) == name.n); /* /run/user/1000 */
}

/* Returns the name's replacement, which may be the name itself, or NULL when the arena is full. */
static const char *replace(struct lethe_names *names, struct lethe_span name)
{
    char text[32];
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < name.n; i++)
        hash = (hash ^ (unsigned char)name.at[i]) * 16777619U;
    struct lethe_name **bucket = &names->buckets[hash % LETHE_NAMES_BUCKETS];
    for (struct lethe_name *n = *bucket; n; n = n->next)
        if (lethe_span_is(name, n->from))
            return n->to;
    struct lethe_name *new = lethe_arena_alloc(names->arena, 1, sizeof *new);
    const char *from = lethe_arena_text(names->arena, name.n ? name.at : "", name.n), *to = from;
    if (!names->keep && !stays(name)) {
        snprintf(text, sizeof text, "name%zu", ++names->n);
        to = lethe_arena_text(names->arena, text, strlen(text));
    }
    if (!new || !from || !to)
        return NULL;
    *new = (struct lethe_name){from, to, *bucket};
    *bucket = new;
    return to;
}

/* A text that grows at the end of the arena, and whether it still fits. */
struct line {
    struct lethe_arena *arena;
    char *text;
    size_t n, room;
};

static void put(struct line *line, const char *text, size_t n)
{
    if (line->text && line->room - line->n <= n) {
        size_t room = 2 * (line->room + n) + 64;
        char *bigger = lethe_arena_alloc(line->arena, room, 1);
        if (bigger)
            memcpy(bigger, line->text, line->n);
        line->text = bigger;
        line->room = room;
    }
    if (!line->text)
        return;
    memcpy(line->text + line->n, text, n);
    line->n += n;
    line->text[line->n] = '\0';
}

static struct line new_line(struct lethe_arena *arena)
{
    return (struct line){arena, lethe_arena_alloc(arena, 64, 1), 0, 64};
}

static void put_name(struct line *line, struct lethe_names *names, struct lethe_span name)
{
    static const char gone[] = " (deleted)"; /* of a loop's or a swap's file */
    size_t n = sizeof gone - 1;
    bool is_gone = name.n > n && !memcmp(name.at + name.n - n, gone, n);
    name.n -= is_gone ? n : 0;
    const char *to = replace(names, name);
    if (to)
        put(line, to, strlen(to));
    else
        line->text = NULL;
    if (is_gone)
        put(line, gone, n);
}

const char *lethe_names_path(struct lethe_names *names, const char *path)
{
    struct line line = new_line(names->arena);
    for (struct lethe_span rest = lethe_span(path); rest.at && line.text;) {
        put_name(&line, names, lethe_text_cut(&rest, '/'));
        if (rest.at)
            put(&line, "/", 1);
    }
    return line.text;
}

const char *lethe_names_source(struct lethe_names *names, const struct lethe_mount *mount)
{
    if (!strcmp(mount->source, mount->fstype))
        return lethe_names_type(names, mount->source);
    return lethe_names_path(names, mount->source);
}

/* Escapes as seq_escape() in the kernel's fs/seq_file.c does, and the comma too, which would end
 * the option. */
static void put_escaped(struct line *line, const char *text)
{
    char octal[5];
    for (; *text; text++)
        if (strchr(" \t\n\\#,", *text)) {
            snprintf(octal, sizeof octal, "\\%03o", (unsigned char)*text);
            put(line, octal, 4);
        } else {
            put(line, text, 1);
        }
}

/* Writes a layer as mount(8) takes it, with a backslash before ':' and '\'. */
static void put_layer(struct line *line, const char *path, bool many)
{
    char one[2] = "";
    for (; *path; path++) {
        if (*path == '\\' || (many && *path == ':'))
            put_escaped(line, "\\");
        one[0] = *path;
        put_escaped(line, one);
    }
}

static void put_layers(struct line *line, struct lethe_names *names, struct lethe_span value,
                       bool escaped, bool many)
{
    while (value.n && line->text) {
        const char *path = escaped ? lethe_union_overlay_layer(names->arena, &value, many)
                                   : lethe_text_unescape(names->arena, value);
        path = path ? lethe_names_path(names, path) : NULL;
        if (!path)
            line->text = NULL;
        else if (escaped)
            put_layer(line, path, many);
        else
            put_escaped(line, path);
        if (!escaped)
            return;
        if (value.n)
            put(line, ":", 1);
    }
}

static void put_overlay(struct line *line, struct lethe_names *names, struct lethe_span option)
{
    static const struct {
        const char *name;
        bool escaped, many;
    } layers[] = {{"upperdir", true, false},
                  {"workdir", true, false},
                  {"lowerdir", true, true},
                  {"lowerdir+", false, false},
                  {"datadir+", false, false}};
    struct lethe_span value = option, name = lethe_text_cut(&value, '=');
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        if (value.at && lethe_span_is(name, layers[i].name)) {
            put(line, name.at, name.n + 1);
            put_layers(line, names, value, layers[i].escaped, layers[i].many);
            return;
        }
    if (!option.n || !memchr(option.at, '/', option.n))
        put(line, option.n ? option.at : "", option.n);
}

const char *lethe_names_options(struct lethe_names *names, const struct lethe_mount *mount)
{
    struct line line = new_line(names->arena);
    bool overlay = !strcmp(mount->fstype, "overlay");
    for (struct lethe_span rest = lethe_span(mount->super_options); rest.at;) {
        struct lethe_span option = lethe_text_cut(&rest, ',');
        bool flag = lethe_span_is(option, "rw") || lethe_span_is(option, "ro");
        bool id = option.n > 3 && !memcmp(option.at, "si=", 3) && !strcmp(mount->fstype, "aufs");
        if (!flag && !id && !overlay)
            continue;
        if (line.n)
            put(&line, ",", 1);
        if (overlay)
            put_overlay(&line, names, option);
        else
            put(&line, option.at, option.n);
    }
    return line.text;
}

/* The type of a FUSE mount, on a device or not, ends in what its program calls itself. */
const char *lethe_names_type(struct lethe_names *names, const char *type)
{
    static const char *const known[] = {"fuse-overlayfs", "unionfs", "unionfs-fuse", "mergerfs",
                                        "sshfs",          "portal",  "gvfsd-fuse",   "veracrypt",
                                        "squashfuse",     "lxcfs",   "s3fs",         "rclone"};
    struct line line = new_line(names->arena);
    const size_t n = !strncmp(type, "fuse.", 5) ? 5 : !strncmp(type, "fuseblk.", 8) ? 8 : 0;
    if (names->keep || !n)
        return type;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(type + n, known[i]))
            return type;
    put(&line, type, n);
    put_name(&line, names, lethe_span(type + n));
    return line.text;
}

/* Returns the length of the word that begins the uuid if its maker, and not the user, chose it;
 * else 0. */
static size_t known_word(const char *uuid, const char *const *words)
{
    for (; *words; words++)
        if (!strncmp(uuid, *words, strlen(*words)) && uuid[strlen(*words)] == '-')
            return strlen(*words) + 1;
    return 0;
}

const char *lethe_names_dm_uuid(struct lethe_names *names, const char *uuid)
{
    static const char *const makers[] = {"CRYPT", "LVM",    "mpath",  "DMRAID", "stratis",
                                         "VDO",   "livecd", "BCACHE", "part1",  "part2",
                                         "part3", "part4",  "SUBDEV", NULL},
                             *const kinds[] = {"PLAIN",   "LUKS1",  "LUKS2",   "TCRYPT",
                                               "VERITY",  "BITLK",  "FVAULT2", "INTEGRITY",
                                               "LOOPAES", "SUBDEV", NULL};
    if (names->keep)
        return uuid;
    size_t n = known_word(uuid, makers);
    if (n && !strncmp(uuid, "CRYPT-", 6))
        n += known_word(uuid + n, kinds);
    return lethe_arena_text(names->arena, uuid, n);
}
