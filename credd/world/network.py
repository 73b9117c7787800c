"""Tells when the machine's network has changed: an address, a link, a route.

Knows: Linux's route messages (rtnetlink(7)). Refuses to know: what changed, and whether an issuer
can be reached now; that is tried by whoever is told. The hard thing: one change of networks is
dozens of messages, and some are noise (a router says each minute that it is still there), so a
burst is told once, and the one who is told must bound what it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

log = logging.getLogger(__name__)

# linux/rtnetlink.h: RTMGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE.
GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400

SETTLED_AFTER = 1.0
"""Seconds after its first message that a change is told: an address without its route helps
nobody yet, and what comes later is told again."""

AT_ONCE = 64 * 1024  # bytes; netlink(7) messages of one burst fit, and a lost one changes nothing


@contextlib.asynccontextmanager
async def watch_network(
    on_change: Callable[[], Awaitable[None]],
    *,
    settled_after: float = SETTLED_AFTER,
    open_socket: Callable[[], socket.socket | None] | None = None,
) -> AsyncIterator[bool]:
    """Call `on_change` after each change of the network, one call at a time.

    The value is False where this can't be had: another system, or a sandbox without netlink. Then
    `on_change` is never called, and retries come when their time comes.
    """
    source = (open_socket or open_route_socket)()
    if source is None:
        yield False
        return
    telling = asyncio.create_task(_tell(source, on_change, settled_after))
    try:
        yield True
    finally:
        telling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await telling
        source.close()


def open_route_socket() -> socket.socket | None:
    """A socket that hears route messages, or None."""
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        return None
    heard = None
    try:
        heard = socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        heard.setblocking(False)
        heard.bind((0, GROUPS))
    except OSError as error:
        if heard is not None:
            heard.close()
        log.debug("no news of the network: %s", error.strerror)
        return None
    return heard


async def _tell(
    source: socket.socket, on_change: Callable[[], Awaitable[None]], settled_after: float
) -> None:
    while await _hear(source):
        await asyncio.sleep(settled_after)
        _drain(source)
        try:
            await on_change()
        except Exception as error:  # noqa: BLE001 - one failed call must not end the listening
            log.warning("after a change of the network: %s", type(error).__name__)


async def _hear(source: socket.socket) -> bool:
    """Wait for a message. False where no more will come."""
    try:
        return bool(await asyncio.get_running_loop().sock_recv(source, AT_ONCE))
    except OSError as error:
        # Messages were lost because there were so many: that is a message too.
        return error.errno == errno.ENOBUFS


def _drain(source: socket.socket) -> None:
    """Forget the rest of a burst."""
    with contextlib.suppress(OSError):  # nothing is left, or so much came that some was lost
        while source.recv(AT_ONCE):
            pass
