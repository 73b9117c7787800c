"""Requests: what leaves, what comes back, and which of the two failures each misfortune is."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from credd.core.conversation import NeverSent, ReplyLost
from credd.core.model import Secret
from credd.core.network import Network
from credd.world.clock import Clock
from credd.world.http import MAX_REPLY, HttpWorld, translate
from credd.world.leaving import checked_url, tls_context
from tests.world.strange_servers import (
    StrangeServer,
    answering,
    free_port,
    replying,
    reset,
    self_signed,
    serving,
)

FORM = {"grant_type": "refresh_token", "refresh_token": Secret("rt-CANARY-http +&=ü")}


@asynccontextmanager
async def world(**settings: Any) -> AsyncIterator[HttpWorld]:
    async with HttpWorld(Clock(), **settings) as opened:
        yield opened


async def post(url: str, **settings: Any) -> Any:
    async with world(**settings) as opened:
        return await opened.post(url, FORM)


async def lost(url: str, **settings: Any) -> str:
    """The reason of the ReplyLost that posting to this URL raises."""
    with pytest.raises(ReplyLost) as caught:
        await post(url, **settings)
    return caught.value.reason


async def unsent(url: str, **settings: Any) -> str:
    """The reason of the NeverSent that posting to this URL raises."""
    with pytest.raises(NeverSent) as caught:
        await post(url, **settings)
    return caught.value.reason


# --- what leaves ----------------------------------------------------------------------------


async def test_a_form_leaves_encoded_and_its_reply_comes_back() -> None:
    """Secrets are revealed into the form; status, lower-case headers, body and moment return."""
    clock = Clock()
    behave = replying(b'{"a":1}', status="400 Bad", headers="X-One: 1\r\nx-one: 2\r\n")
    with serving(behave) as server:
        before = clock.now().wall
        async with HttpWorld(clock) as opened:
            reply = await opened.post(
                server.url, FORM, headers={"Authorization": Secret("Basic x")}
            )
    head, _, body = server.seen[0].partition(b"\r\n\r\n")
    assert body == b"grant_type=refresh_token&refresh_token=rt-CANARY-http+%2B%26%3D%C3%BC"
    assert head.startswith(b"POST /token HTTP/1.1\r\n")
    lines = {line.lower() for line in head.split(b"\r\n")}
    assert lines >= {
        b"content-type: application/x-www-form-urlencoded", b"accept: application/json",
        b"accept-encoding: identity", b"authorization: basic x", b"connection: close",
    }  # fmt: skip
    assert any(line.startswith(b"user-agent: credd/") for line in lines)
    assert (reply.status, reply.json(), reply.headers["x-one"]) == (400, {"a": 1}, "1, 2")
    assert before <= reply.sent.wall <= clock.now().wall


async def test_a_url_is_sent_exactly_as_it_is_written() -> None:
    """Percent signs, dots and queries of an endpoint are the issuer's own and stay as they are."""
    with serving(replying(b"{}")) as server:
        async with world() as opened:
            await opened.get(f"http://127.0.0.1:{server.port}/a%2Fb/%7Ec?x=%20y&z=a+b")
            await opened.get(f"http://127.0.0.1:{server.port}")
    assert [seen.split(b" ")[1] for seen in server.seen] == [b"/a%2Fb/%7Ec?x=%20y&z=a+b", b"/"]


async def test_each_request_has_a_connection_of_its_own() -> None:
    """A kept connection may be dying while we write to it: none is kept."""
    clients: list[object] = []

    def behave(connection: socket.socket, server: StrangeServer) -> None:
        clients.append(connection.getpeername())
        while server.read_request(connection):  # would gladly serve the next one here
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with serving(behave) as server:
        async with world() as opened:
            for _ in range(3):
                await opened.post(server.url, FORM)
    assert len(set(clients)) == 3


async def test_cookies_proxies_and_netrc_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An issuer's cookie is not sent back, and no variable of a shell changes where we connect."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password pw-CANARY-netrc\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with serving(replying(b"{}", headers="Set-Cookie: sid=1; Path=/\r\n")) as server:
        async with world() as opened:
            for _ in range(2):
                await opened.post(f"http://localhost:{server.port}/token", FORM)
    sent = b"".join(server.seen).lower()
    assert b"cookie" not in sent
    assert b"authorization" not in sent


