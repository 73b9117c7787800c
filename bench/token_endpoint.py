"""G1: how many tokens a second, beside the least HTTP server and beside bare aiohttp.

    python -m bench.token_endpoint [--rounds N]

64 clients on kept-alive connections ask for a token of one of 100 credentials. Asked in turn are
credd, a hand-written asyncio.Protocol that always says the same bytes, and an aiohttp.web
application with a prepared answer of the same size. Servers run on one core, the clients on
another. The processor time of a request is shown too: it says what the server costs where the
clients are slow.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import measuring
from bench.crowd import Crowd, Run
from bench.household import Household, Stock, names
from bench.installing import Installed
from bench.measuring import ROOT, Verdict

CLIENTS = 64
WINDOW = 0.4
"""Seconds of load at a time: long enough for thousands of answers, short enough to take turns."""

OF_PROTOCOL = 0.17
OF_AIOHTTP = 0.85

WHY_AIOHTTP = (
    "a prepared answer is not taken apart, decided, counted, noted in an audit trail, or written "
    "as JSON; half of a fetch's processor time is still aiohttp's and the kernel's"
)


@dataclass
class Contestant:
    """A server with its crowd, and what was seen of it."""

    name: str
    pid: int
    crowd: Crowd
    target: str
    runs: list[Run] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def measure(self) -> float:
        """Answers a second under load."""
        before = measuring.cpu_seconds(self.pid)
        run = self.crowd.load(self.target, WINDOW)
        self.runs.append(run)
        self.cpu.append((measuring.cpu_seconds(self.pid) - before) / run.answers)
        return run.rate

    def line(self, rates: list[float]) -> str:
        """What was seen, for people."""
        busy = statistics.median(run.busy for run in self.runs)
        cpu = statistics.median(self.cpu) * 1e6
        limited = ", and may be the limit" if busy > 0.9 else ""
        return (
            f"   {self.name:10} {measuring.listed(rates)} tokens/s, {cpu:.1f} us of CPU each; "
            f"clients busy {busy:.0%}{limited}"
        )


def main() -> int:
    """Measure, print, and say whether the goals are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="windows of each server (15)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        contestants = list(_start(Path(folder), stack))
        return compare(contestants, options.rounds)


def _start(folder: Path, stack: contextlib.ExitStack) -> Iterator[Contestant]:
    installed = Installed(folder / "venv")
    house = Household(folder / "home", installed, Stock(100))
    target = f"/v1/credentials/{names(1)[0]}/token"
    daemon = stack.enter_context(house.served())
    body = folder / "body.json"
    body.write_bytes(measuring.ask(house.socket, target).partition(b"\r\n\r\n")[2])
    for kind in ("protocol", "aiohttp"):
        socket = str(folder / kind)
        argv = [installed.python, ROOT / "bench" / "peers.py", kind, socket, body]
        server = stack.enter_context(measuring.running(argv, socket, measuring.clean_environ()))
        yield _contestant(kind, server.pid, socket, target, stack)
    yield _contestant("credd", daemon.pid, house.socket, target, stack)


def _contestant(
    name: str, pid: int, socket: str, target: str, stack: contextlib.ExitStack
) -> Contestant:
    measuring.pin(0, pid)
    measuring.pin(1)
    return Contestant(name, pid, stack.enter_context(Crowd(socket, CLIENTS)), target)


def compare(contestants: list[Contestant], rounds: int) -> int:
    """Print what each can do, and judge ours."""
    seen = measuring.in_turn([one.measure for one in contestants], rounds)
    protocol, aiohttp, ours = seen
    for one, rates in zip(contestants, seen, strict=True):
        print(one.line(rates))
    what = f"token endpoint, {CLIENTS} kept-alive clients"
    return measuring.judge(
        Verdict("G1", f"{what}, tokens/s of a bare asyncio.Protocol server's",
                measuring.ratio(ours, protocol), OF_PROTOCOL, at_least=True),
        Verdict("G1", f"{what}, tokens/s of a bare aiohttp.web application's",
                measuring.ratio(ours, aiohttp), OF_AIOHTTP, at_least=True, why=WHY_AIOHTTP),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
