"""`await credd.aio.get_token("lab")`: the same as `credd.get_token`, for event loops.

There is no second client to keep in step: a remembered token is answered at once, and everything
else is asked by the synchronous client on a thread, so that the loop never waits for a socket.
"""

from __future__ import annotations

import asyncio

from credd.client import sync
from credd.client.calls import Scope


async def get_token(
    name: str | None = None,
    *,
    min_valid: float | None = None,
    audience: str | None = None,
    scope: Scope = None,
) -> str:
    """An access token; see `credd.get_token`. A cancelled question still ends by its deadline."""
    found = sync.remembered(name, min_valid=min_valid, audience=audience, scope=scope)
    if found is not None:
        return found
    return await asyncio.to_thread(
        sync.get_token, name, min_valid=min_valid, audience=audience, scope=scope
    )
