# SPDX-License-Identifier: GPL-3.0-or-later
"""Today's exitrds for a live system, made from Debian's packages in a copy of the live system that Lethe is tested in.

    tools   the initramfs of initramfs-tools, with systemd-shutdown as its /shutdown and a hook of systemd-shutdown's that
            unmounts lazily what is left and drops caches
    dracut  dracut's, with its own shutdown module and a shutdown hook that drops caches

Both are packed without kernel modules and firmware, which no shutdown needs: they are measured at their smallest.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

import lab
import live

SUITE = "bookworm"
TOOLS_HOOK = """#!/bin/sh
[ "$1" != prereqs ] || exit 0
. /usr/share/initramfs-tools/hook-functions
copy_exec /lib/systemd/systemd-shutdown /shutdown
for name in sort cut; do [ -e "$DESTDIR/bin/$name" ] || ln -s busybox "$DESTDIR/bin/$name"; done
mkdir -p "$DESTDIR/etc" "$DESTDIR/lib/systemd/system-shutdown"
touch "$DESTDIR/etc/initrd-release"
cp /usr/local/lib/exitrd-hook "$DESTDIR/lib/systemd/system-shutdown/exitrd"
"""
TOOLS_SHUTDOWN = """#!/bin/sh
cut -d ' ' -f 5 /proc/self/mountinfo | grep ^/oldroot | sort -r | while read -r place; do umount -l "$place"; done
echo 3 >/proc/sys/vm/drop_caches
"""

DRACUT_PATHS = ["etc/dracut.conf", "etc/dracut.conf.d", "usr/lib/dracut", "usr/bin/dracut", "var/lib/dracut"]
DRACUT_MODULES = "dash systemd systemd-initrd dracut-systemd crypt dm rootfs-block udev-rules base fs-lib shutdown drop-caches"
DRACUT_SETUP = """#!/bin/bash
check() { return 0; }
depends() { echo shutdown; }
install() { inst_hook shutdown 90 "$moddir/drop-caches.sh"; }
"""
DRACUT_SHUTDOWN = "#!/bin/sh\necho 3 >/proc/sys/vm/drop_caches\n"

NAMES = {"tools": "initramfs-tools, systemd-shutdown and a hook", "dracut": "dracut's shutdown module and a hook"}


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
        (root / name).chmod(0o755)


def pack(image, path):
    """An initramfs made smaller, as a compressed archive."""
    with tempfile.TemporaryDirectory(dir=path.parent) as tmp:
        live.sh("sh", "-c", f"zstd -dc {image} | cpio -id --quiet", cwd=tmp)
        for name in "modules", "firmware":
            shutil.rmtree(Path(tmp) / "usr/lib" / name, ignore_errors=True)
        live.sh("sh", "-c", f"find . | cpio -o --quiet -H newc | zstd -q -1 -o {path}", cwd=tmp)


def exitrds():
    """A folder with NAME.cpio.zst of each, cached."""
    def build(path):
        live.say("making the exitrds of today")
        path.mkdir()
        with tempfile.TemporaryDirectory(dir=path.parent) as tmp:
            root, extracted = Path(tmp) / "root", Path(tmp) / "extracted"
            live.sh("cp", "-a", live.base(SUITE), root)
            version = next((root / "usr/lib/modules").iterdir()).name
            live.sh("mmdebstrap", "--mode=root", "--variant=extract", "--aptopt=Acquire::Check-Valid-Until false",
                    "--include=dracut-core", SUITE, extracted, *live.mirrors(SUITE), stdin=subprocess.DEVNULL,
                    stderr=open(lab.CACHE / "mmdebstrap.log", "w"))
            for name in DRACUT_PATHS:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                live.sh("cp", "-a", "-T", extracted / name, root / name)
            write(root, {"etc/initramfs-tools/hooks/exitrd": TOOLS_HOOK, "usr/local/lib/exitrd-hook": TOOLS_SHUTDOWN,
                         "usr/lib/dracut/modules.d/99drop-caches/module-setup.sh": DRACUT_SETUP,
                         "usr/lib/dracut/modules.d/99drop-caches/drop-caches.sh": DRACUT_SHUTDOWN})
            with open(lab.CACHE / "exitrds.log", "w") as log:
                live.sh("chroot", root, "mkinitramfs", "-o", "/tools", version, stdout=log, stderr=log)
                live.sh("chroot", root, "env", "TMPDIR=/tmp", "dracut", "--no-hostonly", "--no-early-microcode", "--no-kernel",
                        "--modules", DRACUT_MODULES, "--compress", "zstd -1", "/dracut", version, stdout=log, stderr=log)
            for name in NAMES:
                pack(root / name, path / f"{name}.cpio.zst")

    return lab.cached(f"bench/exitrds-{lab.digest(Path(__file__), live.base(SUITE).name)}", build)
