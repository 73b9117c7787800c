"""An answer for each route, a few lines each.

Knows: which question goes to whom, and the shape of what comes back. Refuses to know: how it is
decided there, and how it is written out. The first line of each is what the API's description says.
The hard thing to keep true: one of them answers with a secret, and it is `token`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, TypedDict, cast

from aiohttp import web

from credd import wire
from credd.api import asking
from credd.api.asking import Asked
from credd.api.consenting import wait_for_consent
from credd.api.interface import Front, Served
from credd.api.problems import unexpected
from credd.core.importing import Handover
from credd.core.model import Secret, token_key
from credd.errors import BadRequest, CreddError, DaemonUnreachable, to_problem

Answer = web.StreamResponse | Mapping[str, Any] | None
"""A JSON object, None for "done", or a response of its own."""

NDJSON = "application/x-ndjson"

FIRST_EVENT_WITHIN = 1.0
"""Seconds to wait for a login's first event before the answer begins: an unknown login is known as
such at once, and can still become a problem; a silent one must not look like a dead daemon."""

DESCRIPTION: web.AppKey[dict[str, Any]] = web.AppKey("description", dict)
"""Where the application keeps its OpenAPI document."""

STREAMS: web.AppKey[set[asyncio.Task[Any] | None]] = web.AppKey("streams", set)
"""Those who follow a login: they are cut off when the door closes."""


class LiveReply(TypedDict):
    """`GET /v1/live`."""

    live: bool


class ReadyReply(TypedDict):
    """`GET /v1/ready`."""

    ready: bool


# --- is anybody there -----------------------------------------------------------------------


async def live(_front: Front, _asked: Asked) -> Answer:
    """Say that the daemon answers."""
    return {"live": True}


async def ready(front: Front, _asked: Asked) -> Answer:
    """Say whether tokens are served; a problem until they are."""
    if not front.house.is_ready():
        raise DaemonUnreachable("the daemon is still starting", reason="starting", retry_after=1)
    return {"ready": True}


async def version(front: Front, _asked: Asked) -> Answer:
    """Say what runs, and what a restart would run."""
    return front.house.version()


# --- credentials ----------------------------------------------------------------------------


async def credentials(front: Front, _asked: Asked) -> Answer:
    """Describe all credentials."""
    return {"credentials": front.broker.describe_all()}


async def credential(front: Front, asked: Asked) -> Answer:
    """Describe a credential: everything but secrets."""
    return front.broker.describe(asked.name)


async def token(front: Front, asked: Asked) -> Answer:
    """Hand out an access token."""
    await wait_for_consent(front, asked)
    key = token_key(asked.query["scope"], asked.query["audience"])
    served = await front.broker.token(
        asked.name, key, min_valid=asked.query["min_valid"], max_wait=asked.query["max_wait"]
    )
    asked.note.generation = served.token.generation
    if asked.query["format"] == "raw":
        return web.Response(text=served.token.value.reveal(), content_type="text/plain")
    return token_reply(served)


def token_reply(served: Served) -> wire.TokenReply:
    """The one answer with a secret in it."""
    token = served.token
    return {
        "access_token": token.value.reveal(),
        "token_type": token.token_type,
        "expires_at": served.expires_at,
        "obtained_at": token.obtained.wall,
        "refresh_at": served.refresh_at,
        "generation": token.generation,
        "stale": served.stale,
        "account": served.account,
        "scope": token.scope,
        "hosts": list(served.hosts),
    }


async def reject(front: Front, asked: Asked) -> Answer:
    """Take the report that a resource server refused a generation."""
    generation, wait = asked.body["generation"], asked.query["max_wait"]
    asked.note.generation = generation
    return await front.broker.reject(asked.name, generation, max_wait=wait)


async def refresh(front: Front, asked: Asked) -> Answer:
    """Refresh now, though not right after the last time."""
    reply = await front.broker.refresh(asked.name, max_wait=asked.query["max_wait"])
    asked.note.generation = reply["generation"]
    return reply


async def refresh_all(front: Front, _asked: Asked) -> Answer:
    """Wake every retry that waits."""
    return {"woken": front.broker.refresh_all()}


async def lifetime(front: Front, asked: Asked) -> Answer:
    """Say whether the login will last for so long."""
    return front.broker.lifetime(asked.name, asked.query["for"])


async def logout(front: Front, asked: Asked) -> Answer:
    """Revoke the grant at its issuer and erase it."""
    await front.broker.forget(asked.name, keep_going=asked.query["keep_going"])
    return None


# --- logins ---------------------------------------------------------------------------------


async def start_login(front: Front, asked: Asked) -> Answer:
    """Start a login, or find the unfinished one again."""
    _check_name(asked)
    return await front.logins.start(cast(wire.LoginRequest, asked.body))


def _check_name(asked: Asked) -> None:
    """Raise BadRequest for a bad name; a good one is noted for the audit trail."""
    if not asking.NAME.fullmatch(asked.body.get("name", "")):
        raise BadRequest(f"a credential's name matches {wire.NAME_PATTERN}", reason="bad_name")
    asked.note.credential = asked.body["name"]


async def import_login(front: Front, asked: Asked) -> Answer:
    """Take over a login that another program obtained."""
    _check_name(asked)
    body = dict(asked.body)
    secret, proof = Secret(body.pop("secret")), body.pop("client_secret", "")
    handed = Handover(
        secret, Secret(proof) if proof else None, body.get("account", ""), body.get("scope", "")
    )
    return await front.house.take_over(cast(wire.ImportRequest, body), handed)


async def cancel_login(front: Front, asked: Asked) -> Answer:
    """End a login; nothing is kept of it."""
    await front.logins.cancel(asked.id)
    return None


async def answer_login(front: Front, asked: Asked) -> Answer:
    """Answer a question that a login has asked."""
    front.logins.answer(asked.id, asked.body["question"], Secret(asked.body["answer"]))
    return None


async def login_events(front: Front, asked: Asked) -> Answer:
    """Follow a login, from its first event to its last."""
    events = aiter(front.logins.events(asked.id))
    first = asyncio.ensure_future(anext(events, None))
    streams, this = asked.request.app[STREAMS], asyncio.current_task()
    streams.add(this)
    try:
        await asyncio.wait([first], timeout=FIRST_EVENT_WITHIN)
        if first.done() and first.exception() is not None:
            await first
        answer = web.StreamResponse(headers={"Cache-Control": "no-store", "Content-Type": NDJSON})
        await answer.prepare(asked.request)
        async with aclosing(_with_its_end(first, events)) as told:
            async for event in told:
                await answer.write(json.dumps(event).encode() + b"\n")
    finally:
        streams.discard(this)
        first.cancel()
    return answer


async def _with_its_end(
    first: asyncio.Future[wire.LoginEvent | None], rest: AsyncIterator[wire.LoginEvent]
) -> AsyncGenerator[wire.LoginEvent, None]:
    """The events; where the login's teller breaks, that is the last one: the answer has begun."""
    try:
        event = await first
        while event is not None:
            yield event
            event = await anext(rest, None)
    except CreddError as error:
        yield {"type": "failed", "problem": to_problem(error)}
    except Exception as error:  # noqa: BLE001 - as in problems.as_problems
        yield {"type": "failed", "problem": to_problem(unexpected(error))}


