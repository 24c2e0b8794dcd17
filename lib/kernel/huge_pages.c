/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/huge_pages.h"

#include <dirent.h>
#include <stdio.h>

#include "lethe/kernel/sys.h"

void lethe_huge_pages_free(void)
{
    static const char place[] = "/sys/kernel/mm/hugepages"; /* a directory for each size */
    char path[320];
    DIR *sizes = opendir(place);
    if (!sizes)
        return;
    for (struct dirent *size; (size = readdir(sizes));) {
        snprintf(path, sizeof path, "%s/%.255s/nr_hugepages", place, size->d_name);
        if (size->d_name[0] != '.')
            lethe_sys->write_file(path, "0");
    }
    closedir(sizes);
}
