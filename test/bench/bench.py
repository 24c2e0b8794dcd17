#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures Lethe beside what live systems use today.

    exitrd  the same live system, with the same secrets in RAM, powered off through Lethe and through the two exitrds of today:
            the time from the exec of /shutdown to reboot(2) and the RAM that each holds while the system runs. Each in a guest
            of its own, which is ended --rounds times from the same moment; the median is told. To return to that moment
            empties the emulator's store of translated code. Else most of each end would be writes to pages that were
            executed once, which TCG makes very slow when they are freed and no hardware does.
    erase   zeroing of a RAM file system beside the plainest loop of writes to a file of the same size in the same guest, and the
            filling of free memory and its reading back beside a program there that maps as much and writes to it once; guests of --sizes GiB with
            one processor and with two, on a kernel that clears nothing
    plan    what processor time it takes to plan the end of a system with 10,000 mounts, and with 100,000, on this machine; and of many
            unions, and of mounts nested in each other, beside how the text of mountinfo grows
    line    what an end costs as a + b x GiB, in instructions of the guest (its clock counts them: two runs agree however loaded this
            machine is): a is the end with nothing in RAM, b what each GiB of files, of programs' memory and of page cache adds with
            init_on_free and on a default kernel, and of RAM; what processors, processes and mounts add; beside b what a plain pass over
            as much memory costs in the same guest
    umount  what it takes Lethe to take 10,000 mounts down, beside a bare loop of umount2(2) in the same guest

Under emulation clearing memory is slow: compare the figures, don't quote them.
"""

import argparse
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "vm"))

import lab
import live
import peers
import small

PLANTS = ["rw", "shm", "run", "heap", "cache", "names", "pipe"]
GOALS = {"time": 0.5, "held": 1024, "zeroing": 1.1, "filling": 1.3, "reading": 0.5, "plan": 0.1, "growth": 12, "umount": 1.2, "line": 1.1}


def table(head, rows):
    """Columns as wide as they need to be; the first is text, the others are numbers."""
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, ["-" * w for w in widths], *rows]:
        print("  ".join(str(cell).ljust(w) if i == 0 else str(cell).rjust(w) for i, (cell, w) in enumerate(zip(row, widths))))


def goal(text, met):
    print(f"goal {'met' if met else 'MISSED'}: {text}")
    return met


# -- exitrd -------------------------------------------------------------------------------------------------------------------


HELD = r"""awk '/^Shmem:/ { n += $2 } END { print n }' /proc/meminfo
cat $(grep -l '^Name:.lethe$' /proc/[0-9]*/status | sed 's/status/smaps_rollup/') /dev/null | awk '/^Private/ { n += $2 } END { print n + 0 }'"""


def held_kib(guest):
    """All that lies on tmpfs, and what processes of Lethe's have for themselves."""
    return sum(int(word) for word in guest.run(HELD).split())


def arm_lethe(guest):
    guest.run("lethe arm")


def arm_peer(name):
    def arm(guest):
        guest.run("mkdir -p /run/initramfs; mount -t tmpfs -o mode=755 tmpfs /run/initramfs")
        guest.run(f"cd /run/initramfs; zstd -dc /media/{name}.cpio.zst | cpio -id --quiet; test -x shutdown", timeout=120)
    return arm


def stamp(console, pattern):
    """When the kernel's log says so, in seconds since its start."""
    found = re.findall(r"(?m)^\[ *(\d+\.\d+)\] .*" + pattern, console)
    if not found:
        raise lab.Failure(f"the console does not say {pattern!r}:\n{console[-3000:]}")
    return float(found[-1])


