"""G6: the daemon's memory with 100 credentials, beside a bare asyncio daemon.

    python -m bench.memory [--requests N]

Both are started in turn, asked once, and measured by what the kernel says of them: resident memory,
and the part that is theirs alone and was written. Then one credd answers 100,000 requests on 64
connections and is measured again, and once more after 5,000 clients came, asked and went.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import measuring
from bench.crowd import Crowd
from bench.household import Household, Stock, names
from bench.installing import Installed
from bench.measuring import ROOT, Verdict

RESIDENT = 2.5
DIRTY = 2.8
AFTER_REQUESTS = 1.05
AFTER_CLIENTS = 1.4

CLIENTS = 5000
ARRIVING = 500
"""Clients at once, in ten waves."""

TARGET = f"/v1/credentials/{names(1)[0]}/token"

WHY_RESIDENT = (
    "all libraries are loaded before it says ready, so that an upgrade can't put new code into an "
    "old process; of 44 MB above the bare daemon's, aiohttp is 17, cryptography 7, credd itself 7, "
    "jwt and keyring 2 each, watchfiles, msgspec and SQLite 1 each"
)


def main() -> int:
    """Measure, print, and say whether the goals are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=100_000, help="to answer (100,000)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        installed = Installed(Path(folder) / "venv")
        house = Household(Path(folder) / "home", installed, Stock(100))
        verdicts = beside_the_bare_one(house, installed, Path(folder) / "bare")
        return measuring.judge(*verdicts, *after_work(house, options.requests))


def beside_the_bare_one(house: Household, installed: Installed, path: Path) -> list[Verdict]:
    """Start both in turn, and compare what they hold."""
    bare = [str(installed.python), str(ROOT / "bench" / "peers.py"), "protocol", str(path)]
    environ = measuring.clean_environ()
    dirty: list[list[float]] = [[], []]
    resident = measuring.in_turn(
        [
            lambda: _weigh(bare, str(path), environ, "/", dirty[0]),
            lambda: _weigh(house.argv, house.socket, house.environ, TARGET, dirty[1]),
        ],
        5,
    )
    for name, values in zip(("bare asyncio", "credd"), resident, strict=True):
        print(f"   {name:12} resident {measuring.listed(values, 1e-6, ' MB')}")
    verdicts = [
        Verdict("G6", "resident memory with 100 credentials, of a bare asyncio daemon's",
                measuring.ratio(resident[1], resident[0]), RESIDENT, why=WHY_RESIDENT)
    ]  # fmt: skip
    if not all(dirty):
        print("   private memory is not compared: only root may look into the daemon")
        return verdicts
    what = "private dirty memory with 100 credentials, of a bare asyncio daemon's"
    own = Verdict("G6", what, measuring.ratio(dirty[1], dirty[0]), DIRTY, why=WHY_RESIDENT)
    return [*verdicts, own]


def _weigh(
    argv: list[str], path: str, environ: dict[str, str], target: str, dirty: list[float]
) -> float:
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()
    with measuring.running(argv, path, environ) as server:
        measuring.ask(path, target)
        own = measuring.private_dirty(server.pid)
        if own is not None:
            dirty.append(own)
        return measuring.resident(server.pid)


def after_work(house: Household, requests: int) -> list[Verdict]:
    """How the same daemon has grown by answering, and by a crowd that has left."""
    with house.served() as daemon:
        _answer(house, 2000)  # what the first requests load belongs to the start
        first = measuring.resident(daemon.pid)
        answered = _answer(house, requests)
        second = measuring.resident(daemon.pid)
        _come_and_go(house)
        third = _settled(lambda: measuring.resident(daemon.pid))
    megabytes = ", ".join(f"{size / 1e6:.1f}" for size in (first, second, third))
    print(f"   credd, MB: {megabytes} (at first, after {answered:,} requests, after {CLIENTS:,} "
          "clients)")  # fmt: skip
    return [
        Verdict("G6", f"resident memory after {answered:,} requests, of its own at first",
                second / first, AFTER_REQUESTS),
        Verdict("G6", f"resident memory after {CLIENTS:,} clients came and went, of its own",
                third / first, AFTER_CLIENTS),
    ]  # fmt: skip


def _answer(house: Household, requests: int) -> int:
    with Crowd(house.socket, 64) as crowd:
        done = 0
        while done < requests:
            done += crowd.load(TARGET, 0.2).answers
    return done


def _come_and_go(house: Household) -> None:
    for _ in range(CLIENTS // ARRIVING):
        with Crowd(house.socket, ARRIVING) as crowd:
            crowd.burst(TARGET)


def _settled(look: Callable[[], float]) -> float:
    """The value once the daemon has let go of those who left: when two looks agree."""
    before = look()
    for _ in range(20):
        time.sleep(0.1)  # far apart enough for the daemon to close what it is closing
        now = look()
        if now == before:
            break
        before = now
    return before


if __name__ == "__main__":
    sys.exit(main())
