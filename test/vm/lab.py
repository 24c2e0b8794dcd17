# SPDX-License-Identifier: GPL-3.0-or-later
"""A laboratory for the last minute of a machine: guests whose RAM stays readable after their power-off.

A guest's RAM is a file on a tmpfs of the host. QEMU pauses the guest in the very moment of its power-off, reset or halt,
so what `Guest.scan()` then counts is what an attacker would find.

    with lab.Guest(kernel, initrd, "console=ttyS0") as guest:
        guest.wait_ready()
        guest.run("plant shm:32M", timeout=60)
        guest.send("poweroff")
        end = guest.wait_end(60)             # 'poweroff', 'reboot', 'halt', 'kexec' or 'panic'
        left = guest.scan(["shm"])           # {'shm': 0}

Each guest has two serial ports, on amd64 called so: ttyS0 is its console, logged to `guest.console`; on ttyS1 the guest runs a root shell which
says READY first. Nothing that is sent there may hold a secret: it would lie in the guest's RAM by our own doing.
"""

import atexit
import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("LETHE_CACHE", "/var/cache/lethe"))
READY = "lab: ready"
# TCG keeps a translation for each virtual address a page of code was ever run at, and walks all of them at each store
# into that page: under address randomisation, zeroing the pages of a busy program's text takes minutes.
# On a host under load the timer's interrupts come late, and the kernel's check of them panics: "IO-APIC + timer doesn't work!"
QUICK = "norandmaps cryptomgr.notests no_timer_check"
# What the kernel has just patched, an emulated processor may run once more as it was a moment before: a breakpoint that no longer
# stands there, and that the kernel doesn't know. It panics, mostly while it starts, when it patches most. And now and then an idle
# processor never hears of a timer again, at which a start stands still.
FALSE_START = r"int3: 0000 \[#|rcu: INFO: rcu_\w+ (self-)?detected stall"


class Amd64:
    """What the guests' machine is like."""
    cache = CACHE
    compiler = ["musl-gcc"]
    console, shell = "ttyS0", "ttyS1"
    qemu = ["qemu-system-x86_64", "-machine", "q35,memory-backend=ram", "-cpu", "max,-erms,-fsrm"]
    shell_device = ["-serial", "chardev:shell"]
    aes = "aesni_intel"

    @staticmethod
    def installed():
        """Which programs and libraries `files` finds, for lab.digest()."""
        return [Path("/var/lib/dpkg/status")]

    @staticmethod
    def files(program):
        """A program of the machine's and what its loader wants, as {path in the guest: path on the host}; of a static one ldd knows nothing."""
        shown = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
        words = [word for line in shown.splitlines() for word in line.split() if word.startswith("/")]
        return {name: Path(name).resolve() for name in (program, *words)}


class Arm64:
    """A Cortex-A76, as in a Raspberry Pi 5, which may have pages of 16 KiB. Its programs are Debian's (test/setup --arch=arm64)."""
    cache = CACHE / "arm64"
    compiler = ["aarch64-linux-gnu-gcc", f"-specs={CACHE}/arm64/musl/musl-gcc.specs"]
    console, shell = "ttyAMA0", "ttyS0"
    qemu = ["qemu-system-aarch64", "-machine", "virt,memory-backend=ram", "-cpu", "cortex-a76"]
    shell_device = ["-device", "pci-serial,chardev=shell"]
    aes = "aes_ce_blk"

    @staticmethod
    def installed():
        libraries = sorted((Arm64.cache / "root/usr/lib").rglob("*.so*"))
        return [f"{p.name} {p.lstat().st_size}" for p in libraries]

    @staticmethod
    def files(program):
        root, found, wanted = Arm64.cache / "root", {}, [program]
        while wanted:
            name = wanted.pop()
            found[name] = root / os.path.realpath(f"{root}{name}").removeprefix(f"{root}").lstrip("/")
            shown = subprocess.run(["readelf", "-ld", found[name]], check=True, capture_output=True, text=True).stdout
            needed = [f"/lib/aarch64-linux-gnu/{library}" for library in re.findall(r"NEEDED.*\[(.*)\]", shown)]
            needed += re.findall(r"program interpreter: (.*)\]", shown)
            wanted += [name for name in needed if name not in found]
        return found


