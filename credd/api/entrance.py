"""Lets callers in, one connection each, and shows the others out before they have said a word.

Knows: the listening socket, who is calling, how many are in. Refuses to know: HTTP. The hard thing
is a crowd. asyncio's own accept loop, out of descriptors, wrote 44,000 log records in 3 s and kept
a core busy; so this is another one: when no more can be let in it stops accepting for a moment, and
whoever comes waits in the listener's queue, where a connection costs us nothing and is not lost.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Self

from credd.api import namespaces
from credd.api.peers import Peer, peer_of
from credd.core.deeds import Asker, Deed, Told

log = logging.getLogger(__name__)

AT_ONCE = 32
"""Connections accepted in one turn of the loop: those who are in wait for the answer meanwhile."""

CROWDED_PAUSE = 0.1
"""Seconds until we look again whether one of those who are in has left."""

EXHAUSTED_PAUSE = 1.0
"""Seconds until the next try when the system has no descriptor or memory left: as asyncio does."""

SELDOM = 60.0
"""Seconds between two log lines about the same thing: a hostile caller must not fill the disk."""


def connection_limit(files: int) -> int:
    """How many may be in, given RLIMIT_NOFILE: enough is left for issuers, vault and sinks.

    256 covers 64 requests in flight four times; a tiny limit is halved.
    """
    return max(1, files - min(256, files // 2))


FindFault = Callable[[socket.socket], str]
"""What else is wrong with a caller of the right uid, in words; "" for nothing."""

Factory = Callable[[Callable[[], None]], asyncio.BaseProtocol]
"""Makes the protocol of one connection, which calls what it is handed when that is lost."""


class Entrance:
    """Accepts connections while it is open: `async with Entrance(...)`.

    Only callers of `uids` are let in, with whom `find_fault` finds no fault, at most `limit` at a
    time. Afterwards the listener is still open and still its owner's to close.
    """

    def __init__(
        self,
        listener: socket.socket,
        factory: Factory,
        *,
        uids: frozenset[int],
        limit: int,
        read_peer: Callable[[socket.socket], Peer] = peer_of,
        find_fault: FindFault = namespaces.fault_of,
        refused: Told = lambda _: None,
    ) -> None:
        self._listener = listener
        self._factory = factory
        self._uids = uids
        self._limit = limit
        self._read_peer = read_peer
        self._find_fault = find_fault
        self._refused = refused
        self._guests: set[object] = set()
        self._arriving: set[asyncio.Task[None]] = set()
        self._at_door: socket.socket | None = None
        self._reopening: asyncio.TimerHandle | None = None
        self._said: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<Entrance inside={self.inside()} limit={self._limit}>"

    def inside(self) -> int:
        """How many connections there are."""
        return len(self._guests)

    async def __aenter__(self) -> Self:
        self._loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self._listener.setblocking(False)
        self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.remove_reader(self._listener)
        if self._reopening is not None:
            self._reopening.cancel()
        if self._at_door is not None:
            self._at_door.close()
        if self._arriving:
            await asyncio.wait(self._arriving)

    def move(self, listener: socket.socket) -> None:
        """Let callers in through `listener` from now on; those inside stay. The old one is still
        its owner's to close."""
        listener.setblocking(False)
        self._loop.remove_reader(self._listener)
        if self._reopening is not None:
            self._reopening.cancel()
        self._listener = listener
        self._open()

    # --- accepting ---------------------------------------------------------------------------

    def _open(self) -> None:
        self._loop.add_reader(self._listener, self._accept)
        if self._at_door is not None:
            self._loop.call_soon(self._accept)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._reopening = self._loop.call_later(seconds, self._open)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            if self.inside() >= self._limit:
                self._say("%d connections, the most there may be; others wait", self._limit)
                return self._pause(CROWDED_PAUSE)
            try:
                connection, fault = self._next()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return None
            except OSError as error:
                self._say("can't accept connections: %s", error.strerror)
                return self._pause(EXHAUSTED_PAUSE)
            if fault:
                connection.close()  # before a byte is read
            else:
                self._admit(connection)
        return None

    def _next(self) -> tuple[socket.socket, str]:
        """The next caller, and why it is shown out, "" where it isn't. Raises OSError as accept(2)
        does, and where a look at the caller takes a descriptor and none is left: then it stays at
        the door until there is one."""
        self._at_door = connection = self._at_door or self._listener.accept()[0]
        fault = self._fault_of(connection)
        self._at_door = None
        return connection, fault

    def _fault_of(self, connection: socket.socket) -> str:
        try:
            peer = self._read_peer(connection)
        except OSError:
            peer = Peer(-1, 0)  # nobody knows who it is, so it is nobody
        if peer.uid not in self._uids:
            self._say("refused a caller of uid %d (pid %d)", peer.uid, peer.pid)
            self._refused(Deed("connect", Asker(peer.uid, peer.pid), result="another_uid"))
            return "another uid"
        fault = self._find_fault(connection)
        if fault:
            self._say("refused a caller (pid %d): it %s", peer.pid, fault)
            self._refused(Deed("connect", Asker(peer.uid, peer.pid), result="namespaces"))
        return fault

    def _admit(self, connection: socket.socket) -> None:
        guest = object()
        self._guests.add(guest)
        task = self._loop.create_task(self._receive(connection, guest))
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    async def _receive(self, connection: socket.socket, guest: object) -> None:
        # Counted by hand: a closed transport lives on until the garbage is collected, so whether
        # one is still referred to says nothing.
        leave = functools.partial(self._guests.discard, guest)
        make = functools.partial(self._factory, leave)
        try:
            await self._loop.connect_accepted_socket(make, connection)
        except Exception as error:  # noqa: BLE001 - one lost caller must not leak its descriptor
            leave()
            connection.close()
            self._say("a caller was lost at the door: %s", type(error).__name__)

    def _say(self, text: str, *values: object) -> None:
        now = self._loop.time()
        if now - self._said.get(text, -SELDOM) >= SELDOM:
            self._said[text] = now
            log.warning(text, *values)
