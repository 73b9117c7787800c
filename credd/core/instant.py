"""Moments that survive suspend, clock steps and reboots.

Rules: a moment is written down on two clocks at once, the wall clock and the time since boot (which
counts suspend). How long ago it was is the larger of the two answers: a forward step of the wall
clock only ages a token, a backward step never makes it younger, and a paused virtual machine, whose
boot clock stands still, is caught by its wall clock. After another boot only the wall clock counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment: `wall` in Unix seconds, `boottime` in seconds since the boot named `boot_id`."""

    wall: float
    boottime: float
    boot_id: str

    def to_json(self) -> list[object]:
        """For the sealed record: `[wall, boottime, boot_id]`."""
        return [self.wall, self.boottime, self.boot_id]

    @classmethod
    def from_json(cls, value: list[object]) -> Instant:
        """The moment that `to_json` wrote down. Raises ValueError on anything else."""
        wall, boottime, boot_id = (str(part) for part in value)
        clocks = float(wall), float(boottime)
        if not all(map(math.isfinite, clocks)):
            raise ValueError("no clock shows that")
        return cls(*clocks, boot_id)


def elapsed(since: Instant, now: Instant) -> float:
    """Seconds from `since` to `now`, by the clock that says more.

    Infinite when the machine has booted in between and its wall clock is earlier than `since`: then
    no clock can tell, and whatever waited for a time to pass must not wait any longer.
    """
    by_wall = now.wall - since.wall
    if now.boot_id == since.boot_id:
        return max(by_wall, now.boottime - since.boottime)
    return by_wall if by_wall >= 0 else math.inf


def until(since: Instant, seconds: float, now: Instant) -> float:
    """Seconds from `now` until `seconds` have passed since `since`; never negative."""
    return max(0.0, seconds - elapsed(since, now))