def ends(image, exitrds, arm, arguments, rounds):
    """Of each end: seconds from the exec of /shutdown to the power-off, KiB held, and what was left in RAM."""
    disk = ["-drive", f"if=none,id=exitrds,format=raw,readonly=on,file={exitrds}",
            "-device", "usb-storage,bus=xhci.0,drive=exitrds"]
    with live.booted(image, f"systemd.mask=lethe-arm.service {arguments}", name=peers.SUITE, args=disk) as guest:
        guest.run("udevadm settle; mount -r LABEL=exitrds /media")
        before = held_kib(guest)
        arm(guest)
        held = held_kib(guest) - before
        guest.run("umount /media")
        guest.run("plant " + " ".join(PLANTS), timeout=120)
        guest.save()
        for _ in range(rounds):
            guest.restore()
            guest.send("systemctl poweroff")
            end = guest.wait_end(300)
            if end != "poweroff":
                raise lab.Failure(f"ended by {end}:\n{guest.console[-3000:]}")
            seconds = stamp(guest.console, r"reboot: Power down") - stamp(guest.console, r"Returning to initrd")
            yield seconds, held, {kind: n for kind, n in guest.scan(PLANTS, live.persistence() / "key").items() if n}


def disk_with(folder, tmp):
    """An image that shows the exitrds' archives to a guest."""
    image = tmp / "exitrds"
    live.sh("truncate", "-s", "64M", image)
    live.sh("mke2fs", "-q", "-t", "ext4", "-L", "exitrds", "-d", folder, image)
    return image


def bench_exitrd(options):
    ways = {"Lethe": arm_lethe, **{text: arm_peer(name) for name, text in peers.NAMES.items()}}
    results = {way: [] for way in ways}
    with tempfile.TemporaryDirectory(dir=lab.CACHE) as tmp:
        tmp = Path(tmp)
        image = live.stick(live.installed(options.build, tmp / "lethe"), peers.SUITE)
        exitrds = disk_with(peers.exitrds(), tmp)
        for way, arm in ways.items():
            for result in ends(image, exitrds, arm, options.arguments, options.rounds):
                results[way].append(result)
                print(f"{way}: {result[0]:.2f} s, {result[1]} KiB", flush=True)

    seconds = {way: statistics.median(r[0] for r in results[way]) for way in ways}
    held = {way: statistics.median(r[1] for r in results[way]) for way in ways}
    rows = []
    for way in ways:
        times = [r[0] for r in results[way]]
        left = results[way][-1][2]
        rows.append([way, f"{seconds[way]:.2f}", f"{min(times):.2f}-{max(times):.2f}", f"{seconds[way] / seconds['Lethe']:.1f}",
                     f"{held[way]:.0f}", f"{held[way] / max(held['Lethe'], 1):.0f}",
                     ", ".join(f"{kind} {n}" for kind, n in left.items()) or "nothing"])
    print(f"\nFrom the exec of /shutdown to reboot(2), and held in RAM until then; {options.rounds} rounds, {options.arguments or 'default kernel'}")
    table(["", "seconds", "range", "x", "KiB held", "x", "left in RAM"], rows)
    fastest = min(seconds[way] for way in ways if way != "Lethe")
    time_met = goal(f"{seconds['Lethe'] / fastest:.2f} of the faster one's time, at most {GOALS['time']}",
                    seconds["Lethe"] <= GOALS["time"] * fastest)
    held_met = goal(f"{held['Lethe']:.0f} KiB held, at most {GOALS['held']}", held["Lethe"] <= GOALS["held"])
    return time_met and held_met


# -- erase --------------------------------------------------------------------------------------------------------------------


def step_seconds(console, begins):
    """How long the steps took in all that begin so, by the time of what was said next."""
    said = [(float(at), text) for at, text in re.findall(r"(?m)^\[ *(\d+\.\d+)\] lethe: (.*)", console)]
    return sum(after[0] - now[0] for now, after in zip(said, said[1:]) if re.match(begins, now[1]))


