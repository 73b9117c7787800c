"""What the daemon tells the trail, and the one thread that writes it down.

Knows: deeds, the wall clock it is handed, and a queue. Refuses to know: HTTP and tokens. The hard
thing is that a trail must never stop what it watches: telling it is a few dictionary look-ups on
the event loop, the disk belongs to a thread, and a disk that is full or hangs costs lines (which
are counted), never a token.

The first of several equal deeds is written at once; those that follow within a minute are one more
line, with their count. So nothing is late, a crowd of fetches is two lines a minute, and a kill -9
loses at most the counts of the last minute.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from credd.audit.checking import Report, check
from credd.audit.files import Files
from credd.audit.reading import Page, Wanted, read_page
from credd.core.deeds import Asker, Deed

log = logging.getLogger(__name__)

TOGETHER = 60.0
"""Seconds in which equal deeds are one line."""

OPEN_AT_MOST = 1024
"""Different deeds counted at once; beyond that the oldest is written early."""

WAITING_AT_MOST = 10_000
"""Lines that wait for a disk, some 5 MB; beyond that they are counted and lost."""

SYNC_EVERY = 1.0
"""Seconds between two fsyncs while lines come: the loss that a power cut may cause."""

RETRY_EVERY = 5.0
"""Seconds until a disk that refused is tried again."""

LONGEST = 1024
"""Characters of a path that are kept; longer ones are cut, and end in an ellipsis."""

Key = tuple[str, str, int, str, int, str, str, str, str]
Line = dict[str, Any]


@dataclass(slots=True)
class Repeats:
    """Equal deeds after the first one."""

    deed: Deed
    since: float
    first: float = 0.0
    last: float = 0.0
    count: int = 0


class Trail:
    """The trail of one daemon: `open`, then `note` as often as you like, then `close`."""

    def __init__(self, files: Files, wall: Callable[[], float]) -> None:
        self._files = files
        self._wall = wall
        self._open: dict[Key, Repeats] = {}
        self._queue: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
        self._unwritten = 0  # lines in the writer's hands
        self._thread: threading.Thread | None = None
        self.lost = 0
        self.fault = ""
        self.damage = ""

    def __repr__(self) -> str:
        return f"<Trail {self._files!r} lost={self.lost}>"

    # --- telling -----------------------------------------------------------------------------

    def note(self, deed: Deed) -> None:
        """Write this down, together with its like. Returns at once and never raises."""
        now, key = self._wall(), _key(deed)
        before = self._open.get(key)
        if before is not None and 0 <= now - before.since < TOGETHER:
            before.first = before.first or now
            before.last = now
            before.count += 1
            return
        if before is not None:
            self._close(key, before)
        while len(self._open) >= OPEN_AT_MOST:
            oldest = next(iter(self._open))
            self._close(oldest, self._open[oldest])
        self._open[key] = Repeats(deed, now)
        self._put(line_of(deed, now))

    def sweep(self, *, all_of_them: bool = False) -> None:
        """Write what has been counted for a minute; call it every few seconds."""
        now = self._wall()
        for key, repeats in list(self._open.items()):
            if all_of_them or not 0 <= now - repeats.since < TOGETHER:
                self._close(key, repeats)

    def pending(self, credential: str = "") -> list[Line]:
        """What has been counted and not written yet, as lines without numbers."""
        return [
            line_of(one.deed, one.first, one.last, one.count)
            for one in self._open.values()
            if one.count and credential in ("", one.deed.credential)
        ]

    def _close(self, key: Key, repeats: Repeats) -> None:
        del self._open[key]
        if repeats.count:
            self._put(line_of(repeats.deed, repeats.first, repeats.last, repeats.count))

    def _put(self, line: Line) -> None:
        if self._queue.qsize() + self._unwritten >= WAITING_AT_MOST:
            self.lost += 1
            return
        self._queue.put(line)

    # --- looking -----------------------------------------------------------------------------

    def page(self, wanted: Wanted) -> Page:
        """One page of what is written. Blocks on the disk. Raises ValueError and OSError."""
        snapshot = self._files.snapshot()
        try:
            return read_page(snapshot, wanted)
        finally:
            snapshot.close()

    def check(self) -> Report:
        """Follow the whole chain. Blocks on the disk. Raises OSError."""
        snapshot = self._files.snapshot()
        try:
            return check(snapshot)
        finally:
            snapshot.close()

    # --- the writer --------------------------------------------------------------------------

    def open(self) -> None:
        """Start the writer. Never raises: where nothing can be written, that is said and shown."""
        self._thread = threading.Thread(target=self._write_on, name="credd-audit", daemon=True)
        self._thread.start()

    def close(self, within: float = 5.0) -> None:
        """Write what is left, waiting at most `within` seconds for the disk."""
        self.sweep(all_of_them=True)
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join(within)
            if self._thread.is_alive():
                log.error("the audit trail's disk does not answer; its last lines are lost")

    def _write_on(self) -> None:
        writer = Writer(self)
        while writer.turn():
            pass

    def take(self, timeout: float | None) -> Line | None:
        """The next line; None at the end. Raises queue.Empty after `timeout` seconds."""
        return self._queue.get(timeout=timeout)

    def hold(self, count: int) -> None:
        """The writer has so many lines in its hands."""
        self._unwritten = count

    @property
    def files(self) -> Files:
        """Where it is written."""
        return self._files

    @property
    def wall(self) -> Callable[[], float]:
        """The clock."""
        return self._wall


class Writer:
    """The writer's thread: takes lines, appends them, makes them durable once a second."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail
        self._files = trail.files
        self._lines: list[Line] = []
        self._is_open = False
        self._is_dirty = False
        self._is_over = False
        self._said_lost = 0
        self._due = 0.0  # time.monotonic() of the next sync

    def turn(self) -> bool:
        """Wait for something to do, and do it. False once all is done."""
        self._gather()
        try:
            self._write()
        except OSError as error:
            self._complain(error)
        self._trail.hold(len(self._lines))
        return not self._is_over

    def _gather(self) -> None:
        """Take what there is; wait for more no longer than until something is due."""
        try:
            self._take(self._patience())
            while True:
                self._take(0)
        except queue.Empty:
            pass

    def _patience(self) -> float | None:
        if not self._is_open or self._lines:
            return RETRY_EVERY if self._trail.fault else 0
        return max(0.0, self._due - time.monotonic()) if self._is_dirty else None

    def _take(self, timeout: float | None) -> None:
        if self._is_over:
            raise queue.Empty
        line = self._trail.take(timeout)
        if line is None:
            self._is_over = True
        else:
            self._lines.append(line)
            self._trail.hold(len(self._lines))

    def _write(self) -> None:
        if not self._is_open:
            self._report_damage(self._files.open())
            self._is_open = True
        if self._lines:
            self._report_damage(self._files.find_meddling())
            self._files.append([*self._losses(), *self._lines])
            self._lines, self._said_lost = [], self._trail.lost
            self._is_dirty = True
        if self._is_over or time.monotonic() >= self._due:
            self._sync()

    def _sync(self) -> None:
        """One fsync a second at most, however lines come."""
        self._due = time.monotonic() + SYNC_EVERY
        self._files.sync()
        self._is_dirty = False
        if self._trail.fault:
            log.warning("the audit trail is written again")
            self._trail.fault = ""

    def _losses(self) -> list[Line]:
        """A line that says how many others there are not."""
        lost = self._trail.lost - self._said_lost
        return [line_of(Deed("lost"), self._trail.wall(), count=lost)] if lost else []

    def _report_damage(self, fault: str) -> None:
        """Say it, keep it for the findings, and let it stand in the trail itself."""
        if fault:
            log.error("the audit trail is not as it was left: %s", fault)
            self._trail.damage = fault
            self._lines.insert(0, line_of(Deed("damage", result=fault), self._trail.wall()))

    def _complain(self, error: OSError) -> None:
        if not self._trail.fault:
            log.error("the audit trail can't be written (%s); tokens are served", error.strerror)
        self._trail.fault = error.strerror or type(error).__name__


# --- lines -----------------------------------------------------------------------------------


def line_of(deed: Deed, at: float, last: float | None = None, count: int = 1) -> Line:
    """The fields of a line. `at` is the moment of the first, `last` that of the last (Unix
    seconds); fields that say nothing are left out."""
    asker = deed.asker
    line: Line = {"at": round(at, 3), "what": deed.what}
    if count > 1 or last is not None:
        line |= {"last": round(last or at, 3), "count": count}
    named = {
        "credential": deed.credential, "generation": deed.generation, "pid": asker.pid,
        "executable": _cut(asker.executable), "script": _cut(asker.script),
        "cgroup": _cut(asker.cgroup), "socket": asker.socket,
    }  # fmt: skip
    line |= {name: value for name, value in named.items() if value}
    if asker.uid >= 0:
        line["uid"] = asker.uid
    return line | {"result": deed.result}


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def _key(deed: Deed) -> Key:
    """What makes two deeds equal: everything but the process id."""
    asker: Asker = deed.asker
    return (
        deed.what, deed.credential, deed.generation, deed.result,
        asker.uid, asker.executable, asker.script, asker.cgroup, asker.socket,
    )  # fmt: skip
