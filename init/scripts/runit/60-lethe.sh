# SPDX-License-Identifier: GPL-3.0-or-later
# For runit where its third stage reads these (Void Linux): cp to /etc/runit/shutdown.d, and @sbindir@/lethe arm into /etc/rc.local
verb=poweroff
for mark in /run/runit/reboot /run/runit.reboot /etc/runit/reboot; do
    [ ! -x "$mark" ] || verb=reboot
done
/run/initramfs/lethe arm # takes notice of what came later
/run/initramfs/lethe end $verb
