"""A loopback port that can go away and come back, for servers that must be missed.

Knows sockets. Refuses to know what is served. The one hard thing: while the port is closed
nobody else may get it, not even as the source port of a client that is trying to connect to it
(Linux would then connect the client to itself). So a second socket, bound and never listening,
keeps it for the whole life of the listener.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from types import TracebackType

from aiohttp import web

LOOPBACK = "127.0.0.1"
BACKLOG = 1024  # a thousand clients at once must not be refused by the kernel
GOODBYE = 0.2  # seconds for handlers to end at close; they are cancelled after it

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Listener:
    """Serves a handler on a loopback port; ``async with`` opens and closes it."""

    def __init__(self, handler: Handler, port: int = 0) -> None:
        self._handler = handler
        self._wanted_port = port
        self._keeper: socket.socket | None = None
        self._server: web.Server | None = None
        self._accepting: asyncio.Server | None = None
        self.port = 0

    def __repr__(self) -> str:
        return f"<Listener {self.origin} {'open' if self._accepting else 'closed'}>"

    @property
    def origin(self) -> str:
        """Scheme, host and port, as a URL without a path."""
        return f"http://{LOOPBACK}:{self.port}"

    async def __aenter__(self) -> Listener:
        self._keeper = _bound(self._wanted_port)
        self.port = self._keeper.getsockname()[1]
        # A handler is cancelled when its client goes away: so we know whose reply is lost.
        self._server = web.Server(self._handler, handler_cancellation=True, access_log=None)
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()
        if self._server is not None:
            await self._server.shutdown(GOODBYE)
        if self._keeper is not None:
            self._keeper.close()

    async def open(self) -> None:
        """Accept connections (again), on the same port."""
        if self._accepting is not None or self._server is None:
            return
        if sys.platform != "linux" and self._keeper is not None:
            self._keeper.close()  # elsewhere a bound socket bars the second one
        loop = asyncio.get_running_loop()
        self._accepting = await loop.create_server(
            self._server, sock=_bound(self.port), backlog=BACKLOG
        )

    def close(self) -> None:
        """Refuse connections, and break those that are open."""
        if self._accepting is None or self._server is None:
            return
        self._accepting.close()
        self._accepting = None
        for connection in self._server.connections:
            connection.force_close()


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((LOOPBACK, port))
    return bound
