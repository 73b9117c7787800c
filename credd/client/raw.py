"""One HTTP/1.1 exchange over the daemon's socket: connect, look, send, read.

It knows bytes. It refuses to know JSON, tokens, what a status means, and when to try again (that is
`patience`). Every exchange has a connection of its own, so that a fork never shares one.

The hard thing: connecting. A full backlog on Linux fails a connect at once unless it really blocks,
so it blocks, bounded by SO_SNDTIMEO; a signal then makes it end early and look like a success. And
nothing is sent before folder and listener are known to be ours.

`_socket` is the C module: `import socket` would cost credd-token as much as all of Python's start.
"""

from __future__ import annotations

import _socket
import os
import sys
import time

from credd import paths

TYPE_CHECKING = False  # not typing's: importing typing would cost more than this file
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    from credd.errors import Denied

    Result = TypeVar("Result")

MAX_BODY = 16 * 1024 * 1024
"""Bytes; the longest answer there is, a list of 5,000 credentials, has some 4 MB."""

MAX_LINE = 64 * 1024
"""Bytes of a line: of the head, or between chunks. Servers allow 8 KiB."""

MAX_HEADERS = 100
"""What a stranger may send before we stop listening; the daemon sends five."""

LEAST_TIME = 0.001
"""Seconds; the kernel takes a time-out of 0 for "for ever"."""

READ_SIZE = 64 * 1024
"""Bytes asked for at once: a token's whole reply comes with the first read."""

NOBODY = 0xFFFFFFFF
"""The uid that Linux names as the peer of a socket that isn't connected."""

SOL_LOCAL, LOCAL_PEERCRED, XUCRED_SIZE = 0, 1, 76
"""macOS: sys/un.h, and sizeof(struct xucred) of sys/ucred.h. Unverified: no Mac has run this."""


class Gone(Exception):
    """The connection ended before the reply was complete. The request may have been read."""


class NotConnected(Exception):
    """A signal ended the connect, and nothing was sent."""


class TimeUp(Exception):
    """The deadline passed."""


class Garbled(Exception):
    """What answers doesn't speak HTTP/1.1, or without end."""


