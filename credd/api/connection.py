"""One connection: aiohttp's, made discreet and given bounds.

Knows: what aiohttp says by itself, to the other side and to the log, and what it never times out.
Refuses to know: requests that could be parsed. The hard thing is an answer that nobody takes: a
transport that is told to close waits for the other side to read, for ever.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from typing import Any

from aiohttp import web

from credd.api.identity import Scripts, asker_of
from credd.api.problems import response, unexpected
from credd.core.deeds import NOBODY
from credd.errors import BadRequest

TAKEN_WITHIN = 15.0
"""Seconds in which a caller must have taken an answer. Answers are a few kB and fit the socket's
buffer, so one who has not done it by then does not read at all."""

SCRIPTS = Scripts()
"""One for all connections of this process."""

LOGGER = logging.getLogger("credd.api.http")
"""aiohttp's messages about connections go here, through `Discretion`."""


class Connection(web.RequestHandler):
    """The protocol of one connection. `leave` is called when it is lost, once."""

    def __init__(self, manager: web.Server, leave: Callable[[], None], **settings: Any) -> None:
        super().__init__(manager, **settings)
        self._leave = leave
        self._impatience: asyncio.TimerHandle | None = None
        self.asker = NOBODY
        self.is_identified = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hear of every byte that has to wait, from the first one on."""
        if isinstance(transport, asyncio.WriteTransport):
            transport.set_write_buffer_limits(high=0)
        self._identify(transport)
        super().connection_made(transport)

    def _identify(self, transport: asyncio.BaseTransport) -> None:
        """See who connected, while it is certainly there: it waits for an answer."""
        connection = transport.get_extra_info("socket")
        if connection is not None:
            self.asker = asker_of(connection)
        if self.asker.executable:
            self.is_identified = False
            SCRIPTS.ask(self.asker, self._learn_script)

    def _learn_script(self, script: str) -> None:
        self.asker = dataclasses.replace(self.asker, script=script)
        self.is_identified = True

    def pause_writing(self) -> None:
        """Something of an answer waits for the other side to read."""
        super().pause_writing()
        transport = self.transport
        if transport is not None:
            loop = asyncio.get_running_loop()
            self._impatience = loop.call_later(TAKEN_WITHIN, transport.abort)

    def resume_writing(self) -> None:
        """All of it was taken."""
        self._calm_down()
        super().resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell whoever counts."""
        self._calm_down()
        super().connection_lost(exc)
        self._leave()

    def _calm_down(self) -> None:
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's own answer repeats it
    ) -> web.StreamResponse:
        """Answer what could not be parsed, or what broke outside every handler. Closes.

        Nothing is repeated: the line that aiohttp stumbled over may be the rest of a passphrase.
        """
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        if status >= 500:
            answer = response(unexpected(exc or RuntimeError()))
        else:
            answer = response(BadRequest("that is no proper HTTP/1.1", reason="bad_http"), 400)
        answer.force_close()
        return answer


class Discretion(logging.Filter):
    """Keeps values out of aiohttp's own messages: the kind of an error is left, its text is not."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record, and let it pass."""
        kind = record.exc_info[0] if record.exc_info else None
        record.msg, record.args = "a connection broke: %s", (kind.__name__ if kind else "no error",)
        record.exc_info = record.exc_text = record.stack_info = None
        return True


LOGGER.addFilter(Discretion())
