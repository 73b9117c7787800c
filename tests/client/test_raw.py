"""One exchange: what is sent, what is read, and to whom nothing is sent at all."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from credd.client import raw
from credd.errors import Denied, Misconfigured
from tests.client.stand_in import Request, StandIn, reply, standing_in, text_reply, wait_until

SOON = 5.0


def exchanged(path: str, request: bytes = b"", seconds: float = SOON) -> raw.Reply:
    content = request or raw.bare_request("GET", "/v1/live")
    deadline = time.monotonic() + seconds
    return raw.exchange(path, lambda left: content, deadline, raw.read_reply)


# --- what is read ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ("Content-Length: 5", b"hello", b"hello"),
        ("Content-Length: 0", b"", b""),
        ("Content-Length: 5", b"hello, and more than announced", b"hello"),
        ("Transfer-Encoding: chunked", b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"hello"),
        ("Transfer-Encoding: Chunked", b"A;x=y\r\n0123456789\r\n0\r\nT: 1\r\n\r\n", b"0123456789"),
        ("Transfer-Encoding: chunked", b"0\r\n\r\n", b""),
        ("X-Nothing: said", b"until the end", b"until the end"),
    ],
)
def test_a_body_is_read_whichever_way_its_length_is_told(
    path: str, headers: str, body: bytes, expected: bytes
) -> None:
    """Content-Length, chunks, and the end of the connection all bound a body (RFC 9112, 6.3)."""
    answer = f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n".encode() + body
    with standing_in(path, lambda request: answer):
        found = exchanged(path)
    assert (found.status, found.body) == (200, expected)


@pytest.mark.parametrize("headers", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_a_reply_may_come_byte_by_byte(path: str, headers: str) -> None:
    """How the kernel cuts a reply into reads changes nothing."""
    body = b"hello" if "Length" in headers else b"5\r\nhello\r\n0\r\n\r\n"
    answer = f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n".encode() + body

    class Trickling(StandIn):
        def _send(self, connection: socket.socket, answer: bytes) -> None:
            for at in range(len(answer)):
                connection.sendall(answer[at : at + 1])

    daemon = Trickling(path, lambda request: answer)
    daemon.start()
    assert exchanged(path).body == b"hello"
    daemon.stop()


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\r\n\r\n",
        b"HTTP/1.1 many OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n0123456789",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * (raw.MAX_LINE + 70_000),
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    ],
)
def test_what_is_no_http_is_called_so(path: str, answer: bytes) -> None:
    """A stranger's protocol, a broken length and a flood of headers all end the exchange."""
    with standing_in(path, lambda request: answer), pytest.raises(raw.Garbled):
        exchanged(path)


