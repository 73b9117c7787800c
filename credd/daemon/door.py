"""Keeps the socket where clients look for it.

Rules: a runtime folder can vanish under a living daemon (logind removes /run/user/UID at the last
logout, a cleaner empties /tmp). Then nobody finds us, although we run: so the path is looked at,
and where nothing is there any more, a new socket is bound at it. A socket of somebody else at our
path is left alone and named: it is a second daemon, or a person's decision.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from types import TracebackType
from typing import Self

from credd.api.entrance import Entrance
from credd.errors import CreddError
from credd.world.activation import bind

log = logging.getLogger(__name__)

LOOK_EVERY = 5.0
"""Seconds; a job's own patience with an absent socket is as long."""


class Door:
    """The socket's path, watched; closes what it has bound when its context ends."""

    def __init__(self, path: str, entrance: Entrance) -> None:
        self._path = path
        self._entrance = entrance
        self._bound: socket.socket | None = None
        self._warned = False

    def __repr__(self) -> str:
        return f"<Door {self._path!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bound is not None:
            self._bound.close()

    async def keep(self) -> None:
        """Look, and bind anew where the path is empty, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self.look()

    def look(self) -> None:
        """One look at the path."""
        if not os.path.lexists(self._path):
            self.bind_anew()

    def bind_anew(self) -> None:
        """A new socket at the old path. What can't be done is said once, and tried again."""
        try:
            fresh = bind(self._path)
        except (CreddError, OSError) as error:
            if not self._warned:
                log.error("the socket at %s is gone and can't be made anew: %s", self._path, error)
            self._warned = True
            return
        self._entrance.move(fresh)
        before, self._bound, self._warned = self._bound, fresh, False
        if before is not None:
            before.close()
        log.warning("the socket had vanished; it is at %s again", self._path)
