"""The trail, page by page.

Knows: the files, and what a filter is. Refuses to know: who asks, and whether the chain is whole
(that is `checking`). The hard thing is to go on where the last page ended although a file was
rotated meanwhile: a cursor names a file by the number of its first line, and a byte in it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from credd.audit.checking import lines_of
from credd.audit.files import Piece, Snapshot

CURSOR = re.compile(r"([0-9]{1,18})-([0-9]{1,18})", re.ASCII)

MOST_LINES = 1000
"""Of one page: about 300 kB."""

MOST_BYTES = 4 * 1024 * 1024
"""Read for one page at most, so that a filter that matches nothing holds nobody up for long."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines: of one credential ("" for all), not before `since` (Unix seconds), from `cursor`
    on ("" from the beginning), at most `limit`."""

    credential: str = ""
    since: float = 0.0
    cursor: str = ""
    limit: int = MOST_LINES


@dataclass(frozen=True, slots=True)
class Page:
    """Lines, oldest first; the cursor after them; whether there is more by now."""

    entries: list[dict[str, Any]]
    cursor: str
    more: bool


def read_page(snapshot: Snapshot, wanted: Wanted) -> Page:
    """One page. Raises ValueError for a cursor of nobody's, OSError where a file can't be read."""
    reader = _Reader(wanted, _place(wanted.cursor))
    for piece in snapshot.pieces:
        if not reader.read(piece):
            break
    return Page(reader.entries, f"{reader.first}-{reader.offset}", reader.more)


def _place(cursor: str) -> tuple[int, int]:
    if not cursor:
        return 0, 0
    match = CURSOR.fullmatch(cursor)
    if match is None:
        raise ValueError("no cursor of ours")
    return int(match[1]), int(match[2])


class _Reader:
    """Goes through the files and remembers how far it came."""

    def __init__(self, wanted: Wanted, place: tuple[int, int]) -> None:
        self._wanted = wanted
        self._limit = max(1, min(wanted.limit, MOST_LINES))
        self._bytes = MOST_BYTES
        self.first, self.offset = place
        self.entries = list[dict[str, Any]]()
        self.more = False

    def read(self, piece: Piece) -> bool:
        """Read on in this file. False once the page is full."""
        if piece.first < self.first:
            return True
        if piece.first > self.first:
            self.first, self.offset = piece.first, 0
        for line in lines_of(piece, self.offset):
            if len(self.entries) >= self._limit or self._bytes <= 0:
                self.more = True
                return False
            self.offset += len(line)
            self._bytes -= len(line)
            self._take(line)
        return True

    def _take(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            return  # `--verify` names it
        if isinstance(entry, dict) and self._matches(entry):
            entry.pop("hash", None)
            self.entries.append(entry)

    def _matches(self, entry: dict[str, Any]) -> bool:
        at = entry.get("last", entry.get("at", 0.0))
        is_recent = isinstance(at, int | float) and at >= self._wanted.since
        return is_recent and self._wanted.credential in ("", entry.get("credential"))
