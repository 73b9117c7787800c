"""Requests through a proxy, and under the certificates that a person named."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from credd.core.conversation import NeverSent, Reply, ReplyLost
from credd.core.failures import Kind, judge_exception
from credd.core.model import Secret
from credd.core.network import Network
from credd.world.clock import Clock
from credd.world.http import HttpWorld
from credd.world.trust import ca_problem
from tests.world.strange_servers import (
    Behaviour,
    StrangeServer,
    answering,
    free_port,
    replying,
    self_signed,
    serving,
)

FORM = {"refresh_token": Secret("rt-CANARY-proxy")}


async def post(url: str, network: Network, ca_file: str = "", **settings: Any) -> Reply:
    async with HttpWorld(Clock(), network=lambda: network, **settings) as world:
        return await world.post(
            url, FORM, headers={"Authorization": Secret("Basic CANARY")}, ca_file=ca_file
        )


async def unsent(url: str, network: Network, ca_file: str = "", **settings: Any) -> str:
    with pytest.raises(NeverSent) as caught:
        await post(url, network, ca_file, **settings)
    assert judge_exception(caught.value).kind is Kind.TRANSIENT
    return caught.value.reason


def tunnel(connection: socket.socket, server: StrangeServer) -> None:
    """A proxy that does as it is told: CONNECT, then bytes in both directions."""
    head = server.read_request(connection)
    host, _, port = head.split(b" ")[1].decode().rpartition(":")
    with socket.create_connection((host, int(port))) as upstream:
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=_pour, args=(upstream, connection), daemon=True)
        back.start()
        _pour(connection, upstream)
        back.join(5)


def _pour(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def proxy(behave: Behaviour = tunnel) -> Iterator[tuple[StrangeServer, str]]:
    with serving(behave) as server:
        yield server, f"http://127.0.0.1:{server.port}"


async def test_t48_a_configured_proxy_carries_what_it_can_not_read(tmp_path: Path) -> None:
    """It hears the issuer's host and port; form, path and header pass it sealed in TLS."""
    tls, chain = self_signed(tmp_path)
    with serving(replying(b'{"a":1}'), tls) as issuer, proxy() as (between, address):
        url = f"https://127.0.0.1:{issuer.port}/token"
        reply = await post(url, Network(address, ca_file=str(chain)))
        assert reply.json() == {"a": 1}
        assert issuer.seen[0].endswith(b"rt-CANARY-proxy")
        (heard,) = between.seen
        assert heard.startswith(f"CONNECT 127.0.0.1:{issuer.port} HTTP/1.1\r\n".encode())
        assert b"CANARY" not in heard
        assert b"token" not in heard


async def test_t48_a_variable_of_the_shell_is_no_proxy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A service's shell is nobody's; and plain http on this machine never goes through one."""
    for name in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    tls, chain = self_signed(tmp_path)
    with serving(replying(b"{}"), tls) as issuer, serving(replying(b"{}")) as near:
        url = f"https://127.0.0.1:{issuer.port}/token"
        assert (await post(url, Network(ca_file=str(chain)))).status == 200
        dead = Network(f"http://127.0.0.1:{free_port()}")
        assert (await post(near.url, dead)).status == 200


async def test_an_exception_is_asked_directly(tmp_path: Path) -> None:
    """`no_proxy`; the proxy hears nothing."""
    tls, chain = self_signed(tmp_path)
    with serving(replying(b"{}"), tls) as issuer, proxy() as (between, address):
        network = Network(address, ["127.0.0.0/8"], str(chain))
        assert (await post(f"https://127.0.0.1:{issuer.port}/", network)).status == 200
        assert between.seen == []


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (replying(b"<html>", status="407 Proxy Authentication Required"), "proxy_login"),
        (replying(b"", status="403 Forbidden"), "proxy"),
        (replying(b"", status="502 Bad Gateway"), "proxy"),
        (replying(b"", status="302 Found", headers="Location: https://portal/\r\n"), "proxy"),
        (answering(b"<html>hello</html>"), "connect"),
        (answering(b""), "connect"),
    ],
)
async def test_t48_a_proxy_that_refuses_has_sent_nothing(behave: Behaviour, reason: str) -> None:
    """407 and its kin are passing faults: the refresh token is still ours alone."""
    with proxy(behave) as (between, address):
        assert await unsent("https://issuer.example/token", Network(address)) == reason
        assert b"CANARY" not in b"".join(between.seen)


async def test_a_proxy_that_is_not_there_or_silent_has_sent_nothing() -> None:
    """No connection; no answer in time."""
    gone = Network(f"http://127.0.0.1:{free_port()}")
    assert await unsent("https://issuer.example/token", gone) == "proxy"

    def silent(connection: socket.socket, server: StrangeServer) -> None:
        server.read_request(connection)
        server.closing.wait(20)

    with proxy(silent) as (_, address):
        url = "https://issuer.example/token"
        assert await unsent(url, Network(address), connect_within=0.3) == "time_out"


async def test_a_proxy_that_answers_in_the_issuers_place_is_not_believed(tmp_path: Path) -> None:
    """Inside the tunnel the issuer's certificate counts, as it does without one."""
    tls, _ = self_signed(tmp_path)
    with serving(replying(b"{}"), tls) as issuer, proxy() as (_, address):
        url = f"https://127.0.0.1:{issuer.port}/token"
        assert await unsent(url, Network(address)) == "tls"
        assert issuer.seen == []


