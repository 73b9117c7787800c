"""Tells what was asked and what came of it, whatever that was.

Knows: a request's beginning and its end. Refuses to know: what becomes of the tale. The hard thing
is that nothing may go untold, a refusal, a defect or a caller who left included, and that nothing
of the request itself is told but a credential's name.
"""

from __future__ import annotations

import asyncio
import dataclasses
from types import TracebackType
from typing import TYPE_CHECKING

from aiohttp import web

from credd.api import asking
from credd.core.deeds import NOBODY, OK, Deed
from credd.errors import BadRequest, CreddError

if TYPE_CHECKING:
    from credd.api.interface import Witness

LEFT = "left"
"""The result where the caller left before its answer. What changes something is finished still."""

SCRIPT_WITHIN = 0.05
"""Seconds until a deed is told without the caller's script; reading it takes a tenth of one ms."""


class Seen:
    """One request: `with Seen(...) as note`. `keeps`: whether it belongs into the audit trail."""

    def __init__(
        self, witness: Witness, request: web.Request, what: str, job_socket: str, *, keeps: bool
    ) -> None:
        self._witness = witness
        self._request = request
        self._what = what
        self._job_socket = job_socket
        self._keeps = keeps
        self._note = asking.Note()

    def __enter__(self) -> asking.Note:
        self._witness.began(self._what)
        name = self._request.match_info.get("name", "")
        self._note.credential = name if asking.NAME.fullmatch(name) else ""
        return self._note

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        note = self._note
        deed = Deed(self._what, NOBODY, note.credential, note.generation, result_of(error))
        self._witness.ended(deed)
        if self._keeps:
            keep(self._witness, self._request, deed, self._job_socket)


def result_of(error: BaseException | None) -> str:
    """How it ended, in one word: `ok`, an error's code, or `left`."""
    if error is None:
        return OK
    if isinstance(error, CreddError):
        return error.code
    if isinstance(error, web.HTTPException):
        return BadRequest.code
    if isinstance(error, asyncio.CancelledError | ConnectionError):
        return LEFT
    return CreddError.code


def keep(witness: Witness, request: web.Request, deed: Deed, job_socket: str) -> None:
    """Tell a deed with who did it; a moment later, where its script is being read still."""
    connection = request.protocol
    if getattr(connection, "is_identified", True):
        witness.kept(_with(deed, connection, job_socket))
    else:
        asyncio.get_running_loop().call_later(
            SCRIPT_WITHIN, lambda: witness.kept(_with(deed, connection, job_socket))
        )


def _with(deed: Deed, connection: object, job_socket: str) -> Deed:
    asker = getattr(connection, "asker", NOBODY)
    if asker.socket != job_socket:  # at the main socket they are the same, and copies cost
        asker = dataclasses.replace(asker, socket=job_socket)
    return dataclasses.replace(deed, asker=asker)