async def test_t47_a_redirect_is_an_answer_and_not_followed() -> None:
    """Whatever a token endpoint redirects to gets neither a request nor a credential."""
    with serving(replying(b"{}")) as elsewhere:
        for status in ("301 Moved", "302 Found", "307 Temporary", "308 Permanent"):
            with serving(
                replying(b"", status=status, headers=f"Location: {elsewhere.url}\r\n")
            ) as server:
                reply = await post(server.url)
                assert reply.status == int(status[:3])
    assert elsewhere.seen == []


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example.com/token",
        "http://127.0.0.1.example.com/token",
        "http://127.1/token",
        "http://2130706433/token",
        "http://0.0.0.0/token",
        "https://user@issuer.example.com/token",
        "https://user:pw@issuer.example.com/token",
        "https://@issuer.example.com/token",
        "https:///token",
        "https://",
        "https:issuer.example.com",
        "//issuer.example.com/token",
        "issuer.example.com/token",
        "ftp://issuer.example.com/token",
        "file:///etc/passwd",
        "https://issuer.example.com/\r\nHost: x",
        "https://issuer.example.com/a b",
        "https://issuer.example.com:0/",
        "https://issuer.example.com:99999/",
        "https://[::1/",
        "https://issüer.example.com/",
        "",
    ],
)
async def test_t47_a_url_that_could_show_a_secret_is_refused(url: str) -> None:
    """Only https, or http to this very machine; no user information; nothing ambiguous."""
    asked: list[str] = []

    def ask(host: str, port: int, family: int) -> list[Any]:
        asked.append(host)
        raise OSError

    assert await unsent(url, ask=ask) == "refused_url"
    assert asked == []


@pytest.mark.parametrize(
    "url",
    [
        "https://issuer.example.com/token", "https://10.0.0.1:8443/", "http://127.0.0.1:1/",
        "http://127.9.9.9/", "http://[::1]:80/token", "http://localhost:8080/x", "HTTP://LOCALHOST/",
    ],
)  # fmt: skip
def test_an_honest_url_is_accepted(url: str) -> None:
    """https to anywhere, http to loopback alone."""
    assert checked_url(url).host


@pytest.mark.parametrize("value", ["a\r\nHost: evil", "a\0b", "a\x1bb", "\u2028", "tab\there"])
async def test_a_header_that_would_break_the_request_never_leaves(value: str) -> None:
    """A control character in a header is refused before anything is connected."""
    with serving(replying(b"{}")) as server:
        async with world() as opened:
            with pytest.raises(NeverSent, match="refused_header"):
                await opened.get(server.url, headers={"Authorization": Secret(value)})
    assert server.seen == []


async def test_a_form_that_has_no_utf8_never_leaves() -> None:
    """Half a surrogate pair can't be encoded: refused, and the text is not quoted."""
    with serving(replying(b"{}")) as server:
        async with world() as opened:
            with pytest.raises(NeverSent, match="refused_form") as caught:
                await opened.post(server.url, {"password": Secret("pw-CANARY-\ud800")})
    assert caught.value.__cause__ is None
    assert server.seen == []


# --- never sent -----------------------------------------------------------------------------


async def test_a_refused_connection_is_never_sent() -> None:
    """Nobody listens: nothing left."""
    assert await unsent(f"http://127.0.0.1:{free_port()}/token") == "connect"


async def test_a_name_that_does_not_exist_is_never_sent() -> None:
    """The look-up failed: nothing left. That is what a laptop without a network sees."""

    def ask(host: str, port: int, family: int) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    assert await unsent("https://issuer.invalid/token", ask=ask) == "dns"
    assert await unsent("https://issuer.invalid/token", ask=lambda *_: []) == "dns"


async def test_t87_hung_look_ups_stop_nobody_else() -> None:
    """Six names hang; a request to another issuer is answered, and the hung ones time out."""
    release = threading.Event()

    def ask(host: str, port: int, family: int) -> list[Any]:
        if host.startswith("hung"):
            release.wait(20)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]

    with serving(replying(b"{}")) as server:
        async with world(ask=ask, connect_within=0.5) as opened:
            hung = [
                asyncio.create_task(opened.post(f"https://hung{n}.example/", FORM))
                for n in range(6)
            ]
            await asyncio.sleep(0)
            reply = await opened.post(f"http://localhost:{server.port}/token", FORM)
            outcomes = await asyncio.gather(*hung, return_exceptions=True)
        release.set()
    assert reply.status == 200
    assert {repr(outcome) for outcome in outcomes} == {"NeverSent('time_out')"}


async def test_those_who_ask_for_a_hung_name_share_one_look_up() -> None:
    """A name that hangs holds one thread, however often it is asked for again."""
    release, asked = threading.Event(), []

    def ask(host: str, port: int, family: int) -> list[Any]:
        asked.append(host)
        release.wait(20)
        return []

    async with world(ask=ask, connect_within=0.1) as opened:
        for _ in range(3):
            with pytest.raises(NeverSent, match="time_out"):
                await opened.post("https://hung.example/", FORM)
        release.set()
    assert asked == ["hung.example"]


