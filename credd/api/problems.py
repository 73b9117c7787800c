"""Errors on their way out: RFC 9457 problems, whatever went wrong.

Knows: the error tree and HTTP. Refuses to know: what was asked. The hard thing is the unexpected
one: the client gets a number and the log the same number with the places in our code, and neither
gets a value, since any value may be a secret.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import secrets
import traceback
from collections.abc import Awaitable, Callable
from pathlib import PurePath
from typing import TypedDict

from aiohttp import web

from credd import wire
from credd.errors import BadRequest, CreddError, to_problem

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PLACES = 12
"""Frames of a traceback that are logged: from our handler down to where it broke."""


class _Always(TypedDict):
    type: str
    title: str
    status: int
    code: str
    detail: str
    remedy: str
    retryable: bool


class Problem(_Always, total=False):
    """What every error looks like (RFC 9457). `code` is stable, `remedy` a command to paste."""

    reason: str
    retry_after: float


@web.middleware
async def as_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error as a problem."""
    try:
        return await handler(request)
    except CreddError as error:
        return response(error)
    except web.HTTPException as error:
        return _of_http(error)
    except (asyncio.CancelledError, ConnectionError):  # whoever asked has gone
        raise
    except Exception as error:  # noqa: BLE001 - nothing of it may reach the client
        return response(unexpected(error))


def response(error: CreddError, status: int | None = None) -> web.Response:
    """The problem as a response; `status` where HTTP has a finer one than the error's class."""
    problem = to_problem(error)
    problem["status"] = status or error.status
    headers = {"Cache-Control": "no-store"}
    if error.retry_after is not None and error.retry_after >= 0:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    return web.Response(
        body=json.dumps(problem).encode(),
        status=status or error.status,
        content_type=wire.PROBLEM_MEDIA_TYPE,
        headers=headers,
    )


def _of_http(error: web.HTTPException) -> web.Response:
    """What aiohttp itself refuses: no such route, no such method, too large."""
    known = {
        404: ("no such route; the daemon may be older than the client", "credd-ctl version"),
        405: ("this route does not know that method", ""),
        413: (f"a request has at most {wire.MAX_REQUEST} bytes", ""),
    }
    detail, remedy = known.get(error.status, ("the request can't be understood", ""))
    problem = BadRequest(detail, remedy=remedy, reason=f"http_{error.status}")
    answer = response(problem, error.status)
    if "Allow" in error.headers:
        answer.headers["Allow"] = error.headers["Allow"]
    if error.status == 413:
        answer.force_close()  # the rest of it is still on its way
    return answer


def unexpected(error: BaseException) -> CreddError:
    """The error to show for a defect of ours: a number, which the log has too."""
    number = secrets.token_hex(4)
    log.error("internal error %s: %s at %s", number, type(error).__name__, places(error))
    return CreddError(
        f"credd made a mistake; its log says more under {number}",
        remedy="credd-ctl service logs",
        reason=number,
    )


def places(error: BaseException) -> str:
    """Where it broke, as `file:line function`, outermost first: code, and no value from it."""
    frames = traceback.extract_tb(error.__traceback__)[-PLACES:]
    return " > ".join(f"{PurePath(f.filename).name}:{f.lineno} {f.name}" for f in frames)
