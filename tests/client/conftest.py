"""A private folder for sockets, and an environment without a trace of the person who runs tests."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator

import pytest

from credd.client import patience, raw


@pytest.fixture(autouse=True)
def no_settings_of_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test talks to a daemon that really runs here."""
    for name in list(os.environ):
        if name.startswith("CREDD_"):
            monkeypatch.delenv(name)


@pytest.fixture
def folder() -> Iterator[str]:
    """A folder for a socket, 0700. pytest's own are too long for a socket's path."""
    made = tempfile.mkdtemp(prefix="credd-")
    yield made
    shutil.rmtree(made)


@pytest.fixture
def path(folder: str) -> str:
    """Where the socket of a test is, or is not yet."""
    return folder + "/credd.sock"


class SkippingClock:
    """The monotonic clock, except that sleeping takes no time and is written down."""

    def __init__(self) -> None:
        self.skipped = 0.0
        self.pauses: list[float] = []
        self.on_sleep: Callable[[int], None] = lambda count: None

    def monotonic(self) -> float:
        return time.monotonic() + self.skipped

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.skipped += seconds
        self.on_sleep(len(self.pauses))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SkippingClock:
    """Waiting takes no time; `on_sleep(how often)` is called at each pause."""
    skipping = SkippingClock()
    monkeypatch.setattr(patience, "time", skipping)
    monkeypatch.setattr(raw, "time", skipping)
    return skipping
