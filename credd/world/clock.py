"""The one place that looks at a clock and throws dice.

Knows: which of the system's clocks runs through suspend, and the name of this boot. Refuses to
know: what anybody waits for. The hard thing: asyncio's own clock stands still in suspend on Linux,
so a deadline is judged by the `Instant` read here, never by how long a task has slept.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from credd.core.instant import Instant

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

# Linux: CLOCK_BOOTTIME counts suspend. macOS has none; its CLOCK_MONOTONIC runs in sleep by its
# documentation (clock_gettime(3)), while time.monotonic() there is another clock, which does not.
_SINCE_BOOT: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def read_boottime() -> float:
    """Seconds since this boot, suspend included."""
    return time.clock_gettime(_SINCE_BOOT)


def read_boot_id(path: Path = BOOT_ID) -> str:
    """The name of this boot.

    Where the system gives none, each process counts as a boot of its own: the next one then trusts
    the wall clock alone, which is the careful side.
    """
    try:
        return path.read_text("ascii").strip() or uuid.uuid4().hex
    except (OSError, UnicodeDecodeError):
        return uuid.uuid4().hex


class Clock:
    """Time and dice. Tests hand in their own; `boot_id` "" asks the system."""

    def __init__(
        self,
        *,
        wall: Callable[[], float] = time.time,
        boottime: Callable[[], float] = read_boottime,
        boot_id: str = "",
        throw: Callable[[], float] = random.random,
    ) -> None:
        self._wall = wall
        self._boottime = boottime
        self._boot_id = boot_id or read_boot_id()
        self._throw = throw

    def __repr__(self) -> str:
        return f"<Clock boot={self._boot_id[:8]} boottime={self._boottime():.0f}>"

    def now(self) -> Instant:
        """This moment, on both clocks."""
        return Instant(self._wall(), self._boottime(), self._boot_id)

    def dice(self) -> float:
        """A number, uniform in [0, 1): jitter, never a secret."""
        return self._throw()