def test_a_reply_without_end_is_left(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body beyond the bound is not collected."""
    monkeypatch.setattr(raw, "MAX_BODY", 1000)
    with standing_in(path, lambda request: reply(200, b"x" * 1001)), pytest.raises(raw.Garbled):
        exchanged(path)


@pytest.mark.parametrize(
    "answer", [None, b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"]
)
def test_a_reply_that_breaks_off_is_gone(path: str, answer: bytes | None) -> None:
    """No byte of a reply, or a part of it, is no reply."""
    with standing_in(path, lambda request: answer), pytest.raises(raw.Gone):
        exchanged(path)


def test_silence_ends_with_the_deadline(path: str) -> None:
    """A daemon that accepts and never answers costs the deadline and no more."""
    released = threading.Event()

    def silent(request: Request) -> None:
        released.wait()

    with standing_in(path, silent):
        begin = time.monotonic()
        with pytest.raises(raw.TimeUp):
            exchanged(path, seconds=0.2)
        assert time.monotonic() - begin < SOON
        released.set()


def test_a_trickle_does_not_move_the_deadline(path: str) -> None:
    """The deadline is for the whole reply, not for each read of it."""
    stop = threading.Event()

    class Trickling(StandIn):
        def _send(self, connection: socket.socket, answer: bytes) -> None:
            while not stop.wait(0.01):
                connection.sendall(b"x")

    daemon = Trickling(path, lambda request: b"")
    daemon.start()
    with pytest.raises(raw.TimeUp):
        exchanged(path, seconds=0.2)
    stop.set()
    daemon.stop()


def test_a_reply_never_shows_its_body() -> None:
    """The body of a reply may be a token, so its repr tells the size alone."""
    assert "secret" not in repr(raw.Reply(200, {}, b"secret"))


# --- what is sent ---------------------------------------------------------------------------


def test_a_body_travels_whole(path: str) -> None:
    """A JSON request arrives as it was composed, with its length and its kind."""
    with standing_in(path, lambda request: text_reply("ok")) as daemon:
        exchanged(path, raw.json_request("POST", "/v1/x", b'{"a": "' + b"x" * 200_000 + b'"}'))
    assert daemon.requests == [Request("POST", "/v1/x", {"a": "x" * 200_000})]


@pytest.mark.parametrize("value", ["plain-._~09AZ", "a b&c=d?#%/+", "ü€😀", "\r\nX: y"])
def test_a_quoted_value_comes_back_as_it_was(value: str) -> None:
    """What a program asks for can't change the request around it."""
    from urllib.parse import quote, unquote

    assert unquote(raw.quoted(value)) == value
    assert raw.quoted(value) == quote(value, safe="")


def test_a_time_out_is_a_struct_timeval() -> None:
    """The bytes that setsockopt is given are those of `struct timeval` on this machine."""
    assert raw.timeval(2.25) == struct.pack("@ll", 2, 250_000)


# --- to whom nothing is sent ----------------------------------------------------------------


def refuse(path: str, kind: type[Exception], words: str) -> None:
    """The exchange ends with this error, and the listener is not even connected to."""
    with standing_in(path, lambda request: text_reply("ok")) as daemon:
        with pytest.raises(kind, match=words):
            exchanged(path)
        assert (daemon.connections, daemon.requests) == (0, [])


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o720, 0o750, 0o707, 0o777, 0o1777])
def test_t80_a_folder_open_to_others_is_sent_nothing(folder: str, path: str, mode: int) -> None:
    """Whoever may write to the folder can take the daemon's place, whoever may read knows more."""
    os.chmod(folder, mode)
    refuse(path, Denied, "open to others")
    os.chmod(folder, 0o700)


def test_t80_a_folder_that_is_a_link_is_sent_nothing(folder: str) -> None:
    """A symbolic link can be turned elsewhere between the look and the connect."""
    os.mkdir(folder + "/real", 0o700)
    os.symlink("real", folder + "/link")
    refuse(folder + "/link/credd.sock", Denied, "not a real folder")


