"""Durations as people write and read them: `72h` in, `2 d 23 h` out.

Pure. Everything inside credd is seconds; this is the one place where they get a unit.
"""

from __future__ import annotations

import re
import time

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

_PIECE = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)", re.ASCII)
_WHOLE = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+|\d+(?:\.\d+)?", re.ASCII)

LONGEST = 100 * 365 * 86400
"""Seconds: a hundred years. More is a slip of the finger, and overflows calendars."""


def parse_duration(text: str) -> float:
    """Seconds of `90`, `90s`, `15m`, `72h`, `3d`, `1w` or `1h30m`.

    Raises ValueError, whose message names the forms that are understood.
    """
    compact = text.strip().lower()
    if not _WHOLE.fullmatch(compact):
        raise ValueError(f"{text!r} is no duration; write 90, 90s, 15m, 72h, 3d or 1h30m")
    pieces = _PIECE.findall(compact)
    seconds: float = sum(float(number) * SECONDS[unit or "s"] for number, unit in pieces)
    if seconds > LONGEST:
        raise ValueError(f"{text!r} is more than a hundred years")
    return seconds


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
