# SPDX-License-Identifier: GPL-3.0-or-later
"""What the suites of guests share: how a case fails or is passed over, what is asked for on the command line, and the line for each case.

A suite closes with "N passed, N failed", which test/run adds up."""

import argparse
import functools
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import lab


class Skip(Exception):
    """The case can't be shown here, and why."""


def want(true, what, guest=None):
    if not true:
        console = "\n" + "\n".join(guest.console.splitlines()[-30:]) if guest else ""
        raise lab.Failure(f"{what}{console}")


def parser(doc):
    """The arguments that every suite takes."""
    p = argparse.ArgumentParser(description=doc.splitlines()[0])
    p.add_argument("--list", action="store_true", help="print the cases and what they show")
    p.add_argument("--verbose", action="store_true", help="print what Lethe says at each end")
    p.add_argument("cases", nargs="*", metavar="CASE", help="run only cases with this in their names")
    return p


def is_chosen(name, parts):
    return not parts or any(part in name for part in parts)


def about(function):
    return function.__doc__.splitlines()[0]


class Tally:
    """Runs or lists the cases of a suite, prints a line for each, and counts. With `jobs` so many run side by side, the last of them until end()."""

    def __init__(self, suite, is_list=False, jobs=1):
        self.suite, self.is_list = suite, is_list
        self.passed = self.failed = self.skipped = 0
        self.pool = ThreadPoolExecutor(jobs) if jobs > 1 and not is_list else None
        self.running, self.lock = [], threading.Lock()

    def run(self, name, title, function):
        if self.is_list:
            print(f"{name:<22} {title}")
        elif self.pool:
            self.running.append(self.pool.submit(self._run, name, title, function))
        else:
            self._run(name, title, function)

    def _run(self, name, title, function):
        begun, skipped, problem = time.monotonic(), None, None
        try:
            function()
        except Skip as skip:
            skipped = str(skip)
        except (lab.Failure, subprocess.CalledProcessError) as failure:
            problem = str(failure)
        self.tell(f"{time.monotonic() - begun:5.1f} s  {name:<22} {title}", [problem] if problem else [], skipped)

    def show(self, functions):
        for function in functions:
            self.run(function.__name__, about(function), None)

    def run_each(self, functions, guest):
        """Runs these cases one after the other, each from the moment in which the guest is now."""
        guest.save()
        for function in functions:
            guest.restore()
            self.run(function.__name__, about(function), functools.partial(function, guest))

    def tell(self, line, problems, skipped=None):
        """The line of a case that has run elsewhere; it is counted as one that failed when there are problems."""
        word = "FAIL" if problems else "skip" if skipped else "ok  "
        print("\n     ".join([f"{self.suite}: {word} {line}{f': {skipped}' if skipped else ''}", *problems]) + "\n", end="", flush=True)
        with self.lock:
            self.failed += bool(problems)
            self.passed += not problems and not skipped
            self.skipped += bool(skipped)

    def end(self):
        """The suite's exit status, after its last line. A suite that has shown nothing has failed."""
        for case in self.running:
            case.result()
        if self.is_list:
            return 0
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed or not self.passed + self.skipped else 0
