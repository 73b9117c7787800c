"""How all benchmarks measure and judge: in turns, by medians, as ratios.

Knows: clocks, medians, processes of ours, and how a verdict is printed. Refuses to know what is
measured. The hard thing is a machine that does other work: what is compared is measured in turn
within one run, each turn gives a ratio of its own, and the median of these is judged, so that a
slow moment falls on both sides.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

START_WITHIN = 20.0
"""Seconds until a server answers: far below one at rest."""

LOOK_EVERY = 0.0003
"""Seconds between two looks whether a server answers; a start takes a hundred times as long."""

VERDICTS = "CREDD_BENCH_VERDICTS"
"""Names a file for verdicts, a JSON object a line: how `python -m bench` hears of them."""


# --- verdicts -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """One measured ratio beside its goal. `why` names the cause where the goal is missed."""

    goal: str
    what: str
    ratio: float
    bound: float
    at_least: bool = False
    why: str = ""

    @property
    def met(self) -> bool:
        """Whether the ratio is within its bound."""
        return self.ratio >= self.bound if self.at_least else self.ratio <= self.bound

    def line(self) -> str:
        """One line: goal, what, ratio, bound, verdict; a missed one is followed by its cause."""
        sign, verdict = ">=" if self.at_least else "<=", "met" if self.met else "missed"
        said = f"{self.goal} {self.what}: ratio {self.ratio:.2f} (goal {sign} {self.bound:g})"
        cause = f"\n   cause: {self.why}" if self.why and not self.met else ""
        return f"{said} {verdict}{cause}"


def judge(*verdicts: Verdict) -> int:
    """Print the verdicts; the exit status, 1 where a goal is missed."""
    for verdict in verdicts:
        print(verdict.line(), flush=True)
    if VERDICTS in os.environ:
        _report(Path(os.environ[VERDICTS]), verdicts)
    return 0 if all(verdict.met for verdict in verdicts) else 1


def _report(file: Path, verdicts: Sequence[Verdict]) -> None:
    with file.open("a", encoding="utf-8") as out:
        for verdict in verdicts:
            fields = [getattr(verdict, name) for name in Verdict.__slots__]
            out.write(json.dumps(fields) + "\n")


# --- taking turns ---------------------------------------------------------------------------


def in_turn(measures: Sequence[Callable[[], float]], rounds: int) -> list[list[float]]:
    """What each of `measures` answers in each round, a list for each; an extra first round only
    warms. Every second round goes backwards, so that nobody always follows the same neighbour."""
    found: list[list[float]] = [[] for _ in measures]
    for number in range(rounds + 1):
        order = range(len(measures))
        for place in reversed(order) if number % 2 else order:
            value = measures[place]()
            if number:
                found[place].append(value)
    return found


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios, round by round."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def listed(values: Sequence[float], scale: float = 1.0, unit: str = "") -> str:
    """The median and the span of what was measured, for people."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle * scale:.4g}{unit} ({low * scale:.4g} to {high * scale:.4g})"


def pin(core: int, pid: int = 0) -> None:
    """Keep a process (0: this one) on one of our cores, where the system lets us."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(CORES)
        os.sched_setaffinity(pid, {cores[core % len(cores)]})


CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0}
"""As they were before anybody was pinned."""


# --- processes ------------------------------------------------------------------------------


def clean_environ(**extra: str) -> dict[str, str]:
    """What a shell would hand on, without switches of Python or credd that a user doesn't have."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "CREDD_", "XDG_"))
    }
    return {**kept, **extra}


@contextmanager
def running(
    argv: Sequence[str | Path], path: str, environ: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that listens at the socket `path`, until the block ends. Its log is thrown away."""
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(argv, env=dict(environ), stdout=quiet, stderr=quiet, cwd=ROOT)
    try:
        wait_for(path, server)
        yield server
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait_for(path: str, server: subprocess.Popen[bytes]) -> None:
    """Return when somebody answers a question at the path; end the program where nobody does."""
    deadline = time.monotonic() + START_WITHIN
    while not answers(path):
        if server.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"{server.args!r} did not start")
        time.sleep(LOOK_EVERY)


def answers(path: str, target: str = "/v1/ready") -> bool:
    """Whether a question gets an answer of status 200."""
    try:
        return ask(path, target).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def ask(path: str, target: str) -> bytes:
    """One question on a connection of its own; the whole answer. Raises OSError."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(
            f"GET {target} HTTP/1.1\r\nHost: credd\r\nConnection: close\r\n\r\n".encode()
        )
        return b"".join(iter(lambda: connection.recv(65536), b""))


def cpu_seconds(pid: int) -> float:
    """Seconds of processor time that the first thread of a process has used (schedstat, in ns)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text("ascii").split()[0]) / 1e9


def resident(pid: int) -> float:
    """Resident memory in bytes (proc_pid_statm(5))."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


def private_dirty(pid: int) -> float | None:
    """Bytes that only this process has and that were written; None where we may not look."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    except OSError:
        return None
    return 1024 * float(rollup.partition("Private_Dirty:")[2].partition("kB")[0])


def is_readable(descriptor: int, seconds: float) -> bool:
    """Whether something comes within so many seconds."""
    return bool(select.select([descriptor], [], [], seconds)[0])
