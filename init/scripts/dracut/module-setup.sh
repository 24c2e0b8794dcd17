#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The watcher in the initramfs, where add_dracutmodules+=" lethe " asks for it (lethe-watch.service(8)).

check() {
    return 255
}

installkernel() {
    hostonly='' instmods evdev usbhid hid_generic
}

install() {
    local LETHE_EARLY_OPTIONS=
    [[ ! -e $dracutsysrootdir@sysconfdir@/default/lethe ]] || . "$dracutsysrootdir@sysconfdir@/default/lethe"
    inst @sbindir@/lethe /usr/sbin/lethe
    inst_hook pre-trigger 50 "$moddir/early.sh"
    mkdir -p "$initdir/etc/default"
    echo "LETHE_EARLY_OPTIONS='$LETHE_EARLY_OPTIONS'" >"$initdir/etc/default/lethe"
}