def test_t80_a_folder_of_somebody_else_is_sent_nothing(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder's owner decides who listens in it, so it has to be us."""
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    refuse(path, Denied, "belongs to uid")


def test_t80_a_listener_of_another_uid_is_sent_nothing(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's word on who listens is asked for before the first byte."""
    monkeypatch.setattr(raw, "peer_uid", lambda socket: os.geteuid() + 1)
    with standing_in(path, lambda request: text_reply("ok")) as daemon:
        with pytest.raises(Denied, match="nothing was sent"):
            exchanged(path)
        wait_until(lambda: daemon.connections == 1)
    assert daemon.requests == []


FOREIGN_LISTENER = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.seteuid(65534)  # the kernel notes who calls listen()
listener.listen(1)
print("ready", flush=True)
connection, _ = listener.accept()
print(len(connection.recv(100)), flush=True)
"""


@pytest.fixture
def foreign_listener(path: str) -> Iterator[subprocess.Popen[str]]:
    """A process of another uid that listens at the path; only root can start one."""
    command = [sys.executable, "-c", FOREIGN_LISTENER, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a listener of another uid")
@pytest.mark.skipif(not Path("/proc").exists(), reason="SO_PEERCRED is Linux's")
def test_t80_a_real_listener_of_another_uid_reads_no_byte(
    path: str, foreign_listener: subprocess.Popen[str]
) -> None:
    """The same with the kernel's own answer."""
    with pytest.raises(Denied, match="uid 65534 listens"):
        exchanged(path)
    assert foreign_listener.stdout is not None
    assert foreign_listener.stdout.readline() == "0\n"


def test_a_path_that_fits_no_address_is_called_so(folder: str) -> None:
    """The kernel would only say that it is too long; we say how long it may be, and what to do."""
    with pytest.raises(Misconfigured, match="bytes") as caught:
        exchanged(folder + "/" + "x" * 100)
    assert "CREDD_SOCK" in caught.value.remedy


# --- connecting -----------------------------------------------------------------------------


def fill_backlog(path: str) -> list[socket.socket]:
    """Connect until the kernel refuses to queue one more."""
    waiting = []
    while True:
        probe = socket.socket(socket.AF_UNIX)
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:
            probe.close()
            return waiting
        waiting.append(probe)


def test_g12_a_full_backlog_fails_nobody(path: str) -> None:
    """500 clients at a backlog of 4 all get their answer: each waits in the kernel for its turn."""
    daemon = StandIn(path, lambda request: text_reply("ok"), backlog=4)
    daemon.listen()
    waiting = fill_backlog(path)
    with ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(exchanged, path, seconds=30) for _ in range(500)]
        daemon.serve()
        assert [one.result().body for one in asked] == [b"ok"] * 500
    for probe in waiting:
        probe.close()
    daemon.stop()


def test_a_full_backlog_waits_no_longer_than_the_deadline(path: str) -> None:
    """The connect really blocks, and yet has an end."""
    daemon = StandIn(path, lambda request: None, backlog=1)
    daemon.listen()
    waiting = fill_backlog(path)
    with pytest.raises(raw.TimeUp):
        exchanged(path, seconds=0.1)
    for probe in waiting:
        probe.close()
    daemon.die()


@pytest.mark.skipif(sys.platform != "linux", reason="how Linux interrupts a connect")
def test_a_connect_that_a_signal_ended_is_not_taken_for_a_connection(path: str) -> None:
    """Python returns from it as if it were connected; the kernel's word on the peer tells."""
    daemon = StandIn(path, lambda request: None, backlog=1)
    daemon.listen()
    waiting = fill_backlog(path)
    before = signal.signal(signal.SIGALRM, lambda number, frame: None)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        with pytest.raises(raw.NotConnected):
            exchanged(path, seconds=1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    for probe in waiting:
        probe.close()
    daemon.die()


def test_no_descriptor_is_left_behind(path: str, folder: str) -> None:
    """Every way an exchange can end closes its socket; an open one would be a ResourceWarning."""
    with standing_in(path, lambda request: None):
        before = len(os.listdir("/dev/fd"))
        for _ in range(20):
            with pytest.raises(raw.Gone):
                exchanged(path)
        assert len(os.listdir("/dev/fd")) <= before + 2  # the stand-in's own threads
    with pytest.raises(FileNotFoundError):
        exchanged(folder + "/none.sock")


# --- another uid's daemon -------------------------------------------------------------------

OURS = os.geteuid()


@pytest.mark.parametrize(
    ("sock", "uid", "owner"),
    [
        ("/job/credd.sock", "4711", 4711),
        ("/job/credd.sock/", "4711", 4711),
        ("/job/credd.sock", "", None),
        ("/job/credd.sock", "-1", None),
        ("/job/credd.sock", "abc", None),
        ("/job/credd.sock", "\u0664", None),
        ("/other/credd.sock", "4711", None),
        ("", "4711", None),
    ],
)
def test_t80_another_uid_is_taken_only_where_both_were_named(
    monkeypatch: pytest.MonkeyPatch, sock: str, uid: str, owner: int | None
) -> None:
    """CREDD_SOCK names this very path, and CREDD_SOCK_UID a number; else it must be our own."""
    monkeypatch.setenv("CREDD_SOCK", sock)
    monkeypatch.setenv("CREDD_SOCK_UID", uid)
    assert raw.owner_of("/job/credd.sock") == owner


@pytest.mark.parametrize(("mode", "is_fit"), [(0o711, True), (0o755, True), (0o777, False)])
def test_t80_an_expected_owners_folder_is_written_to_by_nobody_else(
    folder: str, mode: int, is_fit: bool
) -> None:
    """Others may enter it; whoever could write to it could take the socket's place."""
    os.chmod(folder, mode)
    if is_fit:
        raw.check_folder(folder, OURS)
    else:
        with pytest.raises(Denied, match="nothing was sent"):
            raw.check_folder(folder, OURS)
    with pytest.raises(Denied, match="nothing was sent"):
        raw.check_folder(folder, OURS + 1)
    with pytest.raises(Denied, match="CREDD_SOCK_UID"):
        raw.check_listener(OURS, "/job/credd.sock", OURS + 1)
    os.chmod(folder, 0o700)
