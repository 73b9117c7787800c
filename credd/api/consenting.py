"""Asks for a person's consent before a token goes out, where the configuration wants it.

Knows: who is at the other end, and through which socket. Refuses to know: how a person is asked.
"""

from __future__ import annotations

import dataclasses

from aiohttp import web

from credd.api.asking import Asked
from credd.api.interface import Front
from credd.core.deeds import NOBODY, Asker

JOB_SOCKET: web.AppKey[str] = web.AppKey("job_socket", str)
"""The job socket that an application answers at, by its id; "" for the main socket."""


async def wait_for_consent(front: Front, asked: Asked) -> None:
    """Return at once where nobody need agree. Raises Denied where somebody had to and did not."""
    if front.house.needs_consent(asked.name):
        await front.house.consent(asked.name, _asker(asked.request))


def _asker(request: web.Request) -> Asker:
    known: Asker = getattr(request.protocol, "asker", NOBODY)
    return dataclasses.replace(known, socket=request.app[JOB_SOCKET])
