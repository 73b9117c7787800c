"""An answer without a known end: newline-delimited JSON, object by object, as it comes.

It knows lines. The hard thing is telling an end from a break: a stream that the daemon ended is
over, one that broke off is an error, or a login would seem to have ended by itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from credd.client import patience, problems, raw
from credd.errors import CreddError


def objects(path: str, target: str, waits: patience.Patience) -> Iterator[dict[str, Any]]:
    """The objects that the daemon sends in answer to a GET of `target`, until it ends.

    `waits` bounds the time to the answer's beginning; after it, silence may last as long as the
    daemon lives. Raises what `patience.ask` raises, the error of a problem, and DaemonUnreachable
    where the stream breaks off.
    """
    request = raw.bare_request("GET", target)
    wire, status, headers = patience.ask(path, lambda _: request, waits, _opened)
    try:
        if status != 200:
            raise _error(wire, status, headers)
        wire.deadline = None
        yield from _parsed(wire.read_body(status, headers))
    except (raw.Gone, raw.TimeUp, raw.Garbled):
        raise patience.Waiting(path, waits).unreachable("its answer broke off") from None
    finally:
        wire.close()


def _opened(wire: raw.Wire) -> tuple[raw.Wire, int, dict[str, str]]:
    return wire, *wire.read_head()


def _error(wire: raw.Wire, status: int, headers: dict[str, str]) -> CreddError:
    reply = raw.Reply(status, headers, b"".join(wire.read_body(status, headers)))
    return problems.error_of(reply, problems.read_problem(reply))


def _parsed(pieces: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.strip():  # an empty line is the daemon's way to say that it lives
                yield json.loads(line)
