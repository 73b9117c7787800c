"""A crowd of clients in one process: many connections, each asks again when it has its answer.

Knows raw sockets and epoll, and of an answer no more than where it ends. The hard thing is not to
be the bottleneck unnoticed: it says which share of its time it was busy itself.
"""

from __future__ import annotations

import select
import socket
import time
from dataclasses import dataclass

READ = 65536

PATIENCE = 10.0
"""Seconds without any answer, after which something is wrong."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a crowd has seen: answers, the seconds they took, and its own share of busy time."""

    answers: int
    seconds: float
    busy: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


class Crowd:
    """`size` connections to the socket `path`, kept alive; `with` closes them."""

    def __init__(self, path: str, size: int) -> None:
        self._epoll = select.epoll()
        self._members: dict[int, socket.socket] = {}
        for _ in range(size):
            self._join(path)

    def _join(self, path: str) -> None:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        self._members[connection.fileno()] = connection
        self._epoll.register(connection.fileno(), select.EPOLLIN)

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._members.values():
            connection.close()
        self._epoll.close()

    def load(self, target: str, seconds: float) -> Run:
        """Everybody asks for `target` again and again, for so long."""
        request = _request(target)
        start, cpu = time.perf_counter(), time.process_time()
        answers = self._keep_asking(request, start + seconds)
        taken = time.perf_counter() - start
        return Run(answers, taken, (time.process_time() - cpu) / taken)

    def _keep_asking(self, request: bytes, end: float) -> int:
        """At the end, the answers under way are awaited."""
        members, clock = self._members, time.perf_counter
        missing = dict.fromkeys(members, 0)
        for connection in members.values():
            connection.send(request)
        answers, waiting = 0, len(members)
        while waiting:
            is_over = clock() >= end
            for descriptor, _ in self._wait():
                connection = members[descriptor]
                data, left = connection.recv(READ), missing[descriptor]
                missing[descriptor] = left = still_missing(data, left)
                if left:
                    continue
                answers += 1
                waiting -= is_over
                if not is_over:
                    connection.send(request)
        return answers

    def burst(self, target: str) -> float:
        """Everybody asks once, at the same moment; seconds until the last one has an answer of
        status 200. Raises RuntimeError for any other."""
        request, missing = _request(target), dict.fromkeys(self._members, 0)
        start = time.perf_counter()
        for connection in self._members.values():
            connection.send(request)
        waiting = len(missing)
        while waiting:
            for descriptor, _ in self._wait():
                data, left = self._members[descriptor].recv(READ), missing[descriptor]
                missing[descriptor] = left = still_missing(data, left)
                waiting -= left == 0
        return time.perf_counter() - start

    def _wait(self) -> list[tuple[int, int]]:
        """Who has something to read. Raises RuntimeError where nobody has for long."""
        ready = self._epoll.poll(PATIENCE)
        if not ready:
            raise RuntimeError("no answers come any more")
        return ready


def _request(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: credd\r\n\r\n".encode()


def still_missing(data: bytes, left: int) -> int:
    """How many bytes of an answer are to come when `left` were, 0 for a new one, and `data` came.

    A head comes in one piece. Raises RuntimeError for an answer that isn't good, or that ends.
    """
    if left and data:
        return left - len(data)
    body = data.find(b"\r\n\r\n") + 4
    length = data.find(b"Content-Length: ", 0, body) + 16
    if not data.startswith(b"HTTP/1.1 200") or body < 4 or length < 16:
        raise RuntimeError(f"no good answer: {data[:300]!r}")
    return body + int(data[length : data.find(b"\r", length)]) - len(data)
