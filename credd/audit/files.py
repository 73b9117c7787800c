"""The trail on disk: appended to, rotated by size, and never rewritten.

Knows: file descriptors and the order in which things become durable. Refuses to know: what a line
says, and who asks. One thread uses it, but for `snapshot`. The hard thing is a disk that fails in
the middle of a line: what was half written is cut off again, so that the chain never grows from a
torn line.

`audit.jsonl` is the newest file; rotation renames it to `audit.<number of its first line>.jsonl`,
and the chain goes on over the files. Lines reach the file at once; every sync makes them durable
and then moves the head.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from credd.audit.chain import UNKNOWN, Link, forge, read_link
from credd.audit.head import Head, read_head, write_head

ROTATE_AT = 8 * 1024 * 1024
"""Bytes of one file: about 30,000 lines, read whole in a tenth of a second."""

KEEP = 9
"""Files besides the newest: with it 80 MiB at most, months of a busy user."""

TAIL = 64 * 1024
"""Bytes read to find the last line; the longest line has a quarter of that."""

_ARCHIVE = re.compile(r"audit\.([0-9]{12})\.jsonl", re.ASCII)


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of the trail as it was at one moment: the number of its first line, where it lies,
    an open descriptor (to be closed by `close`), and how many bytes of it count."""

    first: int
    path: Path
    descriptor: int
    size: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All pieces, oldest first, and the head that belongs to them."""

    pieces: tuple[Piece, ...]
    head: Head | None

    def close(self) -> None:
        """Give the descriptors back."""
        for piece in self.pieces:
            os.close(piece.descriptor)


class Files:
    """The files of one trail, open for appending. `path` is that of `audit.jsonl`."""

    def __init__(self, path: Path, *, rotate_at: int = ROTATE_AT, keep: int = KEEP) -> None:
        self.path = path
        self.head_path = path.with_suffix(".head")
        self._rotate_at = rotate_at
        self._keep = keep
        self._descriptor = -1
        self._size = 0
        self._first = 1
        self._dropped = Link()
        self._saved: Head | None = None
        self._lock = threading.Lock()
        self.last = Link()

    def __repr__(self) -> str:
        return f"<Files {self.path.name} n={self.last.n}>"

    # --- opening -----------------------------------------------------------------------------

    def open(self) -> str:
        """Find the end of the chain and go on from there. Raises OSError.

        Answers with what is wrong with what was found, "" where nothing is. The chain then goes on
        from where the head says it was, so that the gap can be seen for ever.
        """
        with self._lock:
            head = self._saved = read_head(self.head_path)
            self._open_newest()
            tail = self._find_tail()
            self._dropped = head.dropped if head else self._before_oldest()
            self.last, fault = _resume(head, tail)
            self._first = _first_of(self._descriptor, self._size) or self.last.n + 1
        return fault

    def _open_newest(self) -> None:
        """Open `audit.jsonl`, made if need be, and cut a torn line off its end."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        self.close()
        descriptor = os.open(self.path, flags, 0o600)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            os.close(descriptor)
            raise OSError(1, "is no file of ours", str(self.path))
        os.fchmod(descriptor, 0o600)
        self._descriptor, self._size = descriptor, found.st_size
        whole = self._size - _torn_bytes(descriptor, self._size)
        if whole != self._size:
            os.ftruncate(descriptor, whole)
            self._size = whole

    def _find_tail(self) -> Link | None:
        """The last line of the newest file that has one."""
        if self._size:
            return _last_of(self._descriptor, self._size)
        archives = self._archives()
        if not archives:
            return None
        with open(archives[-1][1], "rb") as newest:
            return _last_of(newest.fileno(), os.fstat(newest.fileno()).st_size)

    def _before_oldest(self) -> Link:
        """Without a head, nobody knows what the oldest line followed: only its number shows."""
        archives = self._archives()
        first = archives[0][0] if archives else _first_of(self._descriptor, self._size) or 1
        return Link(first - 1, UNKNOWN) if first > 1 else Link()

    def _archives(self) -> list[tuple[int, Path]]:
        found = [(_ARCHIVE.fullmatch(entry.name), entry) for entry in self.path.parent.iterdir()]
        return sorted((int(match[1]), entry) for match, entry in found if match)

    # --- appending ---------------------------------------------------------------------------

    def append(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Write these lines. Raises OSError, and then none of them is in the file."""
        link, lines = self.last, list[bytes]()
        for fields in entries:
            link, line = forge(link, fields)
            lines.append(line)
        with self._lock:
            if self._descriptor < 0:  # a rotation broke between two files
                self._open_newest()
            if self._size >= self._rotate_at:
                self._rotate()
            self._write(b"".join(lines))
            self.last = link

    def _write(self, data: bytes) -> None:
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)

    def sync(self) -> None:
        """Make what was written durable, then move the head. Raises OSError."""
        os.fsync(self._descriptor)
        self._save_head()

    def _save_head(self) -> None:
        head = Head(self.last, self._dropped)
        if head != self._saved:
            write_head(self.head_path, head)
            self._saved = head

    def find_meddling(self) -> str:
        """What somebody has done to the open file, "" for nothing; it is opened anew then.

        Raises OSError where that can't be done.
        """
        fault = self._meddling()
        if fault:
            with self._lock:
                self._open_newest()
                self._first = _first_of(self._descriptor, self._size) or self.last.n + 1
        return fault

    def _meddling(self) -> str:
        ours = os.fstat(self._descriptor)
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return f"{self.path.name} was removed"
        if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            return f"{self.path.name} was replaced"
        return "" if ours.st_size == self._size else f"{self.path.name} was changed in size"

    # --- rotating ----------------------------------------------------------------------------

    def _rotate(self) -> None:
        """Put the full file aside, begin a new one, and drop the oldest beyond `keep`."""
        os.fsync(self._descriptor)
        self.path.rename(self.path.with_name(f"audit.{self._first:012}.jsonl"))
        self._open_newest()
        self._first = self.last.n + 1
        archives = self._archives()
        gone, kept = archives[: -self._keep], archives[-self._keep :]
        if gone:
            self._dropped = self._last_before(kept[0][0], gone[-1][1])
        self._save_head()  # first: a file that is gone must be known to be
        for _, path in gone:
            path.unlink(missing_ok=True)

    def _last_before(self, first: int, path: Path) -> Link:
        with open(path, "rb") as file:
            found = _last_of(file.fileno(), os.fstat(file.fileno()).st_size)
        return found if found is not None and found.n == first - 1 else Link(first - 1, UNKNOWN)

    # --- looking -----------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The files as they are now; from any thread. Raises OSError."""
        with self._lock:
            head = read_head(self.head_path)
            dropped = head.dropped.n if head else 0
            pieces = list[Piece]()
            try:
                for first, path in self._archives():
                    if first > dropped:
                        pieces.append(_opened(first, path))
                newest = _opened(self._first, self.path)
                size = min(newest.size, self._size)  # a line may be half written just now
                pieces.append(Piece(newest.first, newest.path, newest.descriptor, size))
            except OSError:
                Snapshot(tuple(pieces), None).close()
                raise
        return Snapshot(tuple(pieces), head)

    def close(self) -> None:
        """Give the descriptor back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _resume(head: Head | None, tail: Link | None) -> tuple[Link, str]:
    """From where the chain goes on, and what is wrong with what was found."""
    if head is None:
        return (tail, "audit.head was missing") if tail else (Link(), "")
    if tail is None or tail.n < head.last.n:
        end = tail.n if tail else 0
        return head.last, f"cut off after line {end}, of {head.last.n}"
    if tail.n == head.last.n and tail.hash != head.last.hash:
        return head.last, f"line {tail.n} is not the one that was written"
    return tail, ""


def _opened(first: int, path: Path) -> Piece:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    return Piece(first, path, descriptor, os.fstat(descriptor).st_size)


def _torn_bytes(descriptor: int, size: int) -> int:
    """Bytes after the last newline, within reach: the line that a crash has torn."""
    start = max(0, size - TAIL)
    tail = os.pread(descriptor, TAIL, start)
    return len(tail) - (tail.rfind(b"\n") + 1)


def _last_of(descriptor: int, size: int) -> Link | None:
    tail = os.pread(descriptor, min(TAIL, size), max(0, size - TAIL))
    lines = tail.splitlines(keepends=True)
    return read_link(lines[-1]) if lines else None


def _first_of(descriptor: int, size: int) -> int | None:
    line = os.pread(descriptor, min(TAIL, size), 0).partition(b"\n")
    link = read_link(line[0] + line[1])
    return link.n if link else None
