/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/capture_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lethe/kernel/log.h"

void lethe_capture_fail(struct lethe_capture *c, int r)
{
    c->r = c->r ? c->r : r;
}

/* True for a name in a forged snapshot that would lead out of the tree. */
static bool leads_out(const char *path)
{
    for (struct lethe_span rest = lethe_span(path); rest.at;) {
        struct lethe_span name = lethe_text_cut(&rest, '/');
        if (!name.n || lethe_span_is(name, ".") || lethe_span_is(name, ".."))
            return true;
    }
    return false;
}

/* A forged snapshot brings about names that no file can have: too long, or a directory's. Such a
 * file is left out and reported; any other error ends the capture. */
static void leave_out(struct lethe_capture *c, const char *path, int error)
{
    static const int names[] = {EISDIR, ENOTDIR, EEXIST, ENAMETOOLONG, ELOOP};
    char shown[200];
    bool name = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        name = name || error == names[i];
    if (name)
        lethe_log(LETHE_LOG_ERROR, "%s is left out: %s",
                  lethe_text_printable(shown, sizeof shown, path), strerror(error));
    else
        lethe_capture_fail(c, -error);
}

static bool make_parents(struct lethe_capture *c, const char *path)
{
    char part[LETHE_CAPTURE_PATH_MAX];
    if (snprintf(part, sizeof part, "%s", path) >= LETHE_CAPTURE_PATH_MAX || leads_out(path)) {
        leave_out(c, path, leads_out(path) ? EISDIR : ENAMETOOLONG);
        return false;
    }
    for (char *slash = part; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        if (mkdirat(c->dir, part, 0755) && errno != EEXIST) {
            leave_out(c, path, errno);
            return false;
        }
    }
    return true;
}

FILE *lethe_capture_open(struct lethe_capture *c, const char *path)
{
    if (c->r || !make_parents(c, path))
        return NULL;
    int fd = openat(c->dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!out)
        leave_out(c, path, errno);
    if (!out && fd >= 0)
        close(fd);
    return out;
}

void lethe_capture_close(struct lethe_capture *c, FILE *out)
{
    bool bad = out && ferror(out);
    if (out && (fclose(out) || bad))
        lethe_capture_fail(c, -EIO);
}

void lethe_capture_text(struct lethe_capture *c, const char *text, const char *format, ...)
{
    char path[LETHE_CAPTURE_PATH_MAX];
    va_list list;
    if (!text)
        lethe_capture_fail(c, -ENOMEM);
    if (!text || !text[0])
        return;
    va_start(list, format);
    vsnprintf(path, sizeof path, format, list);
    va_end(list);
    FILE *out = lethe_capture_open(c, path);
    if (out)
        fprintf(out, "%s\n", text);
    lethe_capture_close(c, out);
}

void lethe_capture_link(struct lethe_capture *c, const char *target, const char *path)
{
    if (!c->r && make_parents(c, path) && symlinkat(target, c->dir, path))
        leave_out(c, path, errno);
}

const char *lethe_capture_path(struct lethe_capture *c, const char *path)
{
    const char *told = lethe_names_path(&c->names, path);
    if (!told)
        lethe_capture_fail(c, -ENOMEM);
    return told ? told : "";
}

void lethe_capture_escaped(FILE *out, const char *text)
{
    for (; text && *text; text++)
        if (strchr(" \t\n\\#", *text))
            fprintf(out, "\\%03o", (unsigned char)*text);
        else
            fputc(*text, out);
}
