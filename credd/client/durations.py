"""Lengths of time as people write them: `90`, `15m`, `72h`, `1h30m`.

Pure. Everything inside credd is seconds; what a person types becomes that here, for clients and
credd-ctl alike.
"""

from __future__ import annotations

import re

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