async def test_localhost_is_never_asked_of_a_name_server() -> None:
    """Plain HTTP goes to localhost, so nobody but us may say where that is."""

    def ask(host: str, port: int, family: int) -> list[Any]:
        raise AssertionError(host)

    with serving(replying(b"{}")) as server:
        reply = await post(f"http://localhost:{server.port}/token", ask=ask)
    assert reply.status == 200


async def test_a_certificate_nobody_vouches_for_is_never_sent(tmp_path: Path) -> None:
    """The handshake fails, so the form stays here; with the issuer's own CA it goes."""
    tls, chain = self_signed(tmp_path)
    with serving(replying(b"{}"), tls) as server:
        url = f"https://127.0.0.1:{server.port}/token"
        assert await unsent(url) == "tls"
        assert server.seen == []
        trusting = {"network": lambda: Network(ca_file=str(chain))}
        assert (await post(url, **trusting)).status == 200
        assert await unsent(f"https://localhost:{server.port}/token", **trusting) == "tls"
    assert len(server.seen) == 1


async def test_a_server_that_speaks_no_tls_is_never_sent() -> None:
    """Plain HTTP behind an https URL fails in the handshake."""

    def behave(connection: socket.socket, server: StrangeServer) -> None:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.recv(1)

    with serving(behave) as server:
        assert await unsent(f"https://127.0.0.1:{server.port}/") == "tls"


async def test_a_silent_handshake_times_out_as_never_sent() -> None:
    """A connection that stands but never finishes TLS has carried nothing of ours."""
    with serving(lambda connection, server: server.closing.wait(20) and None) as server:
        url = f"https://127.0.0.1:{server.port}/"
        assert await unsent(url, connect_within=0.2) == "time_out"


def test_old_tls_is_refused_and_keys_are_not_logged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """TLS 1.2 at least, names verified, and SSLKEYLOGFILE has no say."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    context = tls_context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.keylog_filename is None


# --- reply lost -----------------------------------------------------------------------------


def closes_at_once(connection: socket.socket, server: StrangeServer) -> None:
    connection.close()


def closes_after_reading(connection: socket.socket, server: StrangeServer) -> None:
    server.read_request(connection)


def resets_after_reading(connection: socket.socket, server: StrangeServer) -> None:
    server.read_request(connection)
    reset(connection)


def resets_in_the_reply(connection: socket.socket, server: StrangeServer) -> None:
    server.read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    reset(connection)


@pytest.mark.parametrize(
    "behave",
    [
        closes_at_once, closes_after_reading, resets_after_reading,
        resets_in_the_reply,
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"),
        answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"),
        answering(b"HTTP/1.1 200 OK\r\nContent-Le"),
    ],
)  # fmt: skip
async def test_t68_a_connection_that_broke_after_it_stood_may_have_carried_the_form(
    behave: Any,
) -> None:
    """However it broke, and however little we wrote: the reply counts as lost."""
    with serving(behave) as server:
        assert await lost(server.url) == "reset"


async def test_a_reset_at_once_is_judged_by_whether_the_connection_stood() -> None:
    """It may arrive before we know that we are connected: then nothing was sent, and we say so."""
    at_once = serving(lambda connection, _: reset(connection))
    with at_once as server, pytest.raises((NeverSent, ReplyLost)) as caught:
        await post(server.url)
    assert caught.value.reason == ("connect" if caught.type is NeverSent else "reset")


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 999999 What\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nBad Header: \0\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n{}",
    ],
)
async def test_what_is_no_http_is_a_lost_reply(raw: bytes) -> None:
    """Something answered, and it can't be read."""
    with serving(answering(raw)) as server:
        assert await lost(server.url) in {"malformed", "reset"}


async def test_a_get_is_sent_once_too() -> None:
    """The library would repeat a GET whose connection broke; here nothing is sent twice."""
    with serving(closes_after_reading) as server:
        async with world() as opened:
            with pytest.raises(ReplyLost, match="reset"):
                await opened.get(server.url)
    assert len(server.seen) == 1


async def test_t68_an_issuer_that_never_answers_is_a_lost_reply() -> None:
    """Waiting ends, and the outcome is unknown."""

    def behave(connection: socket.socket, server: StrangeServer) -> None:
        server.read_request(connection)
        server.closing.wait(20)

    with serving(behave) as server:
        assert await lost(server.url, answer_within=0.3) == "time_out"