class Reply:
    """What the daemon answered: status, headers with names in lower case, body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def __repr__(self) -> str:
        return f"<Reply {self.status}, {len(self.body)} bytes>"  # the body may be a token


# --- requests -------------------------------------------------------------------------------


def bare_request(method: str, target: str) -> bytes:
    """A request without a body. `target` is path and query, percent-encoded."""
    return f"{method} {target} HTTP/1.1\r\nHost: credd\r\nConnection: close\r\n\r\n".encode("ascii")


def json_request(method: str, target: str, body: bytes) -> bytes:
    """A request with a JSON body."""
    head = (
        f"{method} {target} HTTP/1.1\r\nHost: credd\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


def quoted(value: str) -> str:
    """`value` as a part of a path or a query (RFC 3986, 2.1); urllib.parse would load re."""
    return "".join(
        chr(byte) if byte in UNRESERVED else f"%{byte:02X}" for byte in value.encode("utf-8")
    )


UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"


# --- the exchange ---------------------------------------------------------------------------


def exchange(
    path: str,
    compose: Callable[[float], bytes],
    deadline: float,
    read: Callable[[Wire], Result],
) -> Result:
    """Connect to `path`, send what `compose(seconds left)` makes, and return `read(wire)`.

    `deadline` is on time.monotonic(). `read` closes the wire when it is done with it; after an
    error it is closed here. Raises Denied, with nothing sent, for a folder or a listener that isn't
    ours; Gone, NotConnected, TimeUp, Garbled; or OSError of the connect (FileNotFoundError: no
    socket; ConnectionRefusedError: nobody listens).
    """
    wire = connect(path, deadline)
    try:
        wire.send(compose(max(deadline - time.monotonic(), 0.0)))
        return read(wire)
    except BaseException:
        wire.close()
        raise


def read_reply(wire: Wire) -> Reply:
    """The whole reply; at most MAX_BODY bytes of it."""
    status, headers = wire.read_head()
    pieces, size = [], 0
    for piece in wire.read_body(status, headers):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_BODY:
            raise Garbled
    wire.close()
    return Reply(status, headers, b"".join(pieces))


def connect(path: str, deadline: float) -> Wire:
    """A connection to our own daemon; errors as in `exchange`."""
    paths.check_length(path, sys.platform)
    owner = owner_of(path)
    check_folder(os.path.dirname(path), owner)
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        _connect_blocking(socket, path, deadline)
        check_listener(peer_uid(socket), path, owner)
    except BaseException:
        socket.close()
        raise
    return Wire(socket, deadline)


def _connect_blocking(socket: _socket.socket, path: str, deadline: float) -> None:
    """Connect, waiting in the kernel while the backlog is full."""
    left = max(deadline - time.monotonic(), LEAST_TIME)
    socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, timeval(left))
    try:
        socket.connect(path)
    except BlockingIOError:  # EAGAIN: what SO_SNDTIMEO ends with
        raise TimeUp from None


def timeval(seconds: float) -> bytes:
    """A `struct timeval` of this machine: two longs, or what a long's padding makes of the second.

    By hand, because `import struct` costs as much as the rest of an exchange.
    """
    width = 8 if sys.maxsize > 2**32 else 4
    whole = int(seconds)
    parts = (whole, int((seconds - whole) * 1e6))
    return b"".join(part.to_bytes(width, sys.byteorder) for part in parts)


def owner_of(path: str) -> int | None:
    """The uid whose daemon may listen at `path`; None for our own, as nearly always.

    A job socket may belong to another user's daemon. That takes a person's word twice: CREDD_SOCK
    names this very path and CREDD_SOCK_UID the uid. The path alone would not do, since whoever is
    first in a folder like /tmp can make that one.
    """
    named = os.environ.get("CREDD_SOCK_UID", "")
    is_named = named.isascii() and named.isdigit()
    return int(named) if is_named and os.environ.get("CREDD_SOCK", "").rstrip("/") == path else None


def check_folder(folder: str, owner: int | None = None) -> None:
    """Raise Denied unless the socket's folder is ours and closed to others; the `owner`'s, where
    there is one, and written to by nobody else."""
    try:
        if owner is None:
            fault = paths.find_folder_fault(folder, os.geteuid())
        else:
            fault = paths.find_folder_fault(folder, owner, 0o022)
    except PermissionError:
        fault = (f"the socket's folder is closed to us: {folder}", _look_at(folder))
    if fault is not None:
        raise _denied(*fault)


def peer_uid(socket: _socket.socket) -> int:
    """The uid of who listens. Raises NotConnected where a signal ended the connect."""
    if sys.platform == "darwin":
        credentials = socket.getsockopt(SOL_LOCAL, LOCAL_PEERCRED, XUCRED_SIZE)
        return int.from_bytes(credentials[4:8], sys.byteorder)
    # struct ucred of unix(7): pid, uid, gid, 32 bits each.
    credentials = socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    uid = int.from_bytes(credentials[4:8], sys.byteorder)
    if uid == NOBODY:
        # Python takes EINTR for a connect that goes on behind, which AF_UNIX ones never do.
        raise NotConnected
    return uid


def check_listener(uid: int, path: str, owner: int | None = None) -> None:
    """Raise Denied unless the listener runs as us, or as the `owner` where there is one."""
    if uid != (os.geteuid() if owner is None else owner):
        wanted = f"we are uid {os.geteuid()}" if owner is None else f"CREDD_SOCK_UID is {owner}"
        detail = f"uid {uid} listens at {path}, and {wanted}"
        raise _denied(detail, _look_at(os.path.dirname(path)))


def _look_at(folder: str) -> str:
    return f"ls -la {paths.quoted(folder)}"


def _denied(detail: str, remedy: str) -> Denied:
    from credd.errors import Denied

    return Denied(f"{detail}; nothing was sent", remedy=remedy)


class Wire:
    """A connection to the daemon: sends, and reads a reply piece by piece until the deadline."""

    __slots__ = ("_buffer", "_socket", "deadline")

    def __init__(self, socket: _socket.socket, deadline: float | None) -> None:
        self._socket = socket
        self._buffer = bytearray()
        self.deadline = deadline
        """On time.monotonic(); None to wait as long as the daemon lives."""

    def close(self) -> None:
        """Close the connection; as often as one likes."""
        self._socket.close()

    def send(self, request: bytes) -> None:
        """Send all of it."""
        self._limit()
        try:
            self._socket.sendall(request)
        except _socket.timeout:
            raise TimeUp from None
        except ConnectionError:
            raise Gone from None

    def read_head(self) -> tuple[int, dict[str, str]]:
        """Status and headers."""
        words = self._line().split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            raise Garbled
        headers: dict[str, str] = {}
        for count, line in enumerate(iter(self._line, b"")):
            if count > MAX_HEADERS:
                raise Garbled
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        return int(words[1]), headers

    def read_body(self, status: int, headers: dict[str, str]) -> Iterator[bytes]:
        """The body's pieces as they come (RFC 9112, 6.3)."""
        if status in (204, 304):
            return
        if headers.get("transfer-encoding", "").lower() == "chunked":
            yield from self._chunks()
        elif "content-length" in headers:
            yield from self._exactly(_number(headers["content-length"], 10))
        else:
            yield from self._rest()

    def _chunks(self) -> Iterator[bytes]:
        """RFC 9112, 7.1; chunk extensions and trailers are read and ignored."""
        while True:
            size = _number(self._line().partition(b";")[0].decode("latin-1"), 16)
            if not size:
                break
            yield from self._exactly(size)
            if self._line():
                raise Garbled
        for _ in iter(self._line, b""):
            pass

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            if not self._buffer:
                self._fill()
            piece = bytes(self._buffer[:size])
            del self._buffer[:size]
            size -= len(piece)
            yield piece

    def _rest(self) -> Iterator[bytes]:
        while self._buffer or self._receive():
            yield bytes(self._buffer)
            self._buffer.clear()

    def _line(self) -> bytes:
        """A line without its end."""
        end = self._buffer.find(b"\n")
        while end < 0:
            if len(self._buffer) > MAX_LINE:
                raise Garbled
            self._fill()
            end = self._buffer.find(b"\n")
        line = bytes(self._buffer[:end]).rstrip(b"\r")
        del self._buffer[: end + 1]
        return line

    def _fill(self) -> None:
        if not self._receive():
            raise Gone

    def _receive(self) -> bool:
        """Read some more; False at the end of the connection."""
        self._limit()
        try:
            data = self._socket.recv(READ_SIZE)
        except _socket.timeout:
            raise TimeUp from None
        except ConnectionError:
            raise Gone from None
        self._buffer += data
        return bool(data)

    def _limit(self) -> None:
        """Let the next call wait until the deadline; Python keeps to it through signals."""
        if self.deadline is None:
            self._socket.settimeout(None)
            return
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeUp
        self._socket.settimeout(left)


def _number(digits: str, base: int) -> int:
    """A length; `int` alone would take signs and underscores too."""
    if not digits.strip().isalnum():
        raise Garbled
    try:
        return int(digits, base)
    except ValueError:
        raise Garbled from None
