"""One token request on its way through the fault proxy: its record, and what can happen to it.

Knows: when it came, what became of it, and of its secrets only the sha256. Refuses to know: HTTP.
The hard thing: a verdict given before the request comes counts just as one given while it waits.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field

WAIT_LIMIT = 30.0
"""Seconds that a test waits for a moment of the proxy; three times the longest refresh interval."""


def sha256(value: str | None) -> str | None:
    """What is kept of a secret."""
    return hashlib.sha256(value.encode()).hexdigest() if value else None


@dataclass
class TokenRequest:
    """One token request: what was posted, when, and how it ended. Times are Unix seconds.

    `outcome`: `in-flight`, `answered`, `replaced` (our own answer), `never-forwarded`,
    `reply-lost` (the provider answered, the client was cut off), `unreachable` (no provider).
    """

    number: int
    arrived_at: float
    grant_type: str = ""
    scope: str | None = None
    refresh_token_sha256: str | None = None
    forwarded_at: float | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    outcome: str = "in-flight"
    status: int | None = None
    error: str | None = None
    access_token_sha256: str | None = None


class Hold:
    """A token request held at one place until the test says how it goes on."""

    def __init__(self) -> None:
        self._reached: asyncio.Future[TokenRequest] = asyncio.get_running_loop().create_future()
        self._verdict: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def reached(self) -> TokenRequest:
        """Wait until a request is held here."""
        return await asyncio.wait_for(asyncio.shield(self._reached), WAIT_LIMIT)

    def release(self) -> None:
        """Let it go on, now or when it comes."""
        self._decide(True)

    def drop(self) -> None:
        """Cut the connection, now or when it comes: nothing more reaches either side."""
        self._decide(False)

    async def passes(self, request: TokenRequest) -> bool:
        """The proxy's side: wait for the verdict."""
        if not self._reached.done():
            self._reached.set_result(request)
        return await asyncio.shield(self._verdict)

    def _decide(self, goes_on: bool) -> None:
        if not self._verdict.done():
            self._verdict.set_result(goes_on)


@dataclass
class Answer:
    """An answer of ours in the provider's place: the request is not forwarded."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
