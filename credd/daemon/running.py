"""Runs the daemon until it is told to stop, and stops it without losing an answer.

Rules: ready is said only when the socket answers. At the first SIGTERM or SIGINT no new refresh
starts, and what has been sent to an issuer is awaited while cached tokens are still served; a
second signal exits at once. The vault's journal covers even that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from typing import Any

import credd
from credd.daemon.configuration import Configuration
from credd.daemon.parts import Parts, build
from credd.daemon.places import Places
from credd.vault.vault import LOCKED
from credd.world.network import watch_network
from credd.world.sd_notify import Notifier
from credd.world.watch import changes

log = logging.getLogger(__name__)

RETRY_VAULT_EVERY = 5.0
"""Seconds; a keyring that is locked at boot is unlocked when its person logs in."""

DRAIN_WITHIN = 95.0
"""Seconds for answers under way at the end: an issuer may take 90, the units allow 100."""


async def run(places: Places, configuration: Configuration, environ: dict[str, str]) -> int:
    """Serve until stopped; the exit status."""
    notifier = Notifier(environ)
    stopping = _Stopping()
    async with build(places, configuration, environ) as parts:
        async with _chores(parts, notifier):
            parts.house.ready = True
            log.info("credd %s is ready at %s", credd.__version__, places.socket)
            notifier.ready(f"serving {len(configuration.current.credentials)} credentials")
            await stopping.wait()
        notifier.stopping("waiting for answers under way")
        await _drain(parts)
    log.info("credd has stopped")
    return 0


async def _drain(parts: Parts) -> None:
    parts.flights.ground()
    try:
        async with asyncio.timeout(DRAIN_WITHIN):
            await parts.flights.drain()
    except TimeoutError:
        log.warning("an issuer did not answer; the journal remembers what was sent")
    for holding in parts.shelf.all():
        if holding.unsaved:  # the last chance: what lies in memory alone ends with us
            await parts.flights.save(holding)


class _Stopping:
    """Waits for a signal; the second one does not wait for anything."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ask, number)

    def _ask(self, number: int) -> None:
        if self._asked.is_set():
            os._exit(128 + number)  # the person does not want to wait; the journal covers it
        log.info("stopping (%s)", signal.Signals(number).name)
        self._asked.set()

    async def wait(self) -> None:
        await self._asked.wait()


@contextlib.asynccontextmanager
async def _chores(parts: Parts, notifier: Notifier) -> AsyncIterator[None]:
    """What goes on beside serving: reloads, the vault's key, the network, the watchdog."""

    async def network_changed() -> None:
        parts.broker.kick_all()

    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(watch_network(network_changed))
        tasks = await stack.enter_async_context(_tasks())
        tasks.begin(_watch_config(parts))
        tasks.begin(_retry_vault(parts))
        tasks.begin(parts.door.keep())
        if notifier.watchdog:
            tasks.begin(_stay_alive(notifier, notifier.watchdog))
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, lambda: tasks.begin(_reload(parts, notifier)))
        yield
        loop.remove_signal_handler(signal.SIGHUP)


class _Tasks:
    """Tasks that end with their context. One that breaks is named in the log."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a chore broke: %s", type(task.exception()).__name__)

    async def end(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


@contextlib.asynccontextmanager
async def _tasks() -> AsyncIterator[_Tasks]:
    tasks = _Tasks()
    try:
        yield tasks
    finally:
        await tasks.end()


async def _reload(parts: Parts, notifier: Notifier) -> None:
    notifier.reloading()
    await parts.house.reload()
    notifier.ready(f"serving {len(parts.configuration.current.credentials)} credentials")


async def _watch_config(parts: Parts) -> None:
    async with aclosing(changes(parts.configuration.path)) as noticed:
        async for _ in noticed:
            await parts.house.reload()


async def _retry_vault(parts: Parts) -> None:
    """A vault whose key needs no person is opened as soon as its key is there."""
    while True:
        status = parts.vault.status()
        if status.state == LOCKED and status.key_source != "passphrase":
            await parts.house.retry_vault()
        await asyncio.sleep(RETRY_VAULT_EVERY)


async def _stay_alive(notifier: Notifier, seconds: float) -> None:
    """Tell the manager that the loop turns, twice as often as it asks for (sd_notify(3))."""
    while True:
        notifier.alive()
        await asyncio.sleep(seconds / 2)
