#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Systems built with the Debian packages as docs/systems.md prints it: test_images.py [--packages FOLDER] [--list] [CASE...]

The lines are read from that page and run by mmdebstrap, live-build and mkosi of Debian 13, each in a chroot, mounts and processes of its own.
In what they build Lethe has to be there, and its units enabled. It is put on a stick and booted; status says ready, and from one moment, with
secrets in RAM, it is ended by a poweroff, by its watcher where that is there, and once with Lethe taken out. As root, with Debian's mirror.
CASE may be a part of a name.
"""

import functools
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cases
import lab
import live
import test_live
from cases import want

TOOLS = ["live-build", "mkosi", "reprepro", "mmdebstrap", "systemd-sysv", "apt-utils", "squashfs-tools"]
MIRROR = "http://deb.debian.org/debian"
BOOTED = live.SYSTEMS["trixie"]
# What a builder of images has to say beside what is printed: what a live system is started by, too. live-build stops once the packages are in the chroot that an image is made from.
LIVE_BUILD = (f"lb config --distribution trixie --mirror-bootstrap {MIRROR}/ --security false --archive-areas main --linux-packages none --firmware-chroot false "
              "--apt-recommends false --memtest none", "lb bootstrap; lb chroot; mv chroot root")
MKOSI = """[Distribution]
Distribution=debian
Release=trixie
[Output]
Format=directory
Output=root
[Content]
Bootable=no
Packages=
""" + "".join(f"    {package}\n" for package in BOOTED.packages)
# The mirror that tests use may lack the debugging symbols that mkosi would ask for, too.
SOURCES = f"Types: deb\nURIs: {MIRROR}\nSuites: trixie\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"


def printed(what):
    """The lines of docs/systems.md that end in this comment, or begin with it for a file."""
    text = (lab.HERE.parent.parent / "docs/systems.md").read_text().split("## Building a live system with the packages")[1]
    lines = [line.removeprefix("    ") for line in text.splitlines() if line.startswith("    ")]
    if what == "mkosi.conf":
        begin = next(i for i, line in enumerate(lines) if line.endswith("# mkosi.conf"))
        return "\n".join(re.sub(r"\s+# .*", "", line) for line in lines[begin:])
    end = next(i for i, line in enumerate(lines) if line.endswith(f"# {what}"))
    begin = end
    while begin and lines[begin - 1].endswith("\\"):
        begin -= 1
    return "\n".join(lines[begin:end + 1])


def mmdebstrap(path, *arguments):
    live.sh("mmdebstrap", "--mode=root", "--aptopt=Acquire::Check-Valid-Until false", *arguments, "trixie", path, *live.mirrors("trixie"),
            capture_output=True)


def tools():
    """A Debian 13 with the builders, cached."""
    return lab.cached(f"live/tools-{lab.digest(*TOOLS)}",
                      lambda path: mmdebstrap(path, "--variant=apt", "--include=" + ",".join(TOOLS)))


def inside(root, script):
    """Run lines of shell in a chroot's /work."""
    begin = ('set -e; mount --bind "$0" "$0"; mount -t proc proc "$0/proc"; mount -t sysfs -o ro sysfs "$0/sys"; mount --rbind /dev "$0/dev"; '
             'mount -t tmpfs tmpfs "$0/run"; exec chroot "$0" /bin/sh -exc "$1"')
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    result = subprocess.run(["unshare", "-mpf", "--propagation", "private", "sh", "-c", begin, str(root), "cd /work\n" + script],
                            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    want(not result.returncode, f"{script}\n{result.stdout[-3000:]}")


def end_each(root, tmp, watched):
    """Boot what was built, and end it in each way."""
    live.sh("cp", lab.compiled("plant", static=True), root / "usr/local/bin/plant")
    live.put_shell(root, BOOTED.init)
    boot = next((root / "boot").glob("vmlinuz-*")), next((root / "boot").glob("initrd.img-*"))
    live.write_stick(tmp / "stick", root, BOOTED, boot, tmp)
    ways = {case.name: case for case in test_live.CASES}
    with live.booted(tmp / "stick", ways["poweroff"].arguments, boot=boot) as guest:
        test_live.check_status(guest)
        guest.run("plant " + " ".join(live.KINDS), timeout=300)
        before = guest.scan(live.KINDS, live.persistence() / "key")
        guest.save()
        for way in ["poweroff", *(["pulled"] if watched else []), "without-lethe"]:
            guest.restore()
            problems, line = test_live.ended(guest, ways[way], before, "trixie")
            print(f"  {way}: {line}", flush=True)
            want(not problems, "\n".join(problems))


def build(packages, folder, script, units, files=()):
    """Run the script in a copy of the tools' chroot beside the packages; it leaves /work/root, which is booted."""
    with tempfile.TemporaryDirectory(dir=tools().parent) as tmp:
        root = Path(tmp) / "chroot"
        live.sh("cp", "-a", tools(), root)
        for name in ("resolv.conf", "hosts"):
            shutil.copy(f"/etc/{name}", root / "etc" / name)
        (root / "work" / folder).mkdir(parents=True)
        live.write_files(root / "work", files)
        for package in [*packages.glob("lethe_*.deb"), *packages.glob("lethe-watch_*.deb")]:
            shutil.copy(package, root / "work" / folder)
        inside(root, script)
        made = root / "work/root"
        want((made / "usr/sbin/lethe").is_file(), "Lethe is not there")
        for unit in units:
            enabled = subprocess.run(["systemctl", f"--root={made}", "is-enabled", unit], capture_output=True, text=True).stdout.strip()
            want(enabled == "enabled", f"{unit} is {enabled}")
        end_each(made, Path(tmp), "lethe-watch" in units)


def placed(folder):
    """What has to be in a root before its initramfs is made, for a builder that takes it from a folder."""
    return [(f"{folder}/{name}", text) for name, text in BOOTED.files]


def by_mmdebstrap(packages):
    """mmdebstrap, with the package named as a file"""
    more = f"--include=systemd-sysv,{','.join(BOOTED.packages)} --essential-hook='cp -a files/. $1/'"
    build(packages, ".", printed("mmdebstrap").replace("--include=systemd-sysv", more), ["lethe-arm"], placed("files"))


def by_live_build(packages):
    """live-build, with the packages in config/packages.chroot"""
    config, rest = LIVE_BUILD
    build(packages, ".", f"{config}\n{printed('live-build')}\necho {' '.join(BOOTED.packages)} >config/package-lists/lab.list.chroot\n{rest}",
          ["lethe-arm", "lethe-watch"], placed("config/includes.chroot_before_packages"))


def by_mkosi(packages):
    """mkosi, with the packages in a folder of its configuration"""
    build(packages, "packages", "mkosi build", ["lethe-arm", "lethe-watch"],
          [("mkosi.conf", MKOSI + printed("mkosi.conf") + "\n"), ("mkosi.sandbox/etc/apt/sources.list.d/mkosi.sources", SOURCES),
           *placed("mkosi.skeleton")])


def main():
    parser = cases.parser(__doc__)
    parser.add_argument("--packages", type=Path, help="a folder with the packages; else they are built")
    args = parser.parse_args()
    tally = cases.Tally("images", args.list)
    with tempfile.TemporaryDirectory() as tmp:
        packages = args.packages or Path(tmp)
        if not args.packages and not args.list:
            live.sh(lab.HERE.parent.parent / "init/debian/package", packages, capture_output=True)
        for case in by_mmdebstrap, by_live_build, by_mkosi:
            if cases.is_chosen(case.__name__, args.cases):
                tally.run(case.__name__, cases.about(case), functools.partial(case, packages.resolve()))
    return tally.end()


if __name__ == "__main__":
    sys.exit(main())
