"""Puts the front door together: routes into an application, the application behind a listener.

Knows: aiohttp's server and its bounds. Refuses to know: what any route does. The hard thing is to
owe nobody anything at the end: whoever is inside is answered, and what was begun for someone who
has left is finished, both within a limit.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware

from credd import wire
from credd.api import asking, namespaces, openapi
from credd.api.answers import DESCRIPTION, STREAMS, Answer
from credd.api.connection import LOGGER, Connection
from credd.api.consenting import JOB_SOCKET
from credd.api.entrance import Entrance, FindFault
from credd.api.interface import Broker, Front, House, JobSockets, Logins, Witness
from credd.api.peers import Peer, peer_of
from credd.api.problems import Handler, as_problems, unexpected
from credd.api.routes import ROUTES, Route
from credd.api.schema import Schema, Schemas
from credd.api.witnessing import Seen, keep
from credd.core.deeds import Deed, Told
from credd.errors import BadRequest, CreddError, Denied

KEEPALIVE = 30.0
"""Seconds; also the only bound on a caller that says nothing or trickles its headers, which is why
it is not aiohttp's hour. Guests open a connection for each question, so none of them minds."""

LINGER = 1.0
"""Seconds in which the rest of a body nobody wants is read, so that its sender sees the answer."""

LEAVE_WITHIN = 2.0
"""Seconds for those who are inside when the door closes; waits for an issuer have ended by then.
aiohttp takes them twice, and the units allow 100 s after up to 95 for the issuers."""


class Errands:
    """What was begun for a caller and is finished without it."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Answer]] = set()

    async def finish(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Carry `work` out to its end, even if whoever waits for it here is cancelled."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_note_abandoned)
            raise

    async def close(self) -> None:
        """Wait for what runs, then cancel the rest."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=LEAVE_WITHIN)
            for task in late:
                task.cancel()


