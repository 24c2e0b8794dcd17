/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lethe/kernel/keyboard.h"

#include <linux/reboot.h>
#include <stdio.h>
#include <unistd.h>

#include "lethe/kernel/sys.h"

void lethe_keyboard_disarm(void)
{
    char pid[16];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    lethe_sys->reboot(LINUX_REBOOT_CMD_CAD_OFF, NULL);
    /* Writes the setting too, for where reboot(2) is forbidden. */
    lethe_sys->write_file("/proc/sys/kernel/ctrl-alt-del", "0");
    /* A systemd beside the kill switch would begin a reboot at the signal. */
    lethe_sys->write_file("/proc/sys/kernel/cad_pid", pid);
    lethe_sys->write_file("/proc/sys/kernel/sysrq", "0");
}
