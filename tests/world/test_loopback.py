"""The listener for a browser's return: who may come, what they see, and when the door closes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credd.core.failures import Failed
from credd.world import loopback
from credd.world.callback import Place, Refused, page, read_query
from credd.world.loopback import LONGEST_HEAD, MOST_CONNECTIONS, Listening, listening
from tests.world.strange_servers import free_port

RIGHT = "code=c1&state=right"


def is_ours(query: str) -> bool:
    return query == RIGHT


@asynccontextmanager
async def listener(redirect_uri: str = "") -> AsyncIterator[Listening]:
    async with listening(redirect_uri, is_ours) as waiting:
        yield waiting


def port_of(waiting: Listening) -> int:
    return int(waiting.redirect_uri.split(":")[2].partition("/")[0])


async def send(port: int, raw: bytes, address: str = "127.0.0.1") -> bytes:
    """Everything that comes back for these bytes."""
    reader, writer = await asyncio.open_connection(address, port)
    writer.write(raw)
    await writer.drain()
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def request(
    port: int, target: str = f"/callback?{RIGHT}", host: str = "", method: str = "GET",
    more: str = "",
) -> bytes:  # fmt: skip
    host = host or f"127.0.0.1:{port}"
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


async def is_closed(port: int, address: str = "127.0.0.1") -> bool:
    try:
        _, writer = await asyncio.open_connection(address, port)
    except OSError:
        return True
    writer.close()
    return False


# --- the rightful answer --------------------------------------------------------------------


@pytest.mark.parametrize(("address", "host"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
async def test_t39_the_answer_comes_by_either_loopback_address(address: str, host: str) -> None:
    """The same port on both; one answer, and the door is closed on both."""
    async with listener() as waiting:
        port = port_of(waiting)
        assert waiting.redirect_uri == f"http://127.0.0.1:{port}/callback"
        answer = await send(port, request(port, host=f"{host}:{port}"), address)
        assert status_of(answer) == 200
        assert b"You may close this window" in answer
        assert await waiting.answer() == RIGHT
    assert await is_closed(port)
    assert await is_closed(port, "::1")


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST"])
async def test_each_name_of_this_machine_is_answered(name: str) -> None:
    """Whichever of them the redirect address has, a browser names it as Host."""
    async with listener() as waiting:
        port = port_of(waiting)
        assert status_of(await send(port, request(port, host=f"{name}:{port}"))) == 200


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
async def test_a_fixed_address_is_listened_on_as_it_is_written(name: str) -> None:
    """Host, port and path of a configured `redirect_uri`."""
    port = free_port()
    async with listener(f"http://{name}:{port}/oauth/back") as waiting:
        assert waiting.redirect_uri == f"http://{name}:{port}/oauth/back"
        assert status_of(await send(port, request(port))) == 404
        assert status_of(await send(port, request(port, f"/oauth/back?{RIGHT}"))) == 200


async def test_a_fixed_port_can_be_listened_on_again_at_once() -> None:
    """The next login does not wait for the kernel's TIME_WAIT."""
    address = f"http://127.0.0.1:{free_port()}/"
    for _ in range(3):
        async with listener(address) as waiting:
            port = port_of(waiting)
            assert status_of(await send(port, request(port, f"/?{RIGHT}"))) == 200


async def test_an_address_without_a_port_takes_any_free_one() -> None:
    """RFC 8252 7.3: issuers that follow it ignore the port of a registered loopback address."""
    async with listener("http://localhost/back") as one, listener("http://localhost/back") as two:
        assert one.redirect_uri.startswith("http://localhost:")
        assert one.redirect_uri.endswith("/back")
        assert one.redirect_uri != two.redirect_uri


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_a_fixed_port_of_another_program_is_named(family: int) -> None:
    """On either address: who holds one of them would get half of the answers."""
    with socket.socket(family, socket.SOCK_STREAM) as other:
        other.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        other.listen()
        with pytest.raises(Failed, match="port_taken"):
            async with listener(f"http://127.0.0.1:{other.getsockname()[1]}/"):
                pass


@pytest.mark.parametrize(
    "address",
    ["http://0.0.0.0:8400/", "http://192.0.2.1:8400/", "https://127.0.0.1:8400/", "http://127.0.0.2/",
     "http://u@127.0.0.1/", "http://127.0.0.1/?a=b", "http://127.0.0.1:99999/", "http://[::/"],
)  # fmt: skip
async def test_t39_nothing_but_loopback_is_ever_listened_on(address: str) -> None:
    """Whatever a setting or a plug-in says."""
    with pytest.raises(Failed, match="bad_redirect_uri"):
        async with listener(address):
            pass