async def test_a_tunnel_that_breaks_after_the_request_has_lost_the_reply(tmp_path: Path) -> None:
    """From the TLS handshake on, a byte may have left."""
    tls, chain = self_signed(tmp_path)
    with serving(answering(b""), tls) as issuer, proxy() as (_, address):
        url = f"https://127.0.0.1:{issuer.port}/token"
        with pytest.raises(ReplyLost):
            await post(url, Network(address, ca_file=str(chain)))


# --- certificates ---------------------------------------------------------------------------


async def test_a_credentials_own_certificates_win(tmp_path: Path) -> None:
    """Over those of everybody, in both directions."""
    (tmp_path / "other").mkdir()
    tls, chain = self_signed(tmp_path)
    _, other = self_signed(tmp_path / "other")
    with serving(replying(b"{}"), tls) as issuer:
        url = f"https://127.0.0.1:{issuer.port}/token"
        assert (await post(url, Network(ca_file=str(other)), str(chain))).status == 200
        assert await unsent(url, Network(ca_file=str(chain)), str(other)) == "tls"
        assert await unsent(url, Network()) == "tls"


@pytest.mark.parametrize("content", [None, "", "no certificate"])
async def test_certificates_that_can_not_be_read_are_no_reason_to_trust_others(
    tmp_path: Path, content: str | None
) -> None:
    """Nothing is sent, and the reason names the file's setting; `credd --check` says the same."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    assert await unsent("https://issuer.example/token", Network(), str(file)) == "ca_file"
    assert await unsent("https://issuer.example/token", Network(ca_file=str(file))) == "ca_file"
    assert ca_problem(str(file)) != ""


def test_certificates_that_can_be_read_are_no_problem(tmp_path: Path) -> None:
    """Of a file with one."""
    _, chain = self_signed(tmp_path)
    assert ca_problem(str(chain)) == ""


async def test_renewed_certificates_are_believed_at_once(tmp_path: Path) -> None:
    """The file is looked at again when it has changed, and not parsed when it has not."""
    (tmp_path / "other").mkdir()
    tls, chain = self_signed(tmp_path)
    _, other = self_signed(tmp_path / "other")
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(other.read_bytes())
    with serving(replying(b"{}"), tls) as issuer:
        url = f"https://127.0.0.1:{issuer.port}/token"
        async with HttpWorld(Clock(), network=lambda: Network(ca_file=str(ca_file))) as world:
            with pytest.raises(NeverSent, match="tls"):
                await world.post(url, FORM)
            fresh = tmp_path / "fresh.pem"
            fresh.write_bytes(chain.read_bytes())
            os.replace(fresh, ca_file)
            assert (await world.post(url, FORM)).status == 200
            before = await world._trust.context(str(ca_file))
            assert await world._trust.context(str(ca_file)) is before