MACHINE = {"amd64": Amd64, "arm64": Arm64}[os.environ.get("LETHE_ARCH", "amd64")]


class Failure(Exception):
    """The guest did something other than what the test counts on."""


def digest(*parts):
    """A short hash of strings, and of files' or folders' contents, to key what is built once by its recipe."""
    h = hashlib.sha256()
    for part in parts:
        files = [part] if isinstance(part, Path) and part.is_file() else []
        if isinstance(part, Path) and part.is_dir():
            files = sorted(p for p in part.rglob("*") if p.is_file() or p.is_symlink())
        for file in files:
            link = os.readlink(file) if file.is_symlink() else ""
            h.update(f"{file.relative_to(part) if file != part else ''}\0{link}\0{file.lstat().st_mode}\0".encode())
            h.update(b"" if link else file.read_bytes())
        if not isinstance(part, Path):
            h.update(str(part).encode() + b"\0")
    return h.hexdigest()[:16]


def cached(name, build):
    """Path of the cached thing `name`, made by `build(path)` if it is not there; safe against a second builder."""
    path = CACHE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(path.name + ".lock"), "w") as lock:
        subprocess.run(["flock", str(lock.fileno())], pass_fds=[lock.fileno()], check=True)
        if not path.exists():
            part = path.with_name(path.name + ".part")
            shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)
            build(part)
            part.rename(path)
    return path


