"""The fault proxy before a provider of ten lines: each fault does what it says, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientConnectionError, ClientConnectorError, ClientSession, web
from yarl import URL

from tests.fakes.fault_proxy import FaultProxy
from tests.fakes.token_request import sha256


class Upstream:
    """Answers each refresh with a new pair, and counts."""

    def __init__(self) -> None:
        self.posted: list[str] = []
        self.hosts: list[str] = []

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.posted.append(str(form["refresh_token"]))
        self.hosts.append(request.host)
        count = len(self.posted)
        return web.json_response({"access_token": f"at-{count}", "refresh_token": f"rt-{count}"})

    async def moved(self, request: web.Request) -> web.Response:
        raise web.HTTPSeeOther("/elsewhere", headers={"X-Seen": request.raw_path})


@pytest.fixture
async def upstream() -> Upstream:
    """The provider behind."""
    return Upstream()


@pytest.fixture
async def secrets() -> list[tuple[str, str]]:
    """What the proxy registered."""
    return []


@pytest.fixture
async def proxy(upstream: Upstream, secrets: list[tuple[str, str]]) -> AsyncIterator[FaultProxy]:
    """A fault proxy before it."""
    app = web.Application()
    app.add_routes([web.post("/token", upstream.token), web.get("/moved", upstream.moved)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with FaultProxy(on_secret=lambda *pair: secrets.append(pair)) as proxy:
        proxy.upstream = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield proxy
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    """A client that keeps its connections, as a daemon does."""
    async with ClientSession() as session:
        yield session


async def refresh(http: ClientSession, proxy: FaultProxy, token: str = "rt-0") -> dict[str, str]:
    """Post a refresh token."""
    form = {"grant_type": "refresh_token", "refresh_token": token, "scope": "a"}
    async with http.post(proxy.url + "/token", data=form) as reply:
        return dict(await reply.json(content_type=None))


async def test_what_no_fault_touches_passes_unchanged(
    http: ClientSession, proxy: FaultProxy, upstream: Upstream
) -> None:
    """Host, redirects and queries are those of the two sides."""
    assert await refresh(http, proxy) == {"access_token": "at-1", "refresh_token": "rt-1"}
    assert upstream.hosts == [proxy.url.removeprefix("http://")]
    address = URL(proxy.url + "/moved?b=%26c", encoded=True)
    async with http.get(address, allow_redirects=False) as reply:
        assert (reply.status, reply.headers["Location"]) == (303, "/elsewhere")
        assert reply.headers["X-Seen"] == "/moved?b=%26c"
    assert proxy.requests == 2


async def test_each_token_request_is_recorded_by_digest(
    http: ClientSession, proxy: FaultProxy, secrets: list[tuple[str, str]]
) -> None:
    """What was posted, when, and how it ended; the values go to the canary alone."""
    await refresh(http, proxy)
    (record,) = proxy.refreshes()
    assert record.refresh_token_sha256 == sha256("rt-0")
    assert record.access_token_sha256 == sha256("at-1")
    assert (record.scope, record.status, record.outcome) == ("a", 200, "answered")
    times = [record.arrived_at, record.forwarded_at, record.answered_at, record.ended_at]
    assert None not in times
    assert times == sorted(time for time in times if time is not None)
    assert "rt-0" not in repr(proxy.token_requests)
    assert {value for _, value in secrets} == {"rt-0", "rt-1", "at-1"}


async def test_a_held_request_is_in_flight_and_not_forwarded(
    http: ClientSession, proxy: FaultProxy, upstream: Upstream
) -> None:
    """Released, it goes on as if nothing had been."""
    hold = proxy.hold_request()
    flight = asyncio.create_task(refresh(http, proxy))
    await hold.reached()
    assert (proxy.in_flight, upstream.posted) == (1, [])
    hold.release()
    assert (await flight)["access_token"] == "at-1"
    await proxy.idle()
    assert proxy.in_flight == 0


async def test_a_held_reply_has_spent_the_refresh_token(
    http: ClientSession, proxy: FaultProxy, upstream: Upstream
) -> None:
    """Dropped, the client sees a reset connection; only one request is touched."""
    hold = proxy.hold_reply()
    flight = asyncio.create_task(refresh(http, proxy))
    await proxy.in_window()
    record = await hold.reached()
    assert (record.status, upstream.posted) == (200, ["rt-0"])
    hold.drop()
    with pytest.raises(ClientConnectionError):
        await flight
    assert record.outcome == "reply-lost"
    assert (await refresh(http, proxy))["access_token"] == "at-2"


async def test_a_client_that_dies_while_it_waits_has_lost_its_reply(
    http: ClientSession, proxy: FaultProxy
) -> None:
    """So does one that the proxy did not cut off."""
    hold = proxy.hold_reply()
    flight = asyncio.create_task(refresh(http, proxy))
    await hold.reached()
    flight.cancel()
    await asyncio.gather(flight, return_exceptions=True)
    hold.release()
    await proxy.idle()
    assert proxy.in_flight == 0


async def test_an_outage_refuses_connections_kept_ones_too(
    http: ClientSession, proxy: FaultProxy, upstream: Upstream
) -> None:
    """Afterwards the issuer is back at the same address."""
    await refresh(http, proxy)
    async with proxy.outage():
        with pytest.raises(ClientConnectionError):  # on the kept connection
            await refresh(http, proxy)
        with pytest.raises(ClientConnectorError):  # on a new one
            await refresh(http, proxy)
    assert (await refresh(http, proxy))["access_token"] == "at-2"
    assert len(upstream.posted) == 2


async def test_an_answer_of_ours_is_given_once_and_not_forwarded(
    http: ClientSession, proxy: FaultProxy, upstream: Upstream
) -> None:
    """For `slow_down`, 503 with Retry-After, captive portals."""
    proxy.answer_with(503, '{"error": "temporarily_unavailable"}')
    assert (await refresh(http, proxy))["error"] == "temporarily_unavailable"
    assert (upstream.posted, proxy.refreshes()[0].outcome) == ([], "replaced")
    assert (await refresh(http, proxy))["access_token"] == "at-1"


async def test_delayed_requests_overlap_where_a_client_lets_them(
    http: ClientSession, proxy: FaultProxy
) -> None:
    """So a test can tell one after the other from both at once."""
    proxy.delay = 0.05
    await asyncio.gather(refresh(http, proxy), refresh(http, proxy))
    first, second = proxy.refreshes()
    assert first.ended_at is not None
    assert second.arrived_at < first.ended_at


async def test_no_provider_behind_is_a_bad_gateway(http: ClientSession, proxy: FaultProxy) -> None:
    """A status that is no OAuth answer."""
    proxy.upstream = "http://127.0.0.1:1"
    async with http.post(proxy.url + "/token", data={"grant_type": "refresh_token"}) as reply:
        assert reply.status == 502
    assert proxy.refreshes()[0].outcome == "unreachable"