def one_erasure(lethe, gib, cpus):
    """Seconds of Lethe's zeroing and of a plain loop's, of its filling, its reading back and a plain pass, and MiB filled."""
    mib = gib * 256
    with small.booted(lethe, "lethe.verbose loglevel=8", memory="", ram=f"{gib}G", cpus=cpus) as guest:
        guest.arm()
        plain = int(guest.run(f"pass files /dev/shm {mib}", timeout=120)) / 1000
        free = int(guest.run("awk '/^MemFree/ { print int($2 / 1024) }' /proc/meminfo"))
        memory = int(guest.run(f"pass memory {free - 100}", timeout=300)) / 1000 / (free - 100)
        guest.run(f"plant shm:{mib}M", timeout=120)
        guest.hand_over("poweroff")
        if guest.wait_end(400) != "poweroff":
            raise lab.Failure(guest.console[-3000:])
        held, filling, looking = re.search(r"free memory: (\d+) KiB held.* filled in (\d+) ms, read back in (\d+) ms", guest.console).groups()
        filled = int(held) // 1024
        return (step_seconds(guest.console, r"erase \S*/shm "), plain, int(filling) / 1000, int(looking) / 1000, memory * filled, filled)


def bench_erase(options):
    lethe, rows, worst = (Path(options.build) / "init/lethe").resolve(), [], {"zeroing": 0, "filling": 0, "reading": 0}
    for gib in options.sizes:
        for cpus in 1, 2:
            zeroing, plain, filling, looking, memory, filled = one_erasure(lethe, gib, cpus)
            ratios = {"zeroing": zeroing / plain, "filling": filling / memory, "reading": looking / memory}
            worst = {name: max(worst[name], ratios[name]) for name in worst}
            rows.append([f"{gib} GiB, {cpus} CPU", gib * 256, f"{zeroing:.2f}", f"{ratios['zeroing']:.2f}", filled, f"{filling:.2f}",
                         f"{filling / filled * 1024:.2f}", f"{ratios['filling']:.2f}", f"{looking:.2f}", f"{ratios['reading']:.2f}"])
            print(*rows[-1], flush=True)
    print("\nZeroing in place ÷ a plain loop of writes; filling, and reading back what it missed, ÷ one pass of a program over as much memory")
    table(["guest", "MiB", "zeroed in s", "÷ plain", "MiB", "filled in s", "s/GiB", "÷ plain", "read in s", "÷ plain"], rows)
    met = [goal(f"{name}: at most {worst[name]:.2f} of the plain way, goal {GOALS[name]}", worst[name] <= GOALS[name])
           for name in worst]
    return all(met)


# -- plan ---------------------------------------------------------------------------------------------------------------------


def forged_mounts(n):
    lines = ["20 1 0:20 / / rw - overlay overlay rw,lowerdir=/lower,upperdir=/branch/rw,workdir=/branch/work",
             "21 20 0:21 / /branch rw - tmpfs tmpfs rw"]
    for i in range(n - len(lines)):
        parent = 20 if i % 10 == 0 else 21 + i
        path = f"/m/{i}" if parent == 20 else lines[-1].split()[4] + "/d"
        lines.append(f"{22 + i} {parent} 0:{100 + i % 500} / {path} rw - {'tmpfs' if i % 3 else 'ext4'} some rw")
    return "\n".join(lines) + "\n"


def nested_mounts(n):
    """Each lies on the one before it: a path is as long as the mounts below it are many, so the text grows by the square."""
    lines = ["20 1 0:20 / / rw - tmpfs tmpfs rw"]
    lines += [f"{20 + i} {19 + i} 0:{20 + i} / {'/d' * i} rw - tmpfs tmpfs rw" for i in range(1, n)]
    return "\n".join(lines) + "\n"


def union_mounts(n):
    lines = ["20 1 0:20 / / rw - tmpfs tmpfs rw", "21 20 0:21 / /b rw - tmpfs tmpfs rw"]
    lines += [f"{20 + i} 20 0:{20 + i} / /u{i} rw - overlay o rw,lowerdir=/u{i - 1}:/b,upperdir=/b/{i},workdir=/b/w{i}" for i in range(2, n)]
    return "\n".join(lines) + "\n"


