"""Durations as people write and read them: `72h` in, `2 d 23 h` out.

Pure. Everything inside credd is seconds; what is shown to a person gets its unit here.
"""

from __future__ import annotations

import time

from credd.client.durations import parse_duration

__all__ = ["clock", "parse_duration", "spoken"]


def spoken(seconds: float) -> str:
    """A length of time in at most two units: `42 s`, `4 min`, `2 h 5 min`, `6 d 3 h`."""
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86400:
        return _two(whole, 3600, "h", 60, "min")
    return _two(whole, 86400, "d", 3600, "h")


def _two(whole: int, large: int, large_name: str, small: int, small_name: str) -> str:
    rest = whole % large // small
    first = f"{whole // large} {large_name}"
    return f"{first} {rest} {small_name}" if rest else first


def clock(at: float) -> str:
    """An instant (Unix seconds) on this machine's calendar, to the minute, with its zone."""
    try:
        return time.strftime("%Y-%m-%d %H:%M %Z", time.localtime(at)).strip()
    except (OverflowError, ValueError, OSError):
        return "a time no calendar knows"