# --- everybody else -------------------------------------------------------------------------

OWN = "Host: 127.0.0.1:PORT"
ASKED = "GET /callback?RIGHT HTTP/1.1"
STRANGERS: dict[str, tuple[int, tuple[str, ...]]] = {
    "no host": (400, (ASKED,)),
    "rebound host": (400, (ASKED, "Host: evil.example:PORT")),
    "host without port": (400, (ASKED, "Host: 127.0.0.1")),
    "host of another port": (400, (ASKED, "Host: 127.0.0.1:1")),
    "host that begins alike": (400, (ASKED, "Host: 127.0.0.1:PORT.evil.example")),
    "another address of this machine": (400, (ASKED, "Host: 127.0.0.2:PORT")),
    "two hosts": (400, (ASKED, OWN, OWN)),
    "an origin": (403, (ASKED, OWN, "Origin: http://127.0.0.1:PORT")),
    "a null origin": (403, (ASKED, OWN, "origin: null")),
    "another path": (404, ("GET /favicon.ico HTTP/1.1", OWN)),
    "a longer path": (404, ("GET /callback/?RIGHT HTTP/1.1", OWN)),
    "an encoded path": (404, ("GET /%63allback?RIGHT HTTP/1.1", OWN)),
    "a post": (405, ("POST /callback?RIGHT HTTP/1.1", OWN)),
    "a head": (405, ("HEAD /callback?RIGHT HTTP/1.1", OWN)),
    "a preflight": (405, ("OPTIONS /callback?RIGHT HTTP/1.1", OWN)),
    "a proxy's request": (400, ("GET http://127.0.0.1:PORT/callback?RIGHT HTTP/1.1", OWN)),
    "a folded header": (400, (ASKED, OWN, "X: a", " b")),
    "a bare line end": (400, (f"{ASKED}\n{OWN}",)),
    "a greeting of TLS": (400, ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc",)),
    "HTTP 2": (400, ("PRI * HTTP/2.0",)),
    "a byte beyond ASCII": (400, ("GET /callback?RIGHT\xff HTTP/1.1", OWN)),
    "another state": (400, ("GET /callback?code=c1&state=wrong HTTP/1.1", OWN)),
    "no query": (400, ("GET /callback HTTP/1.1", OWN)),
    "a script": (400, ("GET /callback?error=x&error_description=<script> HTTP/1.1", OWN)),
    "a long head": (431, (ASKED, "X: " + "x" * (LONGEST_HEAD + 1))),
}


def written(lines: tuple[str, ...], port: int) -> bytes:
    """A stranger's request as bytes."""
    text = "\r\n".join(lines) + "\r\n\r\n"
    return text.replace("PORT", str(port)).replace("RIGHT", RIGHT).encode("latin-1")


@pytest.mark.parametrize("name", STRANGERS)
async def test_t41_whoever_else_comes_is_refused_and_the_wait_goes_on(name: str) -> None:
    """The rightful answer after it is taken, and nothing of the stranger's is in any page."""
    status, lines = STRANGERS[name]
    async with listener() as waiting:
        port = port_of(waiting)
        answer = await send(port, written(lines, port))
        assert status_of(answer) == status
        assert answer.partition(b"\r\n\r\n")[2] == page(status).partition(b"\r\n\r\n")[2]
        assert status_of(await send(port, request(port))) == 200
        assert await waiting.answer() == RIGHT


async def test_t40_the_answer_is_taken_once() -> None:
    """The same again is refused, even before the door has closed."""
    async with listener() as waiting:
        port = port_of(waiting)
        assert status_of(await send(port, request(port))) == 200
        assert status_of(await send(port, request(port))) == 400
        assert await waiting.answer() == RIGHT


async def test_a_silent_connection_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Browsers open connections ahead and say nothing on them."""
    monkeypatch.setattr(loopback, "HEAD_WITHIN", 0.2)
    async with listener() as waiting:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(waiting))
        assert await reader.read() == b""
        writer.close()
        assert status_of(await send(port_of(waiting), request(port_of(waiting)))) == 200


async def test_a_flood_of_connections_is_cut_at_once() -> None:
    """One more than there is room for is closed; with one less there is room again."""
    async with listener() as waiting:
        port = port_of(waiting)
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MOST_CONNECTIONS)]
        async with asyncio.timeout(loopback.HEAD_WITHIN / 2):
            assert await send(port, b"") == b"", "refused long before it would have timed out"
        silent[0][1].close()
        async with asyncio.timeout(loopback.HEAD_WITHIN / 2):
            while not (answer := await send(port, request(port))):  # noqa: ASYNC110 - it says nothing
                await asyncio.sleep(0.01)
        assert status_of(answer) == 200
        for _, writer in silent:
            writer.close()


@pytest.mark.parametrize("error", [TimeoutError, ValueError, asyncio.CancelledError])
async def test_t39_the_door_closes_however_the_wait_ends(error: type[BaseException]) -> None:
    """Time-out, error, cancel: no port is left open."""
    ports: list[int] = []

    async def wait() -> None:
        async with listener() as waiting:
            ports.append(port_of(waiting))
            assert not await is_closed(ports[0])
            raise error

    with pytest.raises(error):
        await wait()
    assert await is_closed(ports[0])
    assert await is_closed(ports[0], "::1")


async def test_t39_a_wait_that_is_cut_short_leaves_no_task() -> None:
    """Nobody reads on from a connection whose login is over."""
    before = asyncio.all_tasks()

    async def wait() -> None:
        async with asyncio.timeout(0.05), listener() as waiting:
            _, writer = await asyncio.open_connection("127.0.0.1", port_of(waiting))
            try:
                await waiting.answer()
            finally:
                writer.close()

    with pytest.raises(TimeoutError):
        await wait()
    assert asyncio.all_tasks() == before


def listened_on(port: int) -> set[str]:
    """The local addresses (proc(5)'s hexadecimal) of the sockets that listen on this port."""
    tables = (Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6"))
    fields = [line.split() for table in tables for line in table.splitlines()[1:]]
    places = [one[1].partition(":") for one in fields if one[3] == "0A"]
    return {address for address, _, number in places if int(number, 16) == port}


async def test_nobody_outside_this_machine_is_listened_to() -> None:
    """Bound to 127.0.0.1 and ::1, and to no other address."""
    async with listener() as waiting:
        assert listened_on(port_of(waiting)) == {"0100007F", "00000000000000000000000001000000"}


async def test_a_machine_without_the_newer_protocol_listens_on_the_older(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Containers often have no ::1."""
    usual = loopback._door
    monkeypatch.setattr(
        loopback, "_door",
        lambda family, *rest: None if family == socket.AF_INET6 else usual(family, *rest),
    )  # fmt: skip
    async with listener() as waiting:
        assert status_of(await send(port_of(waiting), request(port_of(waiting)))) == 200


async def test_a_port_that_is_free_on_one_address_alone_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another program on ::1 would get the answers of a browser that prefers it."""
    usual, tries = loopback._door, []

    def door(family: socket.AddressFamily, address: str, port: int) -> socket.socket | None:
        if family == socket.AF_INET6:
            tries.append(port)
            if len(tries) < 3:
                raise loopback._Taken
        return usual(family, address, port)

    monkeypatch.setattr(loopback, "_door", door)
    async with listener() as waiting:
        assert port_of(waiting) == tries[-1]
    assert len(tries) == 3


# --- the page -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 400, 403, 404, 405, 431])
def test_t42_every_page_is_one_static_text_under_a_strict_policy(status: int) -> None:
    """No script, nothing from elsewhere, no frame around it, no address handed on, no cache."""
    head, _, body = page(status).partition(b"\r\n\r\n")
    lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    policy = lines["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert lines["Referrer-Policy"] == "no-referrer"
    assert lines["Cache-Control"] == "no-store"
    assert lines["X-Content-Type-Options"] == "nosniff"
    assert int(lines["Content-Length"]) == len(body)
    assert b"<script" not in body


@given(st.binary(max_size=300), st.booleans())
def test_t37_any_head_is_read_without_an_exception_of_its_own(raw: bytes, proper: bool) -> None:
    """A query, or a refusal with its status."""
    head = b"GET /callback?" + raw + b" HTTP/1.1\r\nHost: 127.0.0.1:1\r\n" + raw if proper else raw
    try:
        query = read_query(head, Place(1, "/callback"))
    except Refused as refused:
        query = page(refused.status).decode()
    assert isinstance(query, str)