def processor_seconds():
    """What children have used: what else the machine has to do does not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def plan_seconds(options, text):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as tmp:
        (Path(tmp) / "proc/self").mkdir(parents=True)
        (Path(tmp) / "proc/self/mountinfo").write_text(text)
        times = []
        for _ in range(max(options.rounds, 5)):
            with open(Path(tmp) / "plan", "w") as out:
                begun = processor_seconds()
                subprocess.run([Path(options.build) / "init/lethe", "plan", "--root", tmp], stdout=out, check=True)
                times.append(processor_seconds() - begun)
    return statistics.median(times)


def bench_plan(options):
    shapes = {"of all kinds": (forged_mounts, 10_000), "unions": (union_mounts, 2_000), "nested in each other": (nested_mounts, 400)}
    rows, goals = [], []
    for shape, (forge, n) in shapes.items():
        few, many = forge(n), forge(10 * n)
        seconds = [plan_seconds(options, text) for text in (few, many)]
        rows.append([shape, f"{n:,}", f"{seconds[0]:.3f}", f"{10 * n:,}", f"{seconds[1]:.3f}", f"{len(many) / len(few):.1f}"])
        times, limit = seconds[1] / seconds[0], max(GOALS["growth"], len(many) / len(few))
        goals.append((f"{shape}: {times:.1f} times that for ten times the mounts, at most {limit:.1f}", times <= limit))
        if n == 10_000:
            goals.append((f"{seconds[0]:.3f} s for 10,000 mounts, at most {GOALS['plan']}", seconds[0] <= GOALS["plan"]))
    print("\nPlanning on this machine, the snapshot of a tree and the printing too")
    table(["mounts", "so many", "processor seconds", "ten times", "processor seconds", "text grows by"], rows)
    return all([goal(text, met) for text, met in goals])


# -- umount -------------------------------------------------------------------------------------------------------------------


def end_seconds(guest):
    """What the summary says that the whole end took."""
    guest.arm()
    guest.hand_over("poweroff")
    if guest.wait_end(300) != "poweroff":
        raise lab.Failure(guest.console[-3000:])
    return float(re.search(r"poweroff after ([0-9.]+) s", "\n".join(guest.said))[1])


def bench_umount(options):
    n = 10_000
    loops, ends, bare = [], [], []
    program = (Path(options.build) / "init/lethe").resolve()
    for number in range(options.rounds):
        with small.booted(program, memory=options.arguments) as guest:
            guest.run(f"mkdir /run/many; mount --make-rprivate /; mounts make {n} /run/many", timeout=300)
            loops.append(int(guest.run(f"mounts take {n} /run/many", timeout=300)) / 1000)
            guest.run(f"mounts make {n} /run/many", timeout=300)
            ends.append(end_seconds(guest))
        with small.booted(program, memory=options.arguments) as guest:  # the same directories, nothing mounted there
            guest.run(f"mkdir /run/many; mount --make-rprivate /; mounts make {n} /run/many; mounts take {n} /run/many", timeout=300)
            bare.append(end_seconds(guest))
        print(f"round {number + 1}: umount2 loop {loops[-1]:.2f} s, end with the mounts {ends[-1]:.2f} s, without {bare[-1]:.2f} s", flush=True)
    loop, lethe = statistics.median(loops), statistics.median(ends) - statistics.median(bare)
    print(f"\nTaking {n:,} mounts down in the small guest, {options.rounds} rounds")
    table(["", "seconds"], [["a bare umount2 loop", f"{loop:.2f}"], ["Lethe, beyond its end without them", f"{lethe:.2f}"]])
    return goal(f"{lethe / loop:.2f} of the loop's time, at most {GOALS['umount']}", lethe <= GOALS["umount"] * loop)


# -- line ---------------------------------------------------------------------------------------------------------------------


def counted_end(lethe, *, memory="", ram=512, cpus=1, before="true"):
    """Seconds of one instruction a nanosecond: of Lethe's end after `before`, and of a plain pass over 1 GiB. The guest has an empty disk."""
    with tempfile.NamedTemporaryFile() as disk:
        disk.truncate(ram << 20)
        with small.booted(lethe, "lethe.verbose loglevel=8", memory=memory, ram=f"{ram}M", cpus=cpus, counted=True, disks=[disk.name]) as guest:
            guest.arm()
            plain = int(guest.run("pass memory 256", timeout=600)) / 250
            guest.run(before, timeout=1200)
            guest.hand_over("poweroff")
            if guest.wait_end(1200) != "poweroff":
                raise lab.Failure(guest.console[-3000:])
            return float(re.search(r"poweroff after ([0-9.]+) s", "\n".join(guest.said))[1]), plain


