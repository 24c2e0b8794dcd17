# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers on the network for the guests: each a process on the host, which QEMU's user network shows to its guest at 10.0.2.2.

    with servers.nbd(image) as server:       # or servers.nfs(), servers.nfs4(), servers.sftp()
        ...                                  # a guest with *server.args among its arguments, and server.port
        server.hang()                        # it answers no more, but its connections stay
        server.die()                         # its connections are closed

nbd is qemu-nbd, sftp OpenSSH's sftp-server without its ssh. nfs is an NFS server of version 3 (RFC 1813, RFC 5531) with all its files in memory and just what a guest's mount asks for.
"""

import signal
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import lab


class Server:
    def __init__(self, *command):
        """`command` serves on 127.0.0.1, on the port that takes the place of {port} in it."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.args = ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="]
        self._process = subprocess.Popen([str(word).format(port=self.port) for word in command])

    def __enter__(self):
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except OSError:
                time.sleep(0.1)
        self.die()
        raise RuntimeError("the server does not listen")

    def __exit__(self, *_):
        self.die()

    def hang(self):
        self._process.send_signal(signal.SIGSTOP)

    def die(self):
        self._process.kill()
        self._process.wait()


def nbd(image):
    return Server("qemu-nbd", "--bind=127.0.0.1", "--port={port}", "--format=raw", "--persistent", "--shared=2", "--snapshot", image)


def nfs():
    return Server(sys.executable, __file__, "nfs", "{port}")


GANESHA = """NFS_CORE_PARAM { Protocols = 4; NFS_Port = %s; Bind_addr = 127.0.0.1; Enable_NLM = false; Enable_RQUOTA = false; Plugins_Dir = "%s"; }
NFSv4 { Graceless = true; Delegations = false; UseGetpwnam = true; Only_Numeric_Owners = true; RecoveryRoot = "%s"; }
MEM { Inode_Size = 2097152; }
EXPORT { Export_Id = 1; Path = /share; Pseudo = /share; Access_Type = RW; Squash = None; SecType = sys; FSAL { Name = MEM; } }
"""


@contextmanager
def nfs4():
    """NFS-Ganesha with its files in memory."""
    root = lab.CACHE / "ganesha/usr"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "conf").write_text(GANESHA % ("@port@", next(root.glob("lib/*/ganesha")), folder))
        script = f"""sed -i s/@port@/$0/ {folder}/conf; export LD_LIBRARY_PATH={root}/lib/ganesha
            exec {root}/bin/ganesha.nfsd -F -L {folder}/log -f {folder}/conf -p {folder}/pid"""
        with Server("sh", "-c", script, "{port}") as server:
            yield server


@contextmanager
def sftp():
    with tempfile.TemporaryDirectory() as folder, Server(sys.executable, __file__, "sftp", "{port}", folder) as server:
        yield server


# -- NFS, as a program ------------------------------------------------------------------------------------------------------

MOUNT, NFS = 100005, 100003
FILE, DIRECTORY, ROOT = 1, 2, 1
NOENT, NOTSUPP = 2, 10004


