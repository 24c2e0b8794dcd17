/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * scan RAM [--map FILE] [--key FILE] KIND...
 *
 * Counts planted secrets in a guest's RAM, which lies in a file of the host, in one pass for all
 * kinds. Prints "KIND COUNT" a line. A key file is cut into quarters of 16 bytes, each of which
 * counts as a hit of the kind "key". The map has a byte a page: 0 all zero, 1 something else, 2 and
 * up a secret of the first, second … kind (a page with several shows the last named); the key comes
 * after the kinds.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "secrets.h"

enum { PAGE = 4096, MAX_NEEDLES = 64, MAX_KEY = 256 };

struct needle {
    unsigned char bytes[SECRET_SIZE];
    int kind;
};

static struct needle needles[MAX_NEEDLES];
static int n_needles;
static const char *kinds[MAX_NEEDLES];
static unsigned long counts[MAX_NEEDLES];
static int n_kinds;
/* For the first two bytes at a place: the bits of the needles that begin so. Nearly always none. */
static uint64_t begins[65536];

static uint16_t first_two(const unsigned char *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

static void add_needle(const unsigned char *bytes, int kind)
{
    if (n_needles == MAX_NEEDLES)
        errx(1, "too many kinds");
    memcpy(needles[n_needles].bytes, bytes, SECRET_SIZE);
    needles[n_needles].kind = kind;
    begins[first_two(bytes)] |= UINT64_C(1) << n_needles;
    n_needles++;
}

static void add_kind(const char *kind)
{
    unsigned char pattern[SECRET_SIZE];

    secret_pattern(kind, pattern);
    add_needle(pattern, n_kinds);
    kinds[n_kinds++] = kind;
}

static void add_key(const char *path)
{
    unsigned char key[MAX_KEY];
    FILE *f = fopen(path, "re");
    size_t n;

    if (!f)
        err(1, "%s", path);
    n = fread(key, 1, sizeof key, f);
    fclose(f);
    if (n < SECRET_SIZE)
        errx(1, "%s: too short", path);
    for (size_t i = 0; i + SECRET_SIZE <= n; i += SECRET_SIZE)
        add_needle(key + i, n_kinds);
    kinds[n_kinds++] = "key";
}

static bool is_zero(const unsigned char *page)
{
    return page[0] == 0 && memcmp(page, page + 1, PAGE - 1) == 0;
}

/* Counts what begins in this page; `left` bytes of RAM may be read from its start. Returns the
 * page's byte of the map. */
static unsigned char scan_page(const unsigned char *page, size_t left)
{
    size_t end = left - SECRET_SIZE < PAGE ? left - SECRET_SIZE + 1 : PAGE;
    int seen = -1;

    for (size_t i = 0; i < end; i++)
        for (uint64_t bits = begins[first_two(page + i)]; bits; bits &= bits - 1) {
            const struct needle *n = &needles[__builtin_ctzll(bits)];

            if (memcmp(page + i, n->bytes, SECRET_SIZE) != 0)
                continue;
            counts[n->kind]++;
            if (n->kind > seen)
                seen = n->kind;
        }
    return (unsigned char)(seen + 2);
}

int main(int argc, char **argv)
{
    const char *map_path = NULL, *key_path = NULL;
    const unsigned char *ram;
    unsigned char *map;
    size_t pages;
    struct stat st;
    int fd;

    if (argc < 2)
        errx(2, "usage: scan RAM [--map FILE] [--key FILE] KIND...");
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--map") == 0 && i + 1 < argc)
            map_path = argv[++i];
        else if (strcmp(argv[i], "--key") == 0 && i + 1 < argc)
            key_path = argv[++i];
        else
            add_kind(argv[i]);
    }
    if (key_path)
        add_key(key_path);

    fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        err(1, "%s", argv[1]);
    ram = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (ram == MAP_FAILED)
        err(1, "mmap %s", argv[1]);
    pages = (size_t)st.st_size / PAGE;
    map = calloc(pages, 1);
    if (!map)
        err(1, "calloc");

    /* Holes of the file are memory that the guest never touched: do not make the host allocate
     * them. */
    for (off_t data = lseek(fd, 0, SEEK_DATA); data >= 0;) {
        off_t hole = lseek(fd, data, SEEK_HOLE);

        for (size_t p = (size_t)data / PAGE; p < (size_t)hole / PAGE; p++)
            if (!is_zero(ram + p * PAGE))
                map[p] = scan_page(ram + p * PAGE, (pages - p) * PAGE);
        data = lseek(fd, hole, SEEK_DATA);
    }

    for (int i = 0; i < n_kinds; i++)
        printf("%s %lu\n", kinds[i], counts[i]);
    if (map_path) {
        FILE *f = fopen(map_path, "we");

        if (!f || fwrite(map, 1, pages, f) != pages || fclose(f) != 0)
            err(1, "%s", map_path);
    }
    return 0;
}
