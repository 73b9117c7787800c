"""A trail in a folder, its clock, and what can be done to its files."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from credd.audit.checking import Report, check
from credd.audit.files import Files
from credd.audit.trail import Trail
from credd.core.deeds import Asker, Deed

TRAINER = Asker(1000, 4711, "/usr/bin/python3.11", "/job.slice", "train.py", "")
LIMIT = 20.0


class Wall:
    """A wall clock that a test moves."""

    def __init__(self, at: float = 1_700_000_000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


@contextmanager
def opened(folder: Path, wall: Callable[[], float] | None = None, **files: Any) -> Iterator[Trail]:
    trail = Trail(Files(folder / "audit.jsonl", **files), wall or Wall())
    trail.open()
    try:
        yield trail
    finally:
        trail.close()
        trail.files.close()


def fetch(number: int = 0, **changes: Any) -> Deed:
    """A fetch of generation `number`."""
    return Deed(**{"what": "token", "asker": TRAINER, "credential": "lab",
                   "generation": number, **changes})  # fmt: skip


def write(folder: Path, count: int, **files: Any) -> None:
    """A trail of `count` different lines, closed again."""
    with opened(folder, **files) as trail:
        for number in range(1, count + 1):
            trail.note(fetch(number))
            if files:  # rotation is looked at between two batches
                written(folder, trail.files, number)


def written(folder: Path, files: Files, number: int) -> None:
    until(lambda: files.last.n >= number)


def until(is_so: Callable[[], bool]) -> None:
    """Wait for the writer's thread."""
    end = time.monotonic() + LIMIT
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.002)


def lines(folder: Path) -> list[dict[str, Any]]:
    """All lines, oldest first."""
    files = [*sorted(folder.glob("audit.0*.jsonl")), folder / "audit.jsonl"]
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def checked(folder: Path) -> Report:
    """As a daemon that was just started would find it, but without its own line about it."""
    files = Files(folder / "audit.jsonl")
    files.open()
    snapshot = files.snapshot()
    try:
        return check(snapshot)
    finally:
        snapshot.close()
        files.close()
