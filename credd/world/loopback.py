"""A one-shot listener for the answer that an issuer sends by a person's browser (RFC 8252, 7.3).

Knows: sockets on this machine's two loopback addresses. Refuses to know: OAuth (whoever listens
says which query is theirs) and what a request may look like (`callback`). The hard thing: everybody
on this machine can connect here. So whatever is refused changes nothing, a connection has little
time and little room, and the door closes with the first rightful answer, or with whoever waited.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from credd.core.conversation import IsOurs
from credd.core.failures import Failed, Failure, Kind
from credd.world.callback import NAMES, Place, Refused, page, read_query

PATH = "/callback"
"""Where no `redirect_uri` says otherwise. Issuers that compare paths need it registered."""

LONGEST_HEAD = 32 * 1024
"""Bytes; a code of 4 kB and a browser's cookies for localhost stay far below."""

HEAD_WITHIN = 10.0
"""Seconds for a request's head. Browsers open connections ahead and say nothing on them."""

MOST_CONNECTIONS = 32
"""At once; a browser opens six."""

GOODBYE = 2.0
"""Seconds for the last page to reach the browser once the answer is there."""

TRIES = 20
"""Free ports that are tried until one is free on both addresses."""

ADDRESSES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
ABSENT = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETUNREACH})
"""What the kernel says of an address family that this machine has not."""


class Listening:
    """Waits for one answer. `redirect_uri` is its address, as the issuer is told."""

    def __init__(self, redirect_uri: str, place: Place, is_ours: IsOurs) -> None:
        self.redirect_uri = redirect_uri
        self._place = place
        self._is_ours = is_ours
        self._answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._talks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Listening port={self._place.port} answered={self._answer.done()}>"

    async def answer(self) -> str:
        """The first query that was ours."""
        return await asyncio.shield(self._answer)

    def welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection has come in."""
        if len(self._talks) >= MOST_CONNECTIONS:
            writer.transport.abort()
            return
        talk = asyncio.ensure_future(self._talk(reader, writer))
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)

    async def close(self) -> None:
        """End all connections; one that still shows the last page gets a moment for it."""
        self._answer.cancel()
        if self._talks:
            await asyncio.wait(self._talks, timeout=GOODBYE)
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HEAD_WITHIN):
                writer.write(page(await self._status(reader)))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass  # a connection that says nothing, or breaks, is nobody's answer
        finally:
            writer.transport.abort()

    async def _status(self, reader: asyncio.StreamReader) -> int:
        """Which page this request is shown."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return 431
        try:
            query = read_query(head[:-4], self._place)
        except Refused as refused:
            return refused.status
        if self._answer.done() or not self._is_ours(query):
            return 400
        self._answer.set_result(query)
        return 200


@contextlib.asynccontextmanager
async def listening(redirect_uri: str, is_ours: IsOurs) -> AsyncIterator[Listening]:
    """Listen until the context is left. `redirect_uri` may fix host, port and path, or be "".

    Raises Failed where its port is another program's, or where nobody can listen at all.
    """
    host, port, path = _parts(redirect_uri)
    doors = _bound(port)
    async with contextlib.AsyncExitStack() as stack:
        for door in doors:
            stack.callback(door.close)
        port = doors[0].getsockname()[1]
        host = host or ("127.0.0.1" if doors[0].family == socket.AF_INET else "[::1]")
        waiting = Listening(f"http://{host}:{port}{path}", Place(port, path), is_ours)
        stack.push_async_callback(waiting.close)
        for door in doors:
            server = await asyncio.start_server(waiting.welcome, sock=door, limit=LONGEST_HEAD)
            stack.callback(server.close)
        yield waiting


def _parts(redirect_uri: str) -> tuple[str, int, str]:
    """Host ("" for any), port (0 for any) and path. Raises Failed for what is not this machine."""
    if not redirect_uri:
        return "", 0, PATH
    try:
        parts = urlsplit(redirect_uri)
        host, port = parts.netloc.lower(), parts.port or 0
    except ValueError:
        raise _failed("bad_redirect_uri") from None
    host = host.removesuffix(f":{port}") if port else host
    if parts.scheme != "http" or host not in NAMES or parts.query or parts.fragment:
        raise _failed("bad_redirect_uri")
    return host, port, parts.path or "/"


def _bound(port: int) -> list[socket.socket]:
    """A listening socket for each address that this machine has, all on one port. Raises
    Failed."""
    for _ in range(1 if port else TRIES):
        with contextlib.suppress(_Taken):
            return _both(port)
    raise _failed("port_taken")


class _Taken(Exception):
    """Another program has this port on one of the addresses."""


def _both(port: int) -> list[socket.socket]:
    doors: list[socket.socket] = []
    with contextlib.ExitStack() as undo:
        for family, address in ADDRESSES:
            wanted = doors[0].getsockname()[1] if doors else port
            door = _door(family, address, wanted)
            if door is not None:
                undo.callback(door.close)
                doors.append(door)
        if not doors:
            raise _failed("cannot_listen")
        undo.pop_all()
    return doors


def _door(family: socket.AddressFamily, address: str, port: int) -> socket.socket | None:
    """A listening socket, or None where this machine has no such address."""
    with contextlib.ExitStack() as undo:
        try:
            door = socket.socket(family, socket.SOCK_STREAM)
            undo.callback(door.close)
            # A port that we fix must be free again right after a login (TIME_WAIT). On Linux and
            # macOS this takes nobody's listening port away.
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.bind((address, port))
            door.listen(MOST_CONNECTIONS)
        except OSError as error:
            if error.errno in ABSENT:
                return None
            if error.errno == errno.EADDRINUSE:
                raise _Taken from None
            raise _failed("cannot_listen") from None
        door.setblocking(False)
        undo.pop_all()
    return door


def _failed(reason: str) -> Failed:
    return Failed(Failure(Kind.MISCONFIGURED, reason))