class Words:
    """XDR, taken apart word by word (RFC 4506)."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        self.at += (n + 3) & ~3
        return self.data[self.at - ((n + 3) & ~3):][:n]

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def u64(self):
        return struct.unpack(">Q", self.take(8))[0]

    def opaque(self):
        return self.take(self.u32())


def u32(*values):
    return struct.pack(f">{len(values)}I", *values)


def u64(*values):
    return struct.pack(f">{len(values)}Q", *values)


def opaque(data):
    return u32(len(data)) + data + bytes(-len(data) % 4)


class Files:
    """What is served: files by number, each bytes, or a directory's {name: number}."""

    def __init__(self):
        self.files, self.changed = {ROOT: {}}, 0

    def attributes(self, number):
        file = self.files[number]
        directory = isinstance(file, dict)
        size = 4096 if directory else len(file)
        return (u32(1, DIRECTORY if directory else FILE, 0o755, 2, 0, 0) + u64(size, size) + u32(0, 0) + u64(1, number)
                + u32(0, 0, self.changed, 0, self.changed, 0))

    def changes(self, number):
        return u32(0) + self.attributes(number)

    def handle(self, number):
        return opaque(u64(number))

    def find(self, args):
        return struct.unpack(">Q", args.opaque())[0]

    def set(self, number, args):
        for _ in ("mode", "owner", "group"):
            args.take(4 * args.u32())
        if args.u32():
            size = args.u64()
            self.files[number] = self.files[number][:size].ljust(size, b"\0")
        for _ in ("accessed", "modified"):
            args.take(8 if args.u32() == 2 else 0)

    def get_attributes(self, args):
        return u32(0) + self.attributes(self.find(args))[4:]

    def set_attributes(self, args):
        number = self.find(args)
        self.set(number, args)
        return u32(0) + self.changes(number)

    def look_up(self, args):
        directory, name = self.find(args), args.opaque()
        number = self.files[directory].get(name)
        if number is None:
            return u32(NOENT) + self.attributes(directory)
        return u32(0) + self.handle(number) + self.attributes(number) + self.attributes(directory)

    def access(self, args):
        return u32(0) + self.attributes(self.find(args)) + u32(args.u32())

    def read(self, args):
        number, at, n = self.find(args), args.u64(), args.u32()
        data = bytes(self.files[number][at:at + n])
        return u32(0) + self.attributes(number) + u32(len(data), at + n >= len(self.files[number])) + opaque(data)

    def write(self, args):
        number, at, _, _, data = self.find(args), args.u64(), args.u32(), args.u32(), args.opaque()
        file = self.files[number]
        file.extend(bytes(max(0, at - len(file))))
        file[at:at + len(data)] = data
        self.changed += 1
        return u32(0) + self.changes(number) + u32(len(data), 2) + u64(0)

    def add(self, args, file, mode):
        directory, name = self.find(args), args.opaque()
        new = max(self.files) + 1
        number = self.files[directory].setdefault(name, new)
        if number == new:
            self.files[number] = file
        if mode and args.u32() == 2:  # exclusively: the client sets the attributes later
            args.take(8)
        else:
            self.set(number, args)
        self.changed += 1
        return u32(0, 1) + self.handle(number) + self.attributes(number) + self.changes(directory)

    def create(self, args):
        return self.add(args, bytearray(), True)

    def make_directory(self, args):
        return self.add(args, {}, False)

    def read_directory(self, args, plus=False):
        directory, cookie = self.find(args), args.u64()
        names = list(self.files[directory].items())
        listed = b""
        for place, (name, number) in list(enumerate(names, 1))[cookie:]:
            listed += u32(1) + u64(number) + opaque(name) + u64(place)
            listed += self.attributes(number) + u32(1) + self.handle(number) if plus else b""
        return u32(0) + self.attributes(directory) + u64(0) + listed + u32(0, 1)

    def read_directory_plus(self, args):
        return self.read_directory(args, True)

    def state(self, args):
        return u32(0) + self.attributes(self.find(args)) + u64(1 << 40, 1 << 40, 1 << 40, 1 << 20, 1 << 20, 1 << 20) + u32(0)

    def info(self, args):
        most = 64 << 10
        return u32(0) + self.attributes(self.find(args)) + u32(most, most, 1, most, most, 1, most) + u64(1 << 40) + u32(0, 1, 0x1b)

    def limits(self, args):
        return u32(0) + self.attributes(self.find(args)) + u32(1, 255, 1, 1, 0, 1)

    def commit(self, args):
        return u32(0) + self.changes(self.find(args)) + u64(0)

    def answer(self, program, procedure, args):
        if not procedure:
            return b""
        if program == MOUNT:  # its first one is to mount, and there is one thing to mount
            return u32(0) + self.handle(ROOT) + u32(1, 1) if procedure == 1 else b""
        known = {1: self.get_attributes, 2: self.set_attributes, 3: self.look_up, 4: self.access, 6: self.read, 7: self.write, 8: self.create,
                 9: self.make_directory, 16: self.read_directory, 17: self.read_directory_plus, 18: self.state, 19: self.info,
                 20: self.limits, 21: self.commit}
        return known[procedure](args) if procedure in known else u32(NOTSUPP, 0, 0)


class Connection(socketserver.StreamRequestHandler):
    files = Files()

    def handle(self):
        while head := self.rfile.read(4):
            call = Words(self.rfile.read(struct.unpack(">I", head)[0] & 0x7fffffff))
            xid, _, _, program, _, procedure = (call.u32() for _ in range(6))
            for _ in ("credentials", "verifier"):
                call.u32()
                call.opaque()
            reply = u32(xid, 1, 0, 0, 0)
            reply += u32(0) + self.files.answer(program, procedure, call) if program in (MOUNT, NFS) else u32(1)
            self.wfile.write(u32(len(reply) | 0x80000000) + reply)


class Sftp(socketserver.BaseRequestHandler):
    def handle(self):
        subprocess.run(["/usr/lib/openssh/sftp-server", "-d", sys.argv[3]], stdin=self.request, stdout=self.request)


class Threads(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


if __name__ == "__main__":
    Threads(("127.0.0.1", int(sys.argv[2])), {"nfs": Connection, "sftp": Sftp}[sys.argv[1]]).serve_forever()
