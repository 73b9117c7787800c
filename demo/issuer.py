"""The strict issuer on a loopback port: in a test's own process, or as a process by itself.

Knows HTTP, connections and the clock; every decision is ``issuer_core``'s. Refuses to forgive:
``violations`` lists what clients did wrong, for a test to fail on. The one hard thing: a client
that goes away before its answer has lost a reply, and the core must hear of it.

    async with Issuer(Settings(access_lifetime=2)) as issuer:
        issuer.url; issuer.approve(user_code); issuer.faults.lose_reply(); issuer.away()
        assert issuer.violations == []
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from demo.issuer_core import IssuerCore
from demo.issuer_faults import Away, Faults, ReplyLost
from demo.issuer_listener import Listener
from demo.issuer_record import Record
from demo.issuer_request import Reply, Request
from demo.issuer_settings import (
    AUDIENCE,
    BASIC_CLIENT,
    CANARIES,
    CLIENT_SECRET_MARK,
    DEVICE_CODE_MARK,
    OTHER_AUDIENCE,
    POST_CLIENT,
    PUBLIC_CLIENT,
    REFRESH_TOKEN_MARK,
    RESOURCE_SERVER,
    Client,
    Settings,
)

__all__ = [
    "AUDIENCE",
    "BASIC_CLIENT",
    "CANARIES",
    "CLIENT_SECRET_MARK",
    "DEVICE_CODE_MARK",
    "OTHER_AUDIENCE",
    "POST_CLIENT",
    "PUBLIC_CLIENT",
    "REFRESH_TOKEN_MARK",
    "RESOURCE_SERVER",
    "Client",
    "Issuer",
    "Settings",
]


class Issuer:
    """A strict OpenID provider on 127.0.0.1; ``async with`` starts and stops it.

    ``clock`` gives Unix time; ``path`` makes the issuer's URL end in it (``/realms/lab``).
    """

    def __init__(
        self, settings: Settings | None = None, clock: Callable[[], float] = time.time,
        port: int = 0, path: str = "",
    ) -> None:  # fmt: skip
        self._settings = settings
        self._clock = clock
        self._path = path
        self._listener = Listener(self._serve, port)
        self.core = IssuerCore(settings)

    def __repr__(self) -> str:
        return f"<Issuer {self.url} violations={len(self.violations)}>"

    async def __aenter__(self) -> Issuer:
        await self._listener.__aenter__()
        self.core = IssuerCore(self._settings, self._listener.origin + self._path)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        await self._listener.__aexit__(kind, error, trace)

    @property
    def url(self) -> str:
        """The issuer, as a client configures it."""
        return self.core.url

    @property
    def record(self) -> Record:
        """Everything that was seen; ``record.count(kind)``, ``record.in_flight``, ..."""
        return self.core.record

    @property
    def violations(self) -> list[str]:
        """What clients did against the standards, in order. Empty is what tests want."""
        return self.core.record.violations

    @property
    def faults(self) -> Faults:
        """The switches for everything that can go wrong, except ``away``."""
        return self.core.faults

    def approve(self, user_code: str, subject: str = "") -> None:
        """Be the person who says yes. Raises KeyError for an unknown code."""
        self.core.approve(user_code, subject)

    def deny(self, user_code: str) -> None:
        """Be the person who says no. Raises KeyError for an unknown code."""
        self.core.deny(user_code)

    def away(self) -> None:
        """Refuse connections on the port, and break those that are open."""
        self.faults.is_away = True
        self._listener.close()

    async def back(self) -> None:
        """Listen again, on the same port."""
        self.faults.is_away = False
        await self._listener.open()

    def report(self) -> dict[str, Any]:
        """The record and what is pending, as JSON-able data without secrets."""
        pending = self.core.endpoints.devices.pending()
        away = self.faults.is_away
        return {**self.record.report(), "url": self.url, "pending": pending, "is_away": away}

    async def _serve(self, http: web.BaseRequest) -> web.StreamResponse:
        request = await self._read(http)
        with self.core.flight(request, self._clock):
            try:
                reply = await self._answer(request)
            except (ReplyLost, Away):
                return _break(http)
            if http.transport is None or http.transport.is_closing():
                self.core.lose(request)
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)

    async def _read(self, http: web.BaseRequest) -> Request:
        body = (await http.read()).decode("utf-8", "replace")
        pairs = parse_qsl(body, keep_blank_values=True)
        # Without a header of its own a form would be taken for one: here it has to say so.
        headers = {"Content-Type": "", **http.headers}
        return self.core.read(http.method, http.path_qs, headers, pairs)

    async def _answer(self, request: Request) -> Reply:
        seconds, spends_first = self.faults.seconds, self.faults.spends_first
        if not self.core.kind(request).startswith("token"):
            seconds = 0.0
        if not spends_first:
            await asyncio.sleep(seconds)
            return self.core.answer(request, self._clock())
        reply = self.core.answer(request, self._clock())
        await self._hold(request, seconds)
        return reply

    async def _hold(self, request: Request, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.core.lose(request)
            raise


def _break(http: web.BaseRequest) -> web.StreamResponse:
    """Break the connection without a byte of an answer."""
    if http.transport is not None:
        http.transport.abort()
    return web.Response()


if __name__ == "__main__":
    from demo.issuer_process import main

    main()
