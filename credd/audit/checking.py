"""Finds the line that was removed, edited, swapped or cut off, and names it.

Knows: a snapshot of the files, and the chain. Refuses to know: what a line is about. The hard thing
is to blame the right line: after a fault, the chain is followed from what the next line claims, so
that one edit is one finding and not ten thousand.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from credd.audit.chain import UNKNOWN, Link, follows, read_link
from credd.audit.files import Piece, Snapshot

MOST_FAULTS = 100
"""Findings that are listed: a file of noise must not fill an answer."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One finding: the file, its line there (from 1; 0 for the file as a whole), the number of the
    line in the trail (0 where none can be told), and what is wrong."""

    file: str
    line: int
    n: int
    message: str


@dataclass
class Report:
    """What a check found. `lines` were read, from number `first` to number `last`."""

    lines: int = 0
    first: int = 0
    last: int = 0
    faults: list[Fault] = field(default_factory=list)


def check(snapshot: Snapshot) -> Report:
    """Follow the whole chain. Raises OSError where a file can't be read."""
    head = snapshot.head
    walk = _Walk(head.dropped if head else Link(0, UNKNOWN), head.last if head else None)
    for piece in snapshot.pieces:
        for number, line in enumerate(lines_of(piece), start=1):
            walk.step(piece.path.name, number, line)
    walk.end(snapshot.pieces[-1].path.name if snapshot.pieces else "audit.jsonl")
    if head is None and walk.report.lines:
        walk.blame("audit.head", 0, 0, "is missing, so a cut-off end can't be noticed")
    return walk.report


class _Walk:
    """The way along the chain: `before` is the newest line that stood in its place."""

    def __init__(self, before: Link, known: Link | None) -> None:
        self._before = before
        self._known = known
        self._is_start = True
        self.report = Report()

    def blame(self, file: str, line: int, n: int, message: str) -> None:
        if len(self.report.faults) < MOST_FAULTS:
            self.report.faults.append(Fault(file, line, n, message))

    def step(self, file: str, number: int, line: bytes) -> None:
        """Judge one line, as bytes with its newline."""
        report, before = self.report, self._before
        report.lines += 1
        link = read_link(line)
        if link is None:
            self.blame(file, number, before.n + 1, "is no line of the trail")
            return
        report.first = report.first or link.n
        fault = self._fault(line, link)
        if fault:
            self.blame(file, number, link.n, fault)
        if link.n > before.n:
            self._before, report.last = link, link.n
        self._is_start = False

    def _fault(self, line: bytes, link: Link) -> str:
        before = self._before
        if self._is_start and before.hash == UNKNOWN and before.n in (0, link.n - 1):
            return ""  # nobody knows what it followed
        if link.n <= before.n:
            return f"line {link.n} stands after line {before.n}, out of its place"
        if link.n > before.n + 1:
            return f"{_span(before.n + 1, link.n - 1)} missing before line {link.n}"
        if not follows(before, line):
            return f"line {link.n} is not as it was written, or does not follow line {before.n}"
        if self._known is not None and self._known.n == link.n and self._known.hash != link.hash:
            return f"line {link.n} is not the one that audit.head knows"
        return ""

    def end(self, file: str) -> None:
        """Nothing comes any more: compare with how far the trail went."""
        if self._known is not None and self._before.n < self._known.n:
            missing = _span(self._before.n + 1, self._known.n)
            self.blame(file, 0, self._before.n + 1, f"cut off: {missing} gone")


def _span(first: int, last: int) -> str:
    return f"line {first} is" if first == last else f"lines {first} to {last} are"


def lines_of(piece: Piece, offset: int = 0) -> Iterator[bytes]:
    """The lines of one file from a byte on, with their newlines."""
    with open(os.dup(piece.descriptor), "rb") as file:
        file.seek(offset)
        left = piece.size - offset
        while left > 0 and (line := file.readline(left)):
            left -= len(line)
            yield line
