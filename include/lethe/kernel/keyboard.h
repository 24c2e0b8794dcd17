/* SPDX-License-Identifier: GPL-3.0-or-later */
/* keyboard: the keys that would end the machine before it has been emptied. */
#ifndef LETHE_KERNEL_KEYBOARD_H
#define LETHE_KERNEL_KEYBOARD_H

/* Makes Ctrl-Alt-Delete a signal to the caller, who must have blocked SIGINT. It resets the machine
 * at once where systemd-shutdown (from 257 on) has left it so (reboot(2), LINUX_REBOOT_CMD_CAD_ON).
 * The SysRq keys are switched off; /proc/sysrq-trigger goes on working
 * (Documentation/admin-guide/sysrq.rst). */
void lethe_keyboard_disarm(void);

#endif
