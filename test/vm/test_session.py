#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may fire the kill switch without being root: test_session.py [--build DIR] [--list] [CASE...]

A real live system with logind and polkit (live.py) is booted once; each case goes back to that moment. CASE may be a part of a name.
"""

import sys
import tempfile
import time
from pathlib import Path

import cases
import live
from cases import want

SYSTEM = "trixie-session"
PREPARE = """for user in amnesia:1000 other:1001; do
    echo "${user%:*}:x:${user#*:}:${user#*:}::/:/bin/sh" >>/etc/passwd; echo "${user%:*}:x:${user#*:}:" >>/etc/group
done
printf 'account required pam_permit.so\\nsession required pam_systemd.so\\n' >/etc/pam.d/lab
systemctl start polkit systemd-logind"""
ASK = "systemctl --no-ask-password start lethe-now.service"
CASES = []


def case(function):
    CASES.append(function)
    return function


def open_session(guest, user, *properties):
    """A session of the user's, with a program in it that asks for the kill switch as soon as there is /run/fire."""
    options = " ".join(f"-p {p}" for p in (f"User={user}", "PAMName=lab", *properties, "StandardOutput=file:/run/said", "StandardError=file:/run/said"))
    guest.run(f"systemd-run --unit={user} {options} sh -c 'until [ -e /run/fire ]; do sleep 0.2; done; {ASK}; sleep 1000'", timeout=60)
    guest.run(f"until loginctl list-sessions --no-legend | grep -q {user}; do sleep 0.2; done", timeout=120)


def on_terminal(number):
    return "StandardInput=tty", f"TTYPath=/dev/tty{number}"


def activate(guest, user):
    guest.run(f"loginctl activate $(loginctl list-sessions --no-legend | awk '/{user}/ {{ print $1 }}'); sleep 1", timeout=60)


def ask(guest):
    guest.send("touch /run/fire")


def want_denied(guest):
    ask(guest)
    deadline = time.monotonic() + 120
    while not (said := guest.run("cat /run/said 2>/dev/null; true", timeout=60)):
        want(time.monotonic() < deadline, "it was neither done nor denied", guest)
    want("denied" in said or "authentication" in said, f"it said: {said}", guest)
    want("inactive" in guest.run("systemctl is-active lethe-now.service", check=False), "it was started", guest)


@case
def active(guest):
    """the user of the local, active session fires it"""
    open_session(guest, "amnesia", *on_terminal(2))
    activate(guest, "amnesia")
    ask(guest)
    want(guest.wait_end(120) == "poweroff", "it did not power off", guest)
    want("nothing is left" in guest.console, "it says that not all is gone", guest)
    left = {kind: n for kind, n in guest.scan(["shm", "rw"]).items() if n}
    want(not left, f"left in RAM: {left}", guest)


@case
def inactive(guest):
    """the user of a session on another terminal may not"""
    open_session(guest, "amnesia", *on_terminal(2))
    open_session(guest, "other", *on_terminal(3))
    activate(guest, "other")
    guest.run("systemctl stop other")
    want_denied(guest)


@case
def remote(guest):
    """a session without a seat may not, as one over the network has none"""
    open_session(guest, "amnesia")
    want_denied(guest)


@case
def no_session(guest):
    """a user's program outside of every session may not"""
    guest.run(f"touch /run/fire; systemd-run --unit=amnesia -p User=amnesia -p StandardError=file:/run/said {ASK}", timeout=60)
    want_denied(guest)


def main():
    parser = cases.parser(__doc__)
    parser.add_argument("--build", default="build", help="Lethe's build folder, with prefix /usr (build)")
    options = parser.parse_args()
    tally = cases.Tally("session", options.list)
    chosen = [c for c in CASES if cases.is_chosen(c.__name__, options.cases)]
    if options.list:
        tally.show(chosen)
        return tally.end()
    with tempfile.TemporaryDirectory() as folder:
        lethe = live.installed(options.build, Path(folder) / "lethe")
        with live.booted(live.stick(lethe, SYSTEM), "init_on_free=1", name=SYSTEM) as guest:
            guest.run(PREPARE, timeout=120)
            guest.run("plant shm rw", timeout=60)
            want(all(guest.scan(["shm", "rw"]).values()), "nothing was planted")
            tally.run_each(chosen, guest)
    return tally.end()


if __name__ == "__main__":
    sys.exit(main())
