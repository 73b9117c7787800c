"""G9: what it costs to keep a rotated refresh token, beside appending 4 kB and fdatasync.

    python -m bench.durable_commit [--commits N]

A sealed record is replaced in a vault of 10 and in one of 10,000 credentials, and 4 kB are appended
to a file and synced, in turn, on the same disk. Where strace is installed, the fdatasync and fsync
of 200 commits are counted by it. What a whole refresh costs (its journal entry too) is shown.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import measuring
from bench.household import names as names_of
from bench.measuring import Verdict
from credd.core.keeping import Attempt
from credd.vault.vault import Vault

SYNCS = 1.15
OF_APPEND = 2.0
OF_FEW = 1.3

FEW, MANY = 10, 10_000
COUNTED = 200
NAMES = ["plain", "journalled"]
"""The records that are replaced."""

PAYLOAD = b"p" * 1800
"""Bytes: a record with its refresh token and one access token."""


def main() -> int:
    """Measure, print, and say whether the goals are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--commits", type=int, default=100, help="in a row (100)")
    parser.add_argument("--folder", default=str(measuring.ROOT / "build"), help="on which disk")
    parser.add_argument("--only-keep", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only_keep:
        return _only_keep(Path(options.only_keep), options.commits)
    Path(options.folder).mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        return compare(Path(folder), options.commits)


def compare(folder: Path, commits: int) -> int:
    """Print all, and judge."""
    with opened(folder / "few", FEW) as few, opened(folder / "many", MANY) as many:
        ways: list[tuple[str, Callable[[], float]]] = [
            ("append 4 kB + fdatasync", lambda: append(folder / "log", commits)),
            (f"keep, {FEW} records", Keeping(few, commits)),
            (f"keep, {MANY:,} records", Keeping(many, commits)),
            ("journal and keep", Keeping(few, commits, with_journal=True)),
        ]
        seen = measuring.in_turn([way for _, way in ways], 15)
    for (name, _), values in zip(ways, seen, strict=True):
        print(f"   {name:24} {measuring.listed(values, 1e3, ' ms')}")
    return measuring.judge(
        Verdict("G9", "a durable commit, of append and fdatasync",
                measuring.ratio(seen[1], seen[0]), OF_APPEND),
        Verdict("G9", f"a commit among {MANY:,} records, of one among {FEW}",
                measuring.ratio(seen[2], seen[1]), OF_FEW),
        *_syncs(folder / "counted"),
    )  # fmt: skip


def append(log: Path, times: int) -> float:
    """Seconds for one append of 4 kB that is durable."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    sync = getattr(os, "fdatasync", os.fsync)
    start = time.perf_counter()
    for _ in range(times):
        os.write(descriptor, b"x" * 4096)
        sync(descriptor)
    taken = time.perf_counter() - start
    os.close(descriptor)
    return taken / times


class Keeping:
    """Replaces one record again and again, on the vault's own thread; seconds for one time."""

    def __init__(self, vault: Vault, times: int, *, with_journal: bool = False) -> None:
        self._vault = vault
        self._times = times
        self._with_journal = with_journal
        self._number = 1

    def start_at(self, number: int) -> None:
        """The record's number, where it isn't new."""
        self._number = number

    def __call__(self) -> float:
        return asyncio.run(self._vault._write(self._keep_on))  # noqa: SLF001 - no hop for each

    def _keep_on(self) -> float:
        store = self._vault._opened()  # noqa: SLF001 - as above
        name = NAMES[self._with_journal]
        start = time.perf_counter()
        for _ in range(self._times):
            if self._with_journal:
                attempt = Attempt(f"{self._number:032x}", 1, b"d" * 32, time.time())
                store.journal(name, attempt)
            self._number = store.keep(name, PAYLOAD, self._number)
        return (time.perf_counter() - start) / self._times


# --- vaults ---------------------------------------------------------------------------------


@contextmanager
def opened(folder: Path, count: int = 0) -> Iterator[Vault]:
    """The vault below `folder`; with `count`, a new one of so many records."""
    folder.mkdir(exist_ok=True)
    vault = Vault(folder / "state" / "vault.db", folder / "run", folder / "vault.key", environ={})
    asyncio.run(_fill(vault, count) if count else _open(vault))
    try:
        yield vault
    finally:
        asyncio.run(vault.close())


async def _open(vault: Vault) -> None:
    await vault.open()


async def _fill(vault: Vault, count: int) -> None:
    await vault.create("file")
    store, names = vault._opened(), [*NAMES, *names_of(count)][:count]  # noqa: SLF001

    def fill() -> None:
        for name in names:
            store.keep(name, PAYLOAD, 0)

    await vault._write(fill)  # noqa: SLF001 - ten thousand hops between threads take too long


# --- counting -------------------------------------------------------------------------------


def _syncs(folder: Path) -> list[Verdict]:
    """fdatasync and fsync of a commit, as strace counts them."""
    if not shutil.which("strace"):
        print("   strace is not installed: fdatasync is not counted")
        return []
    with opened(folder, FEW):
        pass
    few, many = _count_syncs(folder, 1), _count_syncs(folder, 1 + COUNTED)
    print(f"   fdatasync and fsync: {many - few} in {COUNTED} commits")
    return [Verdict("G9", "fdatasync of a commit", (many - few) / COUNTED, SYNCS)]


def _count_syncs(folder: Path, commits: int) -> int:
    counting = ["strace", "-f", "-q", "-e", "trace=fdatasync,fsync", sys.executable, "-m"]
    counted = ["bench.durable_commit", "--only-keep", str(folder), "--commits", str(commits)]
    argv = [*counting, *counted]
    done = subprocess.run(argv, check=True, cwd=measuring.ROOT, capture_output=True, text=True)
    return sum("sync(" in line for line in done.stderr.splitlines())


def _only_keep(folder: Path, commits: int) -> int:
    with opened(folder) as vault:
        keeping = Keeping(vault, commits)
        kept = asyncio.run(vault.load())
        keeping.start_at(next(one.number for one in kept if one.name == NAMES[0]))
        keeping()
    return 0


if __name__ == "__main__":
    sys.exit(main())
