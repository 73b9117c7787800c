"""Sleeps until the next refresh is due, and looks a little too often.

Rules: the event loop's clock stands still while a machine is suspended, so no sleep is longer than
30 s, and how late a wake-up came tells that the machine slept. The refresher starts flights and
re-tries saving; it decides nothing that a fact does not say.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from credd.broker.broker import Broker
from credd.broker.flights import Flights
from credd.broker.holding import Holding
from credd.broker.shelf import Shelf
from credd.broker.surroundings import Surroundings
from credd.core import schedule
from credd.core.instant import Instant, elapsed, until
from credd.core.model import PRIMARY
from credd.core.schedule import Phase

OVERSLEPT = 60.0
"""Seconds; a sleep of 30 s that took this long was a suspended machine."""

SHORTEST_SLEEP = 0.1
"""Seconds between two looks, at least. A look goes over everything (5,000 credentials: 10 ms), so
those that land or fall due close together must share one."""


Start = Callable[[Holding], None]


class Refresher:
    """Refreshes ahead of expiry, whether or not anybody asks."""

    def __init__(
        self, shelf: Shelf, broker: Broker, flights: Flights, around: Surroundings
    ) -> None:
        self._shelf = shelf
        self._broker = broker
        self._flights = flights
        self._around = around
        self._saving: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Look, sleep, look again, until cancelled."""
        last = self._around.now()
        while True:
            now = self._around.now()
            if elapsed(last, now) > OVERSLEPT:
                self._broker.wake()
            last = now
            await self._sleep(self.look(now))

    def look(self, now: Instant) -> float:
        """Start what is due; seconds until the next look."""
        self._shelf.stirred.clear()
        sleep = schedule.LONGEST_SLEEP
        for holding in self._shelf.all():
            for due, start in self._wants(holding, now):
                if due > 0:
                    sleep = min(sleep, due)
                else:
                    start(holding)
        return max(SHORTEST_SLEEP, sleep)

    async def _sleep(self, seconds: float) -> None:
        """Until something stirs, at most `seconds`, at least the shortest sleep."""
        await asyncio.sleep(SHORTEST_SLEEP)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds - SHORTEST_SLEEP):
                await self._shelf.stirred.wait()

    def _wants(self, holding: Holding, now: Instant) -> list[tuple[float, Start]]:
        """What this holding wants, each with the seconds until then."""
        held_back, wants = _held_back(holding, now), list[tuple[float, Start]]()
        if holding.unsaved:
            wants.append((held_back, self._save))
        due = max(held_back, _refresh_in(holding, now))
        if due > 0 or self._may_refresh(holding, now):  # the cheap question first
            wants.append((due, self._refresh))
        return wants

    def _may_refresh(self, holding: Holding, now: Instant) -> bool:
        if holding.flight is not None or not holding.may_spend():
            return False
        if holding.unsaved and holding.spends():
            return False  # one more secret that the vault can't take would be no better
        if holding.is_too_old(now):
            return False
        return holding.state(now, unlocked=self._shelf.unlocked).refreshes

    def _refresh(self, holding: Holding) -> None:
        self._flights.fly(holding, PRIMARY)

    def _save(self, holding: Holding) -> None:
        holding.hold_until = (self._around.now(), schedule.LOCAL_EVERY)
        task = asyncio.create_task(self._save_and_look(holding))
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)

    async def _save_and_look(self, holding: Holding) -> None:
        await self._flights.save(holding)
        self._shelf.stir()


def _refresh_in(holding: Holding, now: Instant) -> float:
    """Seconds until the primary token should be renewed, or the next try is due."""
    if holding.trouble is not None:
        return holding.trouble.due_in(now)
    token = holding.primary
    if token is None or schedule.phase(token, now) is not Phase.FRESH:
        return 0.0
    return until(token.obtained, token.soft_after or schedule.DAY, now)


def _held_back(holding: Holding, now: Instant) -> float:
    """Seconds of a stagger that are left."""
    if holding.hold_until is None:
        return 0.0
    since, seconds = holding.hold_until
    left = until(since, seconds, now)
    if left <= 0:
        holding.hold_until = None
    return left