def line_through(points):
    """a and b of the straight line, by least squares."""
    fit = statistics.linear_regression(*zip(*points))
    return fit.intercept, fit.slope


def series(options):
    """What grows: its unit, and for each point how many of it and the guest, as counted_end() takes it."""
    gib = [mib / 1024 for mib in options.points]
    room = 512 + 2 * max(options.points)  # a tmpfs takes half of the memory at most
    for kernel in "init_on_free=1", "":
        for what, fill in {"files on the branch": "plant rw:{}M", "programs' memory": "plant heap:{}M",
                           "page cache": "dd if=/dev/vdb of=/dev/null bs=1M count={}"}.items():
            yield (f"{what}, {kernel or 'default kernel'}", "GiB",
                   [(n, {"memory": kernel, "ram": room, "before": fill.format(int(n * 1024)) if n else "true"}) for n in gib])
    yield "RAM, default kernel", "GiB", [(n + 0.5, {"ram": 512 + int(n * 1024)}) for n in gib]
    yield "processors", "processor", [(n, {"memory": "init_on_free=1", "cpus": n}) for n in (1, 2, 4)]
    yield ("processes", "1,000", [(n / 1000, {"memory": "init_on_free=1", "ram": 1024, "before": f"n=0; while [ $n -lt {n} ]; do sleep 9999 & n=$((n + 1)); done"})
                                 for n in (10, 2000)])
    yield ("mounts", "1,000", [(n / 1000, {"memory": "init_on_free=1", "ram": 1024, "before": f"mkdir /run/many; mount --make-rprivate /; mounts make {n} /run/many"})
                              for n in (20, 10_000)])


def bench_line(options):
    lethe, rows, good = (Path(options.build) / "init/lethe").resolve(), [], True
    for name, unit, guests in series(options):
        if options.only not in name:
            continue
        points, plains = [], []
        for n, guest in guests:
            seconds, plain = counted_end(lethe, **guest)
            points.append((n, seconds))
            plains.append(plain)
            print(f"{name}: {n:g} {unit}: {seconds:.2f}", flush=True)
        a, b = line_through(points)
        plain = statistics.median(plains)
        rows.append([name, f"{a:.2f}", f"{b:.3f}", unit, f"{plain:.2f}", f"{b / plain:.2f}" if unit == "GiB" else ""])
        if unit == "GiB":
            good &= goal(f"{name}: {b / plain:.2f} of a plain pass for each GiB, at most {GOALS['line']}", b <= GOALS["line"] * plain)
    print("\nAn end = a + b for each, in billions of instructions; a program's plain pass over one GiB")
    table(["", "a", "b", "for each", "plain pass", "b / pass"], rows)
    return good


BENCHES = {"exitrd": bench_exitrd, "line": bench_line, "erase": bench_erase, "plan": bench_plan, "umount": bench_umount}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", help="Lethe's build folder, with prefix /usr (build)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each way is measured (%(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4, 8], help="GiB of the guests of erase (%(default)s)")
    parser.add_argument("--only", default="", help="of line, what has this in its name")
    parser.add_argument("--points", type=int, nargs="+", default=[0, 512, 1024], help="MiB of line's ends (%(default)s)")
    parser.add_argument("--arguments", default="init_on_free=1", help="of the guest's kernel (%(default)s)")
    parser.add_argument("benches", nargs="*", metavar="BENCH", help=f"of: {', '.join(BENCHES)}; all")
    options = parser.parse_args()
    for name in options.benches:
        if name not in BENCHES:
            parser.error(f"no bench {name}")
    met = [BENCHES[name](options) for name in options.benches or BENCHES]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