def _note_abandoned(task: asyncio.Task[Answer]) -> None:
    """A defect is logged although nobody waits for its number; an error of ours is nobody's."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, CreddError):
        unexpected(error)


ERRANDS: web.AppKey[Errands] = web.AppKey("errands", Errands)


def build_app(
    broker: Broker, logins: Logins, house: House, sockets: JobSockets, witness: Witness
) -> web.Application:
    """The application that answers for these five, at the main socket."""
    app = _empty_app("")
    app[DESCRIPTION] = openapi.describe()
    app[STREAMS] = set()
    _add_routes(app, ROUTES, Front(broker, logins, house, sockets, witness))
    app.on_shutdown.append(_end_streams)
    return app


def build_job_app(front: Front, socket_id: str, names: Sequence[str]) -> web.Application:
    """The application of one job socket: two routes, of the credentials in `names`.

    Whatever else is asked, known here or not, gets the same answer, so that a container learns
    nothing of what else there is.
    """
    app = _empty_app(socket_id)
    app.middlewares.append(_only(frozenset(names), front.witness))
    _add_routes(app, tuple(route for route in ROUTES if route.path in FOR_JOBS), front)
    return app


FOR_JOBS = frozenset({wire.TOKEN, wire.REJECTIONS})
"""All the authority that travels with a job socket."""


def _only(names: frozenset[str], witness: Witness) -> Middleware:
    """Refuse everything but the routes of this application, and these names in them."""

    @web.middleware
    async def only(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.match_info.http_exception is not None or request.match_info["name"] not in names:
            deed = Deed("beyond_socket", result=Denied.code)
            keep(witness, request, deed, request.app[JOB_SOCKET])
            raise Denied(
                "a job socket serves tokens and rejections of the credentials it was made for, "
                "and nothing else",
                remedy="credd-ctl socket list",
                reason="job_socket",
            )
        return await handler(request)

    return only


def _empty_app(socket_id: str) -> web.Application:
    app = web.Application(middlewares=[as_problems], client_max_size=wire.MAX_REQUEST)
    app[JOB_SOCKET] = socket_id
    app[ERRANDS] = Errands()
    app.on_cleanup.append(_finish_errands)
    return app


def _add_routes(app: web.Application, routes: Sequence[Route], front: Front) -> None:
    schemas = Schemas()
    # aiohttp tries one after another, so what is asked for most comes first; no two match the same.
    for route in sorted(routes, key=lambda route: not route.bears_secret):
        app.router.add_route(route.method, route.path, _handler(route, front, schemas))


async def _end_streams(app: web.Application) -> None:
    """Who only watches has no answer to wait for; the stream breaks off, and is no end of a
    login."""
    for stream in app[STREAMS]:
        if stream is not None:
            stream.cancel()


async def _finish_errands(app: web.Application) -> None:
    await app[ERRANDS].close()


def _handler(
    route: Route, front: Front, schemas: Schemas
) -> Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]:
    """One row as a handler of aiohttp: take apart, carry out, put together."""
    schema = schemas.of(route.request, is_closed=True) if route.request else NOTHING

    async def handle(request: web.Request) -> web.StreamResponse:
        where = request.app[JOB_SOCKET]
        with Seen(front.witness, request, route.name, where, keeps=route.is_kept) as note:
            if not route.is_open_while_locked:
                front.house.refuse_if_locked()
            asked = await _take_apart(request, route, schemas, schema, note)
            work = route.handler(front, asked)
            answer = await (request.app[ERRANDS].finish(work) if route.finishes else work)
            return _put_together(answer, route)

    return handle


NOTHING: Schema = {"type": "object", "additionalProperties": False}


async def _take_apart(
    request: web.Request, route: Route, schemas: Schemas, schema: Schema, note: asking.Note
) -> asking.Asked:
    name, login = asking.read_name(request), asking.read_id(request)
    query = asking.read_query(request, route.query)
    body = await asking.read_body(request)
    fault = schemas.find_fault(body, schema)
    if fault:
        raise BadRequest(fault, reason="bad_body")
    return asking.Asked(request, name, login, query, body, note)


def _put_together(answer: Answer, route: Route) -> web.StreamResponse:
    if isinstance(answer, web.StreamResponse):
        if not answer.prepared:
            answer.headers["Cache-Control"] = "no-store"
        return answer
    # Every answer is of this moment, and one of them is a secret.
    headers = {"Cache-Control": "no-store"}
    if answer is None:
        return web.Response(status=204, headers=headers)
    body = json.dumps(answer).encode()
    return web.Response(
        body=body, status=route.status, content_type="application/json", headers=headers
    )


@asynccontextmanager
async def serve(
    app: web.Application,
    listener: socket.socket,
    *,
    limit: int,
    uids: frozenset[int] | None = None,
    read_peer: Callable[[socket.socket], Peer] = peer_of,
    find_fault: FindFault = namespaces.fault_of,
    refused: Told = lambda _: None,
) -> AsyncIterator[Entrance]:
    """Answer callers of `uids` (ours alone, unless said otherwise) while the context is open.

    `find_fault` says what else is wrong with a caller; unless said otherwise, living in namespaces
    of its own is. `refused` hears of those who were shown out. At its end nobody is let in any
    more, those inside have LEAVE_WITHIN seconds, and the listener is left open: it is its owner's
    to close.
    """
    # Whoever leaves waits no longer; what must be finished all the same is an errand.
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=LEAVE_WITHIN)
    await runner.setup()
    try:
        entrance = Entrance(
            listener,
            _connections(runner),
            uids=frozenset({os.geteuid()}) if uids is None else uids,
            limit=limit,
            read_peer=read_peer,
            find_fault=find_fault,
            refused=refused,
        )
        async with entrance:
            yield entrance
    finally:
        await runner.cleanup()


def _connections(runner: web.AppRunner) -> Callable[[Callable[[], None]], Connection]:
    """Makes the protocol of each connection: aiohttp's, within our bounds."""
    loop, server = asyncio.get_running_loop(), runner.server
    if server is None:
        raise RuntimeError("the runner has not been set up")
    return lambda leave: Connection(
        server,
        leave,
        loop=loop,
        access_log=None,
        logger=LOGGER,
        keepalive_timeout=KEEPALIVE,
        lingering_time=LINGER,
        tcp_keepalive=False,
        auto_decompress=False,
    )
