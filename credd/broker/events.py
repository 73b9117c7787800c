"""What happens, told to whoever watches.

Knows: the holdings, and what they were at the last look. Refuses to know: HTTP. The hard thing is a
watcher who does not keep up: each has a queue of its own with an end, and one that is full costs
its owner the rest, never the others or the broker.

A state may change because time passes, and nobody announces that, so whoever watches makes this
room look, once a second. Without watchers it does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from credd import wire_audit
from credd.broker.holding import Holding
from credd.broker.shelf import Shelf
from credd.broker.surroundings import Surroundings
from credd.core.states import STATES, remedy_of
from credd.errors import LoginRequired, UpstreamUnavailable

LOOK_EVERY = 1.0
"""Seconds: what a person sees change. A look at 5,000 credentials takes 50 ms."""

HEARTBEAT = 15.0
"""Seconds after which a silent stream says that it lives."""

QUEUE = 1024
"""Events that wait for one watcher beyond the present states."""

WATCHERS = 64
"""At once; each one holds a connection anyhow."""

Seen = dict[str, tuple[str, int]]


class Watcher:
    """One who watches: what was told already, and what waits to be."""

    def __init__(self, room: int) -> None:
        self._queue: asyncio.Queue[wire_audit.Event] = asyncio.Queue(QUEUE + room)
        self.is_dropped = False

    def tell(self, event: wire_audit.Event) -> None:
        """Put it into the queue; full, it is emptied, and the watcher is let go."""
        if self.is_dropped:
            return
        if self._queue.full():
            self.is_dropped = True
            while not self._queue.empty():
                self._queue.get_nowait()
            event = {"type": "dropped", "at": event["at"]}
        self._queue.put_nowait(event)

    async def next(self) -> wire_audit.Event | None:
        """The next event; None where there was none for a heartbeat."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEARTBEAT):
                return await self._queue.get()
        return None


class Events:
    """The room of one daemon: `tell` what happens, `stream` to whoever watches."""

    def __init__(self, shelf: Shelf, around: Surroundings) -> None:
        self._shelf = shelf
        self._around = around
        self._watchers: set[Watcher] = set()
        self._looking: asyncio.Task[None] | None = None
        self._seen: Seen = {}
        self._was_unlocked = False
        self._nudged = asyncio.Event()

    async def stream(self) -> AsyncGenerator[wire_audit.Event, None]:
        """How things are, then what happens, until the watcher leaves or falls behind."""
        if len(self._watchers) >= WATCHERS:
            raise UpstreamUnavailable(
                f"{WATCHERS} watch already, the most there may be", reason="too_many_watchers"
            )
        watcher = self._welcome()
        try:
            while True:
                event = await watcher.next()
                yield event or {"type": "heartbeat", "at": self._around.now().wall}
                if event is not None and event["type"] == "dropped":
                    return
        finally:
            await self._part_with(watcher)

    def _welcome(self) -> Watcher:
        self.look()
        holdings = self._shelf.all()
        watcher = Watcher(len(holdings))
        if not self._watchers:
            self._was_unlocked = self._shelf.unlocked
            self._seen = {holding.name: self._facts(holding) for holding in holdings}
            self._looking = asyncio.create_task(self._look_on())
        for holding in holdings:
            watcher.tell(self._state(holding, ""))
        self._watchers.add(watcher)
        return watcher

    async def _part_with(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)
        if not self._watchers and self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def tell(self, kind: str, **fields: object) -> None:
        """Something has happened that no holding shows."""
        event: dict[str, object] = {"type": kind, "at": self._around.now().wall, **fields}
        # Which fields go with which kind, wire_audit.Event says in words: no checker reads those.
        self._spread(event)  # type: ignore[arg-type]

    def nudge(self) -> None:
        """Something may have changed: look soon."""
        self._nudged.set()

    def _spread(self, event: wire_audit.Event) -> None:
        for watcher in self._watchers:
            watcher.tell(event)

    # --- looking -----------------------------------------------------------------------------

    async def _look_on(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._nudged.wait()
            self._nudged.clear()
            self.look()

    def look(self) -> None:
        """Tell what is different from the last look."""
        if not self._watchers:
            return
        if self._shelf.unlocked != self._was_unlocked:
            self._was_unlocked = self._shelf.unlocked
            self.tell("unlocked" if self._was_unlocked else "locked")
        holdings = {holding.name: holding for holding in self._shelf.all()}
        for name in sorted(set(self._seen) - set(holdings)):
            before, _ = self._seen.pop(name)
            self.tell("gone", credential=name, before=before)
        for name, holding in holdings.items():
            self._compare(name, holding)

    def _compare(self, name: str, holding: Holding) -> None:
        (before, generation), now = self._seen.get(name, ("", 0)), self._facts(holding)
        self._seen[name] = now
        if now[1] > generation:
            self.tell("refreshed", credential=name, generation=now[1])
        if now[0] != before:
            self._spread(self._state(holding, before))
            if STATES[now[0]].exit_code == LoginRequired.exit_code and not holding.login:
                remedy = remedy_of(STATES[now[0]], name)
                self.tell("login-needed", credential=name, state=now[0], remedy=remedy)

    def _facts(self, holding: Holding) -> tuple[str, int]:
        state = holding.state(self._around.now(), unlocked=self._shelf.unlocked)
        return state.name, holding.generation

    def _state(self, holding: Holding, before: str) -> wire_audit.Event:
        now = self._around.now()
        state = holding.state(now, unlocked=self._shelf.unlocked)
        return {
            "type": "state",
            "at": now.wall,
            "credential": holding.name,
            "state": state.name,
            "before": before,
            "meaning": state.meaning,
            "remedy": remedy_of(state, holding.name),
            "generation": holding.generation,
        }