def decrypt(image, folder):
    """Turn an image from LUKS2 back into what is in it, by the passphrase in the folder of the cached disk that it is a copy of. One at
    a time: cryptsetup locks by the header's UUID, which copies share, and fails where that is taken."""
    subprocess.run(["flock", CACHE / "decrypt.lock", "cryptsetup", "reencrypt", "-q", "--decrypt", "--header", image.with_name("header"),
                    "--force-offline-reencrypt", "--key-file", folder / "passphrase", image],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def compiled(name, static=False):
    """Path of test/vm/NAME.c compiled: for the host, or as a static program for any guest."""
    source = HERE / f"{name}.c"
    compiler = [*MACHINE.compiler, "-static", "-s", "-idirafter", str(MACHINE.cache / "musl/include")] if static else ["gcc"]
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra"]

    def build(path):
        subprocess.run([*compiler, *flags, str(source), "-o", str(path)], check=True)

    return cached(f"bin/{name}-{digest(source, HERE / 'secrets.h', compiler, flags)}", build)


def initramfs(path, tree, modules=(), kernel=MACHINE.cache / "kernel/cloud"):
    """Write an initramfs: `tree` maps paths in the guest to a host file (Path) or to the text of an executable script.

    busybox is always in it as /bin/busybox, and so are the named modules of the kernel with all that they need, listed
    in the order of loading in /modules.
    """
    version = next((kernel / "lib/modules").iterdir()).name
    with tempfile.TemporaryDirectory() as tmp:
        root = Path(tmp)
        for directory in ("bin", "dev", "proc", "sys", "run", "tmp", "mnt"):
            (root / directory).mkdir()
        order = []
        for module in modules:
            shown = subprocess.run(["modprobe", "-d", kernel, "-S", version, "--show-depends", module],
                                   check=True, capture_output=True, text=True).stdout
            for line in shown.splitlines():
                word = line.split()
                if word[0] == "insmod" and word[1] not in order:
                    order.append(word[1])
        names = []
        for source in order:
            name = "lib/modules/" + Path(source).name
            (root / "lib/modules").mkdir(parents=True, exist_ok=True)
            shutil.copy(source, root / name)
            names.append("/" + name + "\n")
        (root / "modules").write_text("".join(names))
        for name, content in {"bin/busybox": MACHINE.files("/bin/busybox")["/bin/busybox"], **tree}.items():
            target = root / name.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copy(content, target)
            else:
                target.write_text(content)
                target.chmod(0o755)
        with open(path, "wb") as out:
            files = subprocess.run(["find", ".", "-mindepth", "1", "-print0"], cwd=root, check=True, capture_output=True)
            subprocess.run(["cpio", "-0", "-o", "--quiet", "-H", "newc", "-R", "0:0"], cwd=root, input=files.stdout,
                           stdout=out, check=True)
    return path


class Channel:
    """A Unix socket of QEMU's, read up to what one waits for."""

    def __init__(self, path, still_wanted):
        self.socket = socket.socket(socket.AF_UNIX)
        self.pending = b""
        while True:
            try:
                return self.socket.connect(str(path))
            except OSError:
                still_wanted()
                time.sleep(0.02)

    def until(self, pattern, timeout):
        """Read up to a match of a bytes pattern and return it; None if it does not come in time, or never will."""
        deadline = time.monotonic() + timeout
        while not (match := re.search(pattern, self.pending, re.DOTALL)):
            self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data = self.socket.recv(65536)
            except OSError:
                return None
            if not data:
                return None
            self.pending += data
        self.pending = self.pending[match.end():]
        return match

    def send(self, data):
        self.socket.settimeout(10)
        self.socket.sendall(data)

    def close(self):
        self.socket.close()


class Stick:
    """A disk image that the guest sees as a USB stick, or as another device. Its writes go to an overlay of the one run."""

    def __init__(self, image, id="stick", device="usb-storage,bus=xhci.0,removable=on"):
        self.image, self.id, self.device = image, id, device
        self.overlay = self.port = None  # the port of the USB

    def args(self, folder):
        self.overlay = folder / f"{self.id}.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", self.image, "-F", "raw", self.overlay], check=True)
        return ["-blockdev", f"qcow2,node-name=node-{self.id},cache.direct=off,cache.no-flush=on,"
                f"file.driver=file,file.filename={self.overlay},file.cache.no-flush=on",
                "-device", f"{self.device},drive=node-{self.id},id={self.id}"]

    @property
    def properties(self):
        """What device_add wants to know to plug it in again."""
        driver, *rest = self.device.split(",")
        return {"driver": driver, "drive": f"node-{self.id}", "id": self.id,
                **{name: True if value == "on" else value for name, value in (pair.split("=") for pair in rest)},
                **({"port": str(self.port)} if self.port else {})}

    def export(self, path):
        """Write what the guest left on it, as a raw image; only once the guest has ended."""
        subprocess.run(["qemu-img", "convert", "-U", "-O", "raw", self.overlay, path], check=True)


def disc_args(image):
    """QEMU's arguments for a drive, "cd", with a disc in it, "disc"."""
    return ["-blockdev", f"raw,node-name=disc,read-only=on,file.driver=file,file.filename={image}",
            "-device", "ide-cd,bus=ide.0,drive=disc,id=cd"]


_alive = set()


def _end_all(*_):
    """Guests must not outlive a runner that is told to stop, whichever of its threads they belong to. They are not waited for: what this
    interrupts may hold Popen's lock."""
    for guest in list(_alive):
        if guest._qemu:
            guest._qemu.kill()
        shutil.rmtree(guest.folder, ignore_errors=True)
    os._exit(130)


signal.signal(signal.SIGTERM, _end_all)
signal.signal(signal.SIGINT, _end_all)


class Words:
    """What Lethe said of its ends and what the scan found, over a whole run; test/run adds it up."""

    def __init__(self):
        self.ends, self.false, self.alarms = set(), set(), set()
        atexit.register(self.tell)

    def judge(self, guest, said, is_left):
        end = guest.folder, said
        self.ends.add(end)
        if "NOT all is gone" in said:
            (self.alarms.discard if is_left else self.alarms.add)(end)
        elif is_left:
            self.false.add(end)

    def tell(self):
        if self.ends:
            print(f"words: {len(self.ends)} ends scanned, {len(self.false)} said falsely that nothing is left, and "
                  f"{len(self.alarms)} that not all is gone, where none of what was scanned for was left")