@pytest.mark.parametrize("part", [b"a", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_a_reply_that_trickles_has_an_end(part: bytes) -> None:
    """A byte now and then keeps nobody for ever: the whole reply has one deadline."""

    def behave(connection: socket.socket, server: StrangeServer) -> None:
        server.read_request(connection)
        if part == b"a":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not server.closing.wait(0.02):
            connection.sendall(part)

    with serving(behave) as server:
        assert await lost(server.url, answer_within=0.3) == "time_out"


async def test_a_slow_reply_is_awaited() -> None:
    """An answer that takes longer than a connection may is still an answer."""

    def behave(connection: socket.socket, server: StrangeServer) -> None:
        server.read_request(connection)
        server.closing.wait(0.4)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with serving(behave) as server:
        reply = await post(server.url, connect_within=0.2)
    assert reply.status == 200


def pours(connection: socket.socket, server: StrangeServer) -> None:
    server.read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not server.closing.is_set():
        connection.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


@pytest.mark.parametrize(
    "behave",
    [pours, answering(b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n{}")],
    ids=["without a length", "announced 10 GiB"],
)
async def test_t49_a_huge_reply_is_cut_off(behave: Any) -> None:
    """Reading stops at 1 MiB, with or without an announcement."""
    with serving(behave) as server:
        assert await lost(server.url) == "too_large"


async def test_a_reply_of_the_largest_size_is_read() -> None:
    """The bound itself is allowed."""
    with serving(replying(b" " * MAX_REPLY)) as server:
        assert len((await post(server.url)).body) == MAX_REPLY


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
async def test_t49_a_compressed_bomb_is_not_unpacked(encoding: str) -> None:
    """We asked for no encoding; one that comes all the same is not touched."""
    bomb = gzip.compress(b" " * 50_000_000)
    with serving(replying(bomb, headers=f"Content-Encoding: {encoding}\r\n")) as server:
        assert await lost(server.url) == "encoded"


# --- the door -------------------------------------------------------------------------------


def client_errors(root: type[Exception]) -> Iterator[type[Exception]]:
    for child in root.__subclasses__():
        yield child
        yield from client_errors(child)


@pytest.mark.parametrize("connected", [False, True])
def test_every_foreign_error_becomes_one_of_two(connected: bool) -> None:
    """aiohttp's whole tree, the system's and TLS's errors: none slips by, none is misjudged."""
    kinds = {*client_errors(aiohttp.ClientError), OSError, ssl.SSLError, TimeoutError, ValueError,
             UnicodeError, RuntimeError, AssertionError, ConnectionResetError}  # fmt: skip
    for kind in kinds:
        verdict = translate(kind.__new__(kind), connected, "POST https://issuer.example")
        assert isinstance(verdict, ReplyLost if connected else NeverSent), kind
        assert verdict.reason.replace("_", "").isalpha()


async def test_t53_a_failure_shows_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the error's chain nor the log holds what was posted, whatever aiohttp had to say."""
    caplog.set_level(logging.DEBUG)
    with serving(answering(b"HTTP/1.1 200 OK\r\nBad Header: \0\r\n\r\n{}")) as server:
        async with world() as opened:
            with pytest.raises(ReplyLost) as caught:
                await opened.post(
                    server.url, FORM, headers={"Authorization": Secret("pw-CANARY-1")}
                )
    error: BaseException | None = caught.value
    assert error is not None
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert "CANARY" not in caplog.text + repr(error) + str(error)


async def test_a_closed_world_sends_nothing() -> None:
    """After its `async with`, a world refuses, and says that nothing left."""
    opened = HttpWorld(Clock())
    assert repr(opened) == "<HttpWorld closed>"
    with pytest.raises(NeverSent, match="closed"):
        await opened.get("https://issuer.example/")


async def test_cancelling_a_request_closes_its_connection() -> None:
    """Whoever gives up leaves nothing behind."""
    ended = threading.Event()

    def behave(connection: socket.socket, server: StrangeServer) -> None:
        server.read_request(connection)
        assert connection.recv(1) == b""
        ended.set()

    with serving(behave) as server:
        async with world() as opened:
            task = asyncio.create_task(opened.post(server.url, FORM))
            assert await asyncio.to_thread(server.arrived.wait, 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(ended.wait, 10)


def test_the_linger_option_resets() -> None:
    """The tests' own reset is one: the other side sees it as such."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        reset(accepted)
        with client, pytest.raises(ConnectionResetError):
            client.recv(1)
    assert struct.calcsize("ii") == 8
