"""Looks at what is held, and tells whoever tells people.

Rules: what calls for a notice, and how often, is decided in core; this room only remembers what was
told. It looks when a flight has landed, and every 30 s besides, because a login may end without a
flight, and a reminder is due although nothing has changed. What has been told is not written down:
a daemon that restarts may say it once more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from credd.broker.holding import Holding
from credd.broker.shelf import Shelf
from credd.broker.surroundings import Surroundings
from credd.core import schedule
from credd.core.notices import Notice, Told, notice_of, told_again
from credd.core.states import state_of

log = logging.getLogger(__name__)

AT_ONCE = 100
"""Holdings looked at without a pause: 1 ms, in which nobody's token waits."""

Causes = dict[tuple[str, str], Told]


class Noticing:
    """Calls `tell` for each notice that is due. `tell` returns at once and never raises."""

    def __init__(self, shelf: Shelf, around: Surroundings, tell: Callable[[Notice], None]) -> None:
        self._shelf = shelf
        self._around = around
        self._tell = tell
        self._told: dict[str, Causes] = {}

    async def run(self) -> None:
        """Look at everything from time to time, until cancelled."""
        while True:
            await self.look_at_all()
            await asyncio.sleep(schedule.LONGEST_SLEEP)

    async def look_at_all(self) -> None:
        """Look at each holding, and forget what was told of those that are gone."""
        holdings = self._shelf.all()
        names = {holding.name for holding in holdings}
        self._told = {name: causes for name, causes in self._told.items() if name in names}
        for number, holding in enumerate(holdings, 1):
            self.look(holding)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)

    def look(self, holding: Holding) -> None:
        """Tell what is due about one holding."""
        now = self._around.now()
        facts = holding.facts(now, unlocked=self._shelf.unlocked)
        state = state_of(facts, now)
        notice = notice_of(holding.name, state, facts, now)
        if notice is None:
            # Locked or logging in is no success; what was told then still counts.
            if holding.name in self._told and state.exit_code == 0 and facts.trouble is None:
                self._forgive(holding.name)
            return
        causes = self._told.setdefault(holding.name, {})
        again = told_again(causes.get(notice.cause), now)
        if again is not None:
            causes[notice.cause] = again
            log.info("a notice about %s: %s (%s)", notice.credential, notice.state, notice.reason)
            self._tell(notice)

    def _forgive(self, name: str) -> None:
        causes = self._told[name]
        self._told[name] = {cause: told.forgiven() for cause, told in causes.items()}