# --- the house ------------------------------------------------------------------------------


async def reload(front: Front, _asked: Asked) -> Answer:
    """Read the configuration again; with findings the old one stays."""
    return await front.house.reload()


# --- job sockets ----------------------------------------------------------------------------


async def create_socket(front: Front, asked: Asked) -> Answer:
    """Make a job socket: tokens and rejections of some credentials, and nothing else."""
    return await front.sockets.create(cast(wire.SocketRequest, asked.body))


async def list_sockets(front: Front, _asked: Asked) -> Answer:
    """List the job sockets."""
    return {"sockets": front.sockets.all()}


async def remove_socket(front: Front, asked: Asked) -> Answer:
    """End a job socket; whoever uses it is cut off."""
    await front.sockets.remove(asked.id)
    return None


# --- what there was to see ------------------------------------------------------------------


async def audit(front: Front, asked: Asked) -> Answer:
    """Show a page of the audit trail: who was given which generation, when."""
    query = asked.query
    return await front.witness.audit(
        credential=query["credential"],
        since=query["since"],
        cursor=query["cursor"],
        limit=query["limit"],
    )


async def check_audit(front: Front, _asked: Asked) -> Answer:
    """Follow the audit trail's chain, and name each line that is not as it was written."""
    return await front.witness.check_audit()


async def events(front: Front, asked: Asked) -> Answer:
    """Follow what happens: states, refreshes, reloads. The present states come first."""
    app, this = asked.request.app, asyncio.current_task()
    app[STREAMS].add(this)
    answer = web.StreamResponse(headers={"Cache-Control": "no-store", "Content-Type": NDJSON})
    try:
        await answer.prepare(asked.request)
        async with aclosing(front.witness.events()) as told:
            async for event in told:
                await answer.write(json.dumps(event).encode() + b"\n")
    finally:
        app[STREAMS].discard(this)
    return answer


async def metrics(front: Front, _asked: Asked) -> Answer:
    """Show all counts, as Prometheus reads them."""
    content_type = "text/plain; version=0.0.4; charset=utf-8"
    return web.Response(
        body=front.witness.metrics().encode(), headers={"Content-Type": content_type}
    )


async def findings(front: Front, _asked: Asked) -> Answer:
    """Say what the daemon itself finds wrong, with a remedy for each."""
    return await front.witness.findings()


async def openapi(_front: Front, asked: Asked) -> Answer:
    """Describe this API."""
    return cast(Mapping[str, Any], asked.request.app[DESCRIPTION])