WORDS = Words()


class Guest:
    """One machine, from its start to the end of the `with` block, whatever happens in it."""

    def __init__(self, kernel, initrd, cmdline, *, ram="1G", cpus=2, sticks=(), fw_cfg=None, counted=False, args=()):
        """`counted`: its clock counts instructions, one each nanosecond, and what only waits takes what it waits for. `fw_cfg` hands in files by name (opt/…) that do not lie in the guest's RAM; `args` is more for QEMU."""
        self.folder = Path(tempfile.mkdtemp(prefix="lethe-", dir="/dev/shm"))
        self.ram_file = self.folder / "ram"
        self.console_file = self.folder / "console"
        self.console_file.touch()
        self.started = time.monotonic()
        self.is_counted = counted
        self._qemu = self._qmp = self._shell = None
        self._sticks = sticks
        for port, stick in enumerate((stick for stick in sticks if stick.device.startswith("usb-")), 1):
            stick.port = port
        self._events = []
        self._is_over = False
        self._console_from = 0
        self._kernels = 1  # that say their version on the console before a kexec
        command = [
            *MACHINE.qemu, "-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-accel", f"tcg,thread={'single' if counted else 'multi'}", "-smp", str(cpus), "-m", ram,
            "-object", f"memory-backend-file,id=ram,share=on,size={ram},mem-path={self.ram_file}",
            "-no-reboot", "-action", "shutdown=pause", "-S",
            "-qmp", f"unix:{self.folder}/qmp,server=on,wait=off",
            "-chardev", f"file,id=console,path={self.console_file}", "-serial", "chardev:console",
            "-chardev", f"socket,id=shell,path={self.folder}/shell,server=on,wait=off", *MACHINE.shell_device,
            "-device", "qemu-xhci,id=xhci",
            "-kernel", str(kernel), "-initrd", str(initrd), "-append", f"{cmdline} {QUICK}",
        ]
        command += ["-icount", "shift=0,sleep=off"] if counted else []
        for stick in sticks:
            command += stick.args(self.folder)
        for name, file in (fw_cfg or {}).items():
            command += ["-fw_cfg", f"name={name},file={file}"]
        _alive.add(self)
        try:
            self._qemu = subprocess.Popen([*command, *map(str, args)], stdin=subprocess.DEVNULL,
                                          stderr=open(self.folder / "qemu.err", "w"))
            self._qmp = Channel(self.folder / "qmp", self._check_alive)
            self._shell = Channel(self.folder / "shell", self._check_alive)
            self._qmp_read(10)  # the greeting
            self.qmp("qmp_capabilities")
            self.qmp("cont")
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Kill the guest and give its RAM back to the host."""
        if self._qemu:
            self._qemu.kill()
            self._qemu.wait()
        for channel in (self._qmp, self._shell):
            if channel:
                channel.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        _alive.discard(self)

    @property
    def console(self):
        """All that the guest has said on its console, since it was restored if it was."""
        return self.console_file.read_bytes()[self._console_from:].decode(errors="replace")

    # -- QMP ----------------------------------------------------------------------------------------------------------

    def _check_alive(self):
        if self._qemu.poll() is not None:
            raise Failure("QEMU has gone: " + (self.folder / "qemu.err").read_text())

    def _qmp_read(self, timeout):
        """The next message of QEMU's, None if none came in time. Events are kept apart in self._events."""
        line = self._qmp.until(rb"([^\n]*)\n", timeout)
        if not line:
            self._check_alive()
            return None
        message = json.loads(line[1])
        if "event" in message:
            self._events.append(message)
        return message

    def qmp(self, command, timeout=30, **arguments):
        """Carry out one QMP command and return its answer."""
        self._qmp.send(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            message = self._qmp_read(deadline - time.monotonic())
            if message and "error" in message:
                raise Failure(f"QMP {command}: {message['error']['desc']}")
            if message and "return" in message:
                return message["return"]
        raise Failure(f"QMP {command}: no answer")

    def press(self, *keys):
        """Press and release keys of the keyboard together, by QEMU's names for them."""
        self.qmp("send-key", keys=[{"type": "qcode", "data": key} for key in keys], **{"hold-time": 50})

    def unplug(self, id, timeout=10):
        """Pull a device out without asking the guest."""
        self.qmp("device_del", id=id)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if any(e["event"] == "DEVICE_DELETED" and e["data"].get("device") == id for e in self._events):
                return
            self._qmp_read(0.1)
        raise Failure(f"{id} is still plugged in")

    def plug(self, stick):
        """Plug a device in (again)."""
        self._events = [e for e in self._events if e.get("data", {}).get("device") != stick.id]
        self.qmp("device_add", **stick.properties)

    def _drive_of(self, node):
        return next((b["qdev"] for b in self.qmp("query-block") if b.get("inserted", {}).get("node-name") == node), None)

    def take_out(self, node):
        """Take a disc out of its drive, or the card out of a reader; what put_in() wants to know."""
        drive = self._drive_of(node)
        self.qmp("blockdev-open-tray", id=drive, force=True)
        self.qmp("blockdev-remove-medium", id=drive)
        self.qmp("blockdev-close-tray", id=drive)  # QEMU's drives say nothing of an open one
        return drive

    def report_change(self, node):
        """Have a reader say that its card may have been changed: it was not."""
        drive = self._drive_of(node)
        self.qmp("blockdev-open-tray", id=drive, force=True)
        self.qmp("blockdev-close-tray", id=drive)

    def put_in(self, drive, node):
        self.qmp("blockdev-open-tray", id=drive, force=True)
        self.qmp("blockdev-insert-medium", **{"id": drive, "node-name": node})
        self.qmp("blockdev-close-tray", id=drive)

    def hang(self, stick, hung=True):
        """Have a device neither answer nor fail any more, or work again."""
        self.slow_down(stick, 1 if hung else 0)

    def slow_down(self, stick, bytes_a_second):
        device = self._drive_of(f"node-{stick.id}")
        if device:
            self.qmp("block_set_io_throttle", id=device, bps=bytes_a_second, bps_rd=0, bps_wr=0, iops=0, iops_rd=0, iops_wr=0)

    # -- the shell in the guest ---------------------------------------------------------------------------------------

    def _shell_until(self, pattern, timeout, what):
        match = self._shell.until(pattern, timeout)
        if not match:
            self._check_alive()
            raise Failure(f"{what}: no answer within {timeout} s\n{self._tail()}")
        return match

    def _tail(self):
        return "--- end of the guest's console ---\n" + "\n".join(self.console.splitlines()[-25:])

    def wait_ready(self, timeout=400):
        """Wait until the guest's shell listens, and start a guest again that made a FALSE_START; returns the seconds since its start."""
        deadline, pattern = time.monotonic() + timeout, re.escape(READY.encode()) + rb"\r?\n"
        while not self._shell.until(pattern, 5):
            self._check_alive()
            if time.monotonic() > deadline:
                raise Failure(f"boot: not ready within {timeout} s\n{self._tail()}")
            if re.search(FALSE_START, self.console):
                self._reset()
                deadline = max(deadline, time.monotonic() + timeout / 2)
        return time.monotonic() - self.started

    def wait_shown(self, pattern, timeout):
        """Wait until the shell's terminal has shown this; returns the match."""
        return self._shell_until(pattern, timeout, "the terminal")

    def send(self, command):
        """Start a command that may well end the guest, and do not wait for it."""
        self._shell.send(command.encode() + b"\n")

    def run(self, command, timeout=30, check=True):
        """Run a shell command in the guest, return what it prints. Failure when it fails or takes too long."""
        mark = secrets.token_hex(6)
        self.send(f"{{ {command}\n}} </dev/null 2>&1; printf '\\n%s%s %s\\n' {mark[:6]} {mark[6:]} $?")
        match = self._shell_until(rb"\A(.*?)\r?\n" + mark.encode() + rb" (\d+)\r?\n", timeout, command)
        output = match[1].decode(errors="replace").strip()
        if check and int(match[2]):
            raise Failure(f"{command}: exit status {int(match[2])}\n{output}")
        return output

    def save(self):
        """Keep the machine as it is now, RAM and disks; restore() returns to this moment as often as wanted."""
        self._snapshot("snapshot-save")

    def restore(self):
        for stick in self._sticks:
            self.hang(stick, False)
            if any(e["event"] == "DEVICE_DELETED" and e["data"].get("device") == stick.id for e in self._events):
                self.plug(stick)
        self._reset()  # a machine that was switched off starts again by a reset only
        self._snapshot("snapshot-load")
        self._events.clear()
        self._console_from = self.console_file.stat().st_size
        self._is_over = False
        self._kernels = 0
        self.qmp("cont")

    def _reset(self):
        self._console_from = self.console_file.stat().st_size
        self.qmp("set-action", reboot="reset")
        self.qmp("system_reset")
        time.sleep(1)
        self.qmp("set-action", reboot="shutdown")

    def _snapshot(self, command, timeout=120):
        nodes = [f"node-{stick.id}" for stick in self._sticks]
        self.qmp(command, **{"job-id": "snapshot", "tag": "kept", "vmstate": nodes[0], "devices": nodes})
        deadline = time.monotonic() + timeout
        while (job := self.qmp("query-jobs")[0])["status"] != "concluded":
            if time.monotonic() > deadline:
                raise Failure(f"{command}: not done")
            time.sleep(0.05)
        self.qmp("job-dismiss", id="snapshot")
        if "error" in job:
            raise Failure(f"{command}: {job['error']}")

    # -- the end ------------------------------------------------------------------------------------------------------

    @property
    def has_ended(self):
        """Whether it has powered off or been reset by now."""
        self._qmp_read(0.02)
        return any(event["event"] == "SHUTDOWN" for event in self._events)

    def wait_end(self, timeout=120):
        """Wait for the guest's end and stop it there: 'poweroff', 'reboot', 'halt', 'kexec' or 'panic'."""
        end = self._wait_end(timeout)
        self._is_over = True
        return end

    def _wait_end(self, timeout):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for event in self._events:
                if event["event"] == "SHUTDOWN":
                    return {"guest-shutdown": "poweroff", "guest-reset": "reboot"}.get(
                        event["data"]["reason"], event["data"]["reason"])
            text = self.console
            end = ("halt" if "reboot: System halted" in text else
                   "panic" if "Kernel panic - not syncing" in text else
                   "kexec" if text.count("] Linux version ") > self._kernels else None)
            if end:
                self.qmp("stop")
                return end
            self._qmp_read(0.1)
        raise Failure(f"the guest has not ended within {timeout} s\n{self._tail()}")

    def scan(self, kinds, key=None, map=None, most=0):
        """Count secrets in the guest's RAM: {kind: count}. `key` is a file with a volume key, counted as 'key'.

        `map` is a file to be written with one byte a page: 0 all zero, 1 other, 2… the kinds in their order. After the end what was said
        of it is compared with what is found; `most` is how many of all kinds the threat model allows for.
        """
        command = [compiled("scan"), self.ram_file, *(["--key", key] if key else []), *(["--map", map] if map else []), *kinds]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        found = {kind: int(count) for kind, count in (line.split() for line in lines)}
        said = re.findall(r"lethe: (?:poweroff|reboot|halt|kexec) after [\d.]+ s.*", self.console)
        if said and self._is_over:
            WORDS.judge(self, said[-1], sum(found.values()) > most)
        return found
