"""A question to the daemon's socket in a few lines, so that tests don't rest on credd's own client.

Knows: HTTP over AF_UNIX with the standard library. The hard thing: a full backlog fails a connect
with a Python time-out at once, on Linux; so the socket blocks, bounded by SO_SNDTIMEO.
"""

from __future__ import annotations

import http.client
import json
import socket
import struct
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

LIMIT = 40.0
"""Seconds for one answer: longer than the 30 s for which the daemon itself may wait."""


@dataclass(frozen=True)
class Answer:
    """What the socket answered: the JSON object, or the text under `text`."""

    status: int
    body: dict[str, Any]


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        limit = struct.pack("ll", int(LIMIT), 0)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self.sock.connect(self._path)


def ask(
    path: str,
    method: str,
    route: str,
    body: object = None,
    query: Mapping[str, object] | None = None,
    sent: Callable[[], object] = lambda: None,
) -> Answer:
    """Ask the socket at `path` and wait for the answer; `sent()` is called in between.

    Raises OSError where nobody answers.
    """
    connection = _UnixConnection(path)
    target = route + ("?" + urllib.parse.urlencode(query) if query else "")
    content = None if body is None else json.dumps(body)
    headers = {} if body is None else {"Content-Type": "application/json"}
    try:
        connection.request(method, target, content, headers)
        sent()
        reply = connection.getresponse()
        return Answer(reply.status, _read(reply))
    except http.client.HTTPException as error:  # the daemon went away in the middle
        raise ConnectionResetError(str(error)) from error
    finally:
        connection.close()


def _read(reply: http.client.HTTPResponse) -> dict[str, Any]:
    text = reply.read().decode()
    if "json" not in reply.headers.get_content_type():
        return {"text": text}
    value: dict[str, Any] = json.loads(text or "{}")
    return value
