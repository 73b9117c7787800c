"""The strict issuer on a real port: what only a network can show."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from demo.issuer import Issuer, Settings
from demo.issuer_endpoints import DEVICE_GRANT

PUBLIC = {"client_id": "demo-training"}
Session = aiohttp.ClientSession


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    """A running issuer."""
    async with Issuer(Settings()) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[Session]:
    """An HTTP client that keeps connections, as real ones do."""
    async with aiohttp.ClientSession() as session:
        yield session


async def post(http: Session, url: str, **form: str) -> dict[str, Any]:
    """A form from the public client; the answer's JSON."""
    async with http.post(url, data=PUBLIC | form) as reply:
        return dict(await reply.json())


async def log_in(http: Session, issuer: Issuer) -> dict[str, Any]:
    """The tokens of a fresh login."""
    codes = await post(http, f"{issuer.url}/device_authorization")
    await post(http, f"{issuer.url}/device/approve", user_code=codes["user_code"])
    code = codes["device_code"]
    return await post(http, f"{issuer.url}/token", grant_type=DEVICE_GRANT, device_code=code)


async def refresh(http: Session, issuer: Issuer, token: str) -> dict[str, Any]:
    """One refresh."""
    url = f"{issuer.url}/token"
    return await post(http, url, grant_type="refresh_token", refresh_token=token)


async def until(condition: Any) -> None:
    """Wait until it holds; the test's own time limit ends a vain wait."""
    while not condition():  # noqa: ASYNC110  # what we wait for lives in another process, too
        await asyncio.sleep(0.005)


async def test_a_login_and_a_refresh_work_over_http(issuer: Issuer, http: Session) -> None:
    """The whole walk, with not a single violation."""
    tokens = await log_in(http, issuer)
    renewed = await refresh(http, issuer, tokens["refresh_token"])
    assert renewed["refresh_token"] != tokens["refresh_token"]
    assert issuer.violations == []
    assert issuer.record.count("token") == 2
    assert issuer.record.token_request_ended_at is not None


async def test_json_at_the_token_endpoint_is_a_violation(issuer: Issuer, http: Session) -> None:
    """The token endpoint takes forms only."""
    async with http.post(f"{issuer.url}/token", json={"grant_type": "refresh_token"}) as reply:
        assert reply.status == 400
    assert "content type" in issuer.violations[0]


async def test_away_refuses_connections_and_keeps_its_port(issuer: Issuer, http: Session) -> None:
    """Kept-alive connections break too, and the same port answers afterwards."""
    keys = f"{issuer.url}/jwks"
    async with http.get(keys) as reply:
        await reply.read()
    issuer.away()
    for _ in range(20):
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.get(keys)
    await issuer.back()
    async with http.get(keys) as reply:
        assert reply.status == 200


async def test_nobody_gets_the_port_of_an_issuer_that_is_away(issuer: Issuer) -> None:
    """Neither a server nor the source port of a client can take it."""
    issuer.away()
    port = int(issuer.url.rpartition(":")[2])
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        assert other.getsockname()[1] != port
        with pytest.raises(OSError, match="refused"):
            other.connect(("127.0.0.1", port))
    await issuer.back()


async def test_a_lost_reply_breaks_the_connection_after_spending(
    issuer: Issuer, http: Session
) -> None:
    """The client sees a broken connection; the issuer has rotated and excuses the retry."""
    tokens = await log_in(http, issuer)
    issuer.faults.lose_reply()
    with pytest.raises(aiohttp.ClientConnectionError):
        await refresh(http, issuer, tokens["refresh_token"])
    answer = await refresh(http, issuer, tokens["refresh_token"])
    assert answer["error"] == "invalid_grant"
    assert issuer.violations == []
    assert len(issuer.record.reuses) == 1


@pytest.mark.parametrize("spends_first", [True, False])
async def test_a_client_that_leaves_in_flight_loses_its_reply(
    issuer: Issuer, http: Session, spends_first: bool
) -> None:
    """Killed in the window: spent or not spent, as told, and never the client's fault."""
    tokens = await log_in(http, issuer)
    issuer.faults.slow(60, spends_first)
    flight = asyncio.create_task(refresh(http, issuer, tokens["refresh_token"]))
    await until(lambda: issuer.record.in_flight == 1)
    flight.cancel()
    await until(lambda: issuer.record.in_flight == 0)
    issuer.faults.clear()
    answer = await refresh(http, issuer, tokens["refresh_token"])
    assert ("error" in answer) == spends_first
    assert issuer.violations == []


async def test_two_requests_of_one_grant_in_flight_are_noticed(
    issuer: Issuer, http: Session
) -> None:
    """Only one flight may spend a grant's refresh token."""
    tokens = await log_in(http, issuer)
    issuer.faults.slow(0.2)
    calls = [refresh(http, issuer, tokens["refresh_token"]) for _ in range(2)]
    await asyncio.gather(*calls)
    assert "two token requests at once for grant g1" in issuer.violations


async def test_the_process_answers_on_its_control_port_while_it_is_away(
    tmp_path: Path, http: Session
) -> None:
    """Fate is played through a second port, with the secret of a private file."""
    places, secret = tmp_path / "places", tmp_path / "secret"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "demo.issuer", "--port-file", str(places),
        "--control-secret-file", str(secret), "--until-eof",
        stdin=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    try:
        await until(places.exists)
        urls = json.loads(places.read_text())
        assert secret.stat().st_mode & 0o777 == 0o600
        await check_control(http, urls, secret.read_text())
    finally:
        assert process.stdin is not None
        process.stdin.close()
        assert await process.wait() == 0


async def check_control(http: Session, urls: dict[str, str], secret: str) -> None:
    """The control port refuses strangers and nonsense, and does as told."""
    headers = {"Authorization": f"Bearer {secret}"}
    away, nonsense = {"do": "away"}, {"do": "__init__"}
    async with http.post(urls["control_url"], json=away) as reply:
        assert reply.status == 401
    async with http.post(urls["control_url"], json=nonsense, headers=headers) as reply:
        assert reply.status == 400
    async with http.post(urls["control_url"], json=away, headers=headers) as reply:
        assert (await reply.json())["is_away"] is True
    with pytest.raises(aiohttp.ClientConnectionError):
        await http.get(f"{urls['url']}/jwks")
    async with http.post(urls["control_url"], json={"do": "back"}, headers=headers) as reply:
        assert (await reply.json())["violations"] == []
