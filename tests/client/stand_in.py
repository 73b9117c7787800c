"""A strict stand-in for the daemon: threads and a real socket, so that it runs on Python 3.9 too.

It holds a client to account: a request that isn't plain HTTP/1.1 with `Connection: close`, or more
bytes than it announced, fails the test that sent it. What it answers is a function of the request.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, Optional

from credd.errors import CreddError, to_problem

LONG_ENOUGH = 10.0
"""Seconds after which a condition that a test waits for won't come any more."""


class Request(NamedTuple):
    """What a client sent."""

    method: str
    target: str
    body: Any

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        from urllib.parse import parse_qsl

        return dict(parse_qsl(self.target.partition("?")[2], strict_parsing=True))


Answer = Callable[[Request], Optional[bytes]]
"""From a request to the bytes of a reply; None closes the connection without one."""


def reply(status: int, body: bytes, kind: str = "application/json", **headers: str) -> bytes:
    lines = {"Content-Type": kind, "Content-Length": str(len(body)), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Stand-In\r\n{head}Connection: close\r\n\r\n".encode() + body


def json_reply(value: Any, status: int = 200) -> bytes:
    return reply(status, json.dumps(value).encode())


def text_reply(text: str) -> bytes:
    return reply(200, text.encode(), "text/plain; charset=utf-8")


def problem_reply(error: CreddError, **headers: str) -> bytes:
    content = json.dumps(to_problem(error)).encode()
    return reply(error.status, content, "application/problem+json", **headers)


def token_reply(token: str = "at-1", generation: int = 1, **changes: Any) -> dict[str, Any]:
    """A fresh token of one hour, as the daemon would describe it."""
    now = time.time()
    return {
        "access_token": token,
        "token_type": "Bearer",
        "expires_at": now + 3600,
        "obtained_at": now,
        "refresh_at": now + 1800,
        "generation": generation,
        "stale": False,
        "account": "someone",
        "scope": "openid",
        "hosts": ["mlflow.example.org"],
        **changes,
    }


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; fail the test if it doesn't within LONG_ENOUGH."""
    end = time.monotonic() + LONG_ENOUGH
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


class StandIn:
    """A daemon at `path` whose answers come from `answer`; its folder must be there."""

    def __init__(self, path: str, answer: Answer, backlog: int = 128) -> None:
        self.path = path
        self.answer = answer
        self.requests: list[Request] = []
        self.connections = 0
        self.faults: list[str] = []
        self._backlog = backlog
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None

    def listen(self) -> None:
        """Take the path and listen; connections wait in the backlog until `serve`."""
        listener = socket.socket(socket.AF_UNIX)
        fresh = self.path + ".new"
        listener.bind(fresh)
        listener.listen(self._backlog)
        os.rename(fresh, self.path)  # clients find either nobody or somebody who listens
        self._listener = listener

    def serve(self) -> None:
        """Begin to answer."""
        assert self._listener is not None
        self._acceptor = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._acceptor.start()

    def start(self) -> None:
        self.listen()
        self.serve()

    def die(self) -> None:
        """As SIGKILL leaves it: nobody listens, and the socket file is still there."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes the acceptor
        if self._acceptor is not None:
            self._acceptor.join()
        listener.close()

    def stop(self) -> None:
        """As a clean end leaves it: no socket."""
        self.die()
        if os.path.exists(self.path):
            os.unlink(self.path)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(LONG_ENOUGH)
            request = self._read(connection)
            if request is None:
                return
            self.requests.append(request)
            answer = self.answer(request)
            if answer is not None:
                self._send(connection, answer)

    def _send(self, connection: socket.socket, answer: bytes) -> None:
        with suppress(OSError):  # the client left, which is its right
            connection.sendall(answer)

    def _read(self, connection: socket.socket) -> Request | None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return None  # a probe, or a client that saw somebody it doesn't trust
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        size = int(headers.get("content-length", 0))
        while len(body) < size:
            body += connection.recv(65536)
        self._hold_to_account(first, headers, body, size)
        method, target, _ = first.split(" ")
        return Request(method, target, json.loads(body) if body else None)

    def _hold_to_account(self, first: str, headers: dict[str, str], body: bytes, size: int) -> None:
        if not first.endswith(" HTTP/1.1") or "host" not in headers:
            self.faults.append(f"no HTTP/1.1 request: {first}, {headers}")
        if headers.get("connection") != "close":
            self.faults.append("a connection is for one question, and says so")
        if len(body) != size:
            self.faults.append("more bytes than announced")
        if body and headers.get("content-type") != "application/json":
            self.faults.append("a body of an unnamed kind")


@contextmanager
def standing_in(path: str, answer: Answer, backlog: int = 128) -> Iterator[StandIn]:
    """A stand-in that serves while the block runs; the block fails if a client misbehaved."""
    daemon = StandIn(path, answer, backlog)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()
    assert not daemon.faults, daemon.faults
