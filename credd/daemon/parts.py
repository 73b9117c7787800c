"""The parts list: every room is built here, by hand, and nobody else knows them all.

Read it from top to bottom: what is built later may use what was built before, and all of it is
closed in reverse. The order is a promise too: claim the home, bind the socket, open the vault, load
what refreshing may need, answer, and only then say ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import credd
from credd.api.app import build_app, build_job_app, serve
from credd.api.entrance import connection_limit
from credd.api.interface import Front
from credd.audit.files import Files
from credd.audit.trail import Trail
from credd.broker.broker import Broker
from credd.broker.consent import Consent
from credd.broker.flights import Flights
from credd.broker.grants import Grants
from credd.broker.holding import Holding
from credd.broker.imports import Imports
from credd.broker.logins import Logins, closing
from credd.broker.noticing import Noticing
from credd.broker.refresher import Refresher
from credd.broker.shelf import Shelf
from credd.broker.slots import Slots
from credd.core.deeds import Asker, Deed, Told
from credd.daemon.announcing import Announcer
from credd.daemon.claim import claim, describe_daemon
from credd.daemon.configuration import Configuration
from credd.daemon.door import Door
from credd.daemon.housekeeping import Housekeeping
from credd.daemon.job_records import JobSocket
from credd.daemon.job_sockets import JobSockets, shares
from credd.daemon.places import Places
from credd.daemon.prompting import Prompter
from credd.daemon.surroundings import RealSurroundings
from credd.daemon.witness import Witness
from credd.vault.vault import Vault
from credd.world.activation import listener
from credd.world.clock import Clock
from credd.world.hardening import raise_file_limit
from credd.world.hooks import HookRunner
from credd.world.http import HttpWorld


@dataclass(frozen=True, slots=True)
class Parts:
    """What the running daemon is steered by."""

    broker: Broker
    shelf: Shelf
    flights: Flights
    refresher: Refresher
    house: Housekeeping
    configuration: Configuration
    vault: Vault
    door: Door


@contextlib.asynccontextmanager
async def build(
    places: Places, configuration: Configuration, environ: dict[str, str]
) -> AsyncIterator[Parts]:
    """Build everything and serve it. Raises AnotherDaemon and Misconfigured before it answers."""
    clock = Clock()
    facts = describe_daemon(places.socket, credd.__version__, clock.now().boot_id)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(claim(places.daemon_file, facts))
        bound = stack.enter_context(contextlib.closing(listener(places.socket, environ)))
        http = await stack.enter_async_context(
            HttpWorld(clock, network=lambda: configuration.current.network)
        )
        vault = Vault(places.vault, places.runtime, places.key_file, environ=environ)
        stack.push_async_callback(vault.close)
        around = RealSurroundings(clock, http)

        shelf = Shelf(vault, around, configuration.catalog)
        shelf.why_locked = vault.problem
        slots = Slots(configuration.current.daemon.in_flight_per_issuer)
        flights = Flights(vault, around, slots)
        hooks = stack.enter_context(contextlib.closing(HookRunner(environ)))
        announcer = Announcer(hooks, places.socket, lambda: configuration.current.hooks)
        noticing = Noticing(shelf, around, announcer.tell)
        flights.landed = lambda holding: _landed(holding, shelf, noticing)
        grants = Grants(shelf, vault, around)
        broker = Broker(shelf, grants, flights, around)
        refresher = Refresher(shelf, broker, flights, around)
        house = Housekeeping(configuration, vault, shelf, grants)
        logins = Logins(broker, grants, around, house.plan, house.prepare_vault)
        witness = Witness(
            stack.enter_context(_kept(Trail(Files(places.audit), time.time))),
            shelf, broker, flights, house, configuration, vault, around,
        )  # fmt: skip
        flights.told, house.reloaded = witness.landed, witness.reloaded
        house.before_sealing = logins.close
        house.asks = _consent(stack, environ, places.socket, configuration)
        house.imports = Imports(shelf, grants, flights, vault, around, house.prepare_vault)

        house.apply(configuration.current)
        await house.open_vault()
        limit, job_limit = shares(connection_limit(raise_file_limit()))
        sockets = JobSockets(places.sockets_file, shelf.find, around.now)
        sockets.serve = functools.partial(
            _serve_job, Front(broker, logins, house, sockets, witness), job_limit
        )
        entrance = await stack.enter_async_context(
            serve(
                build_app(broker, logins, house, sockets, witness), bound,
                limit=limit, refused=witness.kept,
            )
        )  # fmt: skip
        witness.connections = entrance.inside
        door = stack.enter_context(Door(places.socket, entrance))
        await stack.enter_async_context(sockets)
        await stack.enter_async_context(closing(logins))
        for chore in (refresher.run(), noticing.run(), witness.run()):
            stack.push_async_callback(_end, asyncio.create_task(chore))
        yield Parts(broker, shelf, flights, refresher, house, configuration, vault, door)


def _consent(
    stack: contextlib.AsyncExitStack,
    environ: dict[str, str],
    path: str,
    configuration: Configuration,
) -> Consent:
    """Who asks a person; an open prompt ends with the daemon, as a no."""
    prompter = Prompter(environ, path, lambda: configuration.current.hooks)
    stack.callback(prompter.close)
    return Consent(prompter.ask)


def _serve_job(
    front: Front, limit: int, job: JobSocket, listener: socket.socket
) -> contextlib.AbstractAsyncContextManager[object]:
    """Serve a job socket. Whoever may use it may live in any namespace: that is what it is for."""
    app = build_job_app(front, job.id, job.credentials)
    uids = frozenset({os.geteuid()} if job.uid is None else {os.geteuid(), job.uid})
    refused = functools.partial(_refused_at, front.witness.kept, job.id)
    return serve(app, listener, limit=limit, uids=uids, find_fault=lambda _: "", refused=refused)


def _refused_at(kept: Told, job_socket: str, deed: Deed) -> None:
    kept(dataclasses.replace(deed, asker=dataclasses.replace(deed.asker, socket=job_socket)))


@contextlib.contextmanager
def _kept(trail: Trail) -> Iterator[Trail]:
    """The trail from the daemon's first deed to its last."""
    us = Asker(os.geteuid(), os.getpid(), script=f"credd {credd.__version__}")
    trail.open()
    trail.note(Deed("start", us))
    try:
        yield trail
    finally:
        trail.note(Deed("stop", us))
        trail.close()


def _landed(holding: Holding, shelf: Shelf, noticing: Noticing) -> None:
    shelf.stir()
    noticing.look(holding)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
