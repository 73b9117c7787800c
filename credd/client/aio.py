"""`await credd.aio.get_token("lab")`: the same as `credd.get_token`, for event loops.

There is no second client to keep in step: a remembered token is answered at once, and everything
else is asked by the synchronous client on a thread, so that the loop never waits for a socket.
"""

from __future__ import annotations

import asyncio

from credd.client import sync
from credd.client.calls import Scope
from credd.client.login_wait import LoginWait
from credd.errors import CreddError


async def get_token(
    name: str | None = None,
    *,
    min_valid: float | None = None,
    audience: str | None = None,
    scope: Scope = None,
) -> str:
    """An access token; see `credd.get_token`. A cancelled question still ends by its deadline, and
    a wait for a person (CREDD_WAIT_FOR_LOGIN) ends at once."""
    found = sync.remembered(name, min_valid=min_valid, audience=audience, scope=scope)
    if found is not None:
        return found
    wait = None
    while True:
        try:
            return await asyncio.to_thread(
                sync.get_token_now, name, min_valid=min_valid, audience=audience, scope=scope
            )
        except CreddError as error:
            wait = wait or LoginWait()
            pause = wait.pause_or_raise(error)
        await asyncio.sleep(pause)
