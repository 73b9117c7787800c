"""Logins by a browser: headless Chromium at npm oidc-provider, and everybody who interferes."""

from __future__ import annotations

import asyncio
import http.client
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from credd.client.calls import Calls
from tests.system.approval import authorize
from tests.system.browser import Page
from tests.system.harness import Command, Finished, Home, eventually
from tests.system.provider import OpenIDProvider

pytestmark = [pytest.mark.provider, pytest.mark.timeout(120)]

SHOTS = Path(__file__).parents[2] / "build" / "screenshots"
LINK = re.compile(r"http://127\.0\.0\.1:\d+/auth\?\S+")
DONE = "You may close this window."


def configure(home: Home, provider: OpenIDProvider, name: str = "lab", **settings: Any) -> None:
    home.configure(
        name, provider="oidc", issuer=provider.issuer, client_id=provider.settings.client_id,
        scopes=["openid", "offline_access", *provider.settings.scopes], hosts=["127.0.0.1"],
        **settings,
    )  # fmt: skip


class Visit:
    """A login that waits for its browser."""

    def __init__(self, command: Command, address: str) -> None:
        self.command = command
        self.address = address
        asked = {key: value[0] for key, value in parse_qs(urlsplit(address).query).items()}
        self.asked = asked
        self.state = asked["state"]
        self.redirect_uri = asked["redirect_uri"]
        self.port = urlsplit(self.redirect_uri).port or 0

    async def finished(self) -> Finished:
        return await self.command.finished()


async def begin(home: Home, name: str = "lab") -> Visit:
    """`credd-ctl login NAME` by authorization code, up to the link that it shows."""
    words = ("login", name, "--flow", "authorization-code", "--no-browser")
    command = await home.spawn("credd-ctl", *words)

    async def link() -> re.Match[str] | None:
        if command.process.returncode is not None:
            raise RuntimeError(f"the login ended at once, saying: {command.said()}")
        return LINK.search(command.said())

    return Visit(command, (await eventually(link, "a link for a browser")).group())


async def approve(page: Page, visit: Visit, login: str = "alice") -> None:
    """Be the person at the browser: log in, consent, and see where that ends."""
    await page.visit(visit.address)
    await page.shows("Sign-in")
    await page.fill("login", login)
    await page.fill("password", "pw-CANARY-of-a-person")
    await page.press()
    await page.shows("Authorize")
    await page.press()
    await page.shows(DONE)


def keep(name: str, shot: bytes) -> None:
    """For a person to look at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    (SHOTS / name).write_bytes(shot)


def is_closed(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


# --- the login ------------------------------------------------------------------------------


async def test_a_browser_logs_in_and_may_be_closed(
    home: Home, openid_provider: OpenIDProvider, page: Page
) -> None:
    """Login, consent, the page that says so, a good token; the listener has gone."""
    configure(home, openid_provider)
    await home.start()
    visit = await begin(home)
    assert visit.asked["code_challenge_method"] == "S256"
    assert visit.asked["prompt"] == "consent"
    await approve(page, visit)
    keep("login-done.png", await page.screenshot())
    assert await page.run("document.title") == "credd has the answer"
    assert await page.run("document.scripts.length") == 0
    finished = await visit.finished()
    assert finished.exit_code == 0, finished.stderr
    first = finished.stdout.splitlines()[0]
    assert first == f"Logged in to lab as alice at {openid_provider.issuer}."
    assert is_closed(visit.port)
    served = (await home.token("lab")).body["access_token"]
    assert openid_provider.introspect(served)["active"]
    assert (await home.ctl("refresh", "lab")).exit_code in (0, 7)
    assert openid_provider.token_requests("authorization_code")[0]["status"] == 200


async def test_a_person_who_cancels_in_the_browser_ends_the_login(
    home: Home, openid_provider: OpenIDProvider, page: Page
) -> None:
    """The same page, as the answer has come; the terminal tells that nobody logged in."""
    configure(home, openid_provider)
    await home.start()
    visit = await begin(home)
    await page.visit(visit.address)
    await page.shows("Cancel")
    await page.run("[...document.querySelectorAll('a')].find(a => a.href.match(/abort/)).click()")
    await page.shows(DONE)
    finished = await visit.finished()
    assert finished.exit_code == 4
    assert "denied" in finished.stderr
    assert is_closed(visit.port)


async def test_a_fixed_redirect_uri_is_used_again_and_by_one_login_at_a_time(
    home: Home, openid_provider: OpenIDProvider
) -> None:
    """Its port too. A second login at the same moment hears why it can't be."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    fixed = f"http://127.0.0.1:{port}/callback"
    for name in ("lab", "other"):
        configure(home, openid_provider, name, redirect_uri=fixed)
    await home.start()
    for _ in range(2):
        visit = await begin(home)
        assert visit.redirect_uri == fixed
        refused = await home.ctl("login", "other", "--flow", "authorization-code")
        assert refused.exit_code == 9
        assert "another program has the port of redirect_uri" in refused.stderr
        end = await asyncio.to_thread(authorize, visit.address, fixed)
        assert (await asyncio.to_thread(ask, port, end.removeprefix(fixed[:-9])))[0] == 200
        assert (await visit.finished()).exit_code == 0


# --- everybody else -------------------------------------------------------------------------

Answer = Callable[[Visit, OpenIDProvider], dict[str, str]]

STRAYS: dict[str, Answer] = {
    "no state": lambda v, p: {"code": "x", "iss": p.issuer},
    "an empty state": lambda v, p: {"code": "x", "state": "", "iss": p.issuer},
    "a wrong state": lambda v, p: {"code": "x", "state": v.state[::-1], "iss": p.issuer},
    "half a state": lambda v, p: {"code": "x", "state": v.state[:20], "iss": p.issuer},
    "no iss": lambda v, p: {"code": "x", "state": v.state},
    "a wrong iss": lambda v, p: {"code": "x", "state": v.state, "iss": "https://evil.example"},
    "an error of nobody": lambda v, p: {"error": "access_denied", "iss": p.issuer},
    "an error without iss": lambda v, p: {"error": "access_denied", "state": v.state},
    "an error with a script": lambda v, p: {
        "error": "x", "error_description": "<script>document.title='owned'</script>",
    },
    "code and error": lambda v, p: {
        "code": "x", "error": "y", "state": v.state, "iss": p.issuer,
    },
    "nothing": lambda v, p: {},
}  # fmt: skip


def ask(port: int, target: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    """One request to the listener, as anybody on this machine can make it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, target, headers=headers)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


async def test_t40_whatever_is_not_the_answer_is_refused_and_the_login_goes_on(
    home: Home, openid_provider: OpenIDProvider, page: Page
) -> None:
    """State, iss, Host, Origin, path, method, markup, a name bound anew; then the rightful one."""
    configure(home, openid_provider)
    await home.start()
    visit = await begin(home)
    path = urlsplit(visit.redirect_uri).path
    good = urlencode({"code": "x", "state": visit.state, "iss": openid_provider.issuer})
    for name, make in STRAYS.items():
        target = f"{path}?{urlencode(make(visit, openid_provider))}"
        status, body = await asyncio.to_thread(ask, visit.port, target)
        assert (status, "<script" in body) == (400, False), name
    for status, method, target, headers in (
        (400, "GET", f"{path}?{good}", {"Host": f"rebound.example:{visit.port}"}),
        (403, "GET", f"{path}?{good}", {"Origin": "https://evil.example"}),
        (404, "GET", f"/favicon.ico?{good}", {}),
        (405, "POST", f"{path}?{good}", {}),
    ):
        answer = await asyncio.to_thread(ask, visit.port, target, method, **headers)
        assert answer[0] == status, (method, target, headers)
    await page.visit(f"http://rebound.example:{visit.port}{path}?{good}")
    await page.shows("Not the answer that credd waits for")
    script = urlencode({"error": "x", "error_description": "<script>document.title=1</script>"})
    await page.visit(f"{visit.redirect_uri}?{script}")
    await page.shows("Not the answer that credd waits for")
    assert await page.run("document.title") == "Not the answer that credd waits for"
    keep("login-refused.png", await page.screenshot())
    assert await home.state("lab") == "logging-in"
    assert openid_provider.token_requests("authorization_code") == []
    await approve(page, visit)
    assert (await visit.finished()).exit_code == 0


async def test_t41_a_page_in_the_browser_can_not_answer_by_a_script(
    home: Home, openid_provider: OpenIDProvider, page: Page
) -> None:
    """`fetch`, an image, a form, a frame: refused, or without a state that anybody could know."""
    configure(home, openid_provider)
    await home.start()
    visit = await begin(home)
    await page.visit("data:text/html,<h1>A page</h1><iframe></iframe>")
    await page.shows("A page")
    target = f"{visit.redirect_uri}?code=x&state=guess"
    await page.run(f"fetch('{target}').catch(() => 0); new Image().src = '{target}'")
    await page.run(f"fetch('{target}', {{method: 'POST', mode: 'no-cors'}}).catch(() => 0)")
    await page.run(f"document.querySelector('iframe').src = '{target}'")
    await approve(page, visit)
    assert (await visit.finished()).exit_code == 0


async def test_t40_the_answer_of_another_login_is_refused(
    home: Home, openid_provider: OpenIDProvider
) -> None:
    """Two logins at once: a swapped answer finishes neither, a replayed one nothing later."""
    for name in ("lab", "other"):
        configure(home, openid_provider, name)
    await home.start()
    lab, other = await begin(home, "lab"), await begin(home, "other")
    ends = [
        await asyncio.to_thread(authorize, one.address, one.redirect_uri) for one in (lab, other)
    ]
    lab_query, other_query = (urlsplit(end).query for end in ends)
    for visit, query, status in (
        (lab, other_query, 400), (other, lab_query, 400), (lab, lab_query, 200),
        (other, lab_query, 400), (other, other_query, 200),
    ):  # fmt: skip
        assert (await asyncio.to_thread(ask, visit.port, f"/callback?{query}"))[0] == status
    assert [(await one.finished()).exit_code for one in (lab, other)] == [0, 0]
    again = await begin(home, "lab")
    assert (await asyncio.to_thread(ask, again.port, f"/callback?{lab_query}"))[0] == 400
    assert len(openid_provider.token_requests("authorization_code")) == 2


# --- a browser on another machine -----------------------------------------------------------


@asynccontextmanager
async def events_of(home: Home, **request: Any) -> AsyncIterator[tuple[Calls, str, Any]]:
    """A login through the socket, as a client of its own would hold it."""
    calls = Calls(home.socket)
    login = await asyncio.to_thread(calls.start_login, {"name": "lab", **request})
    yield calls, login["id"], calls.login_events(login["id"])


async def next_of(events: Any, kind: str) -> dict[str, Any]:
    """The next event of this kind."""

    def look() -> dict[str, Any]:
        return next(dict(event) for event in events if event["type"] == kind)

    return await asyncio.wait_for(asyncio.to_thread(look), 20)


async def test_an_address_can_be_pasted_where_the_browser_is_elsewhere(
    home: Home, openid_provider: OpenIDProvider
) -> None:
    """A wrong one is asked for again; the right one ends the login, and the listener with it."""
    configure(home, openid_provider)
    await home.start()
    async with events_of(home, flow="authorization-code") as (calls, login, events):
        shown = await next_of(events, "authorization-url")
        back = shown["redirect_uri"]
        end = await asyncio.to_thread(authorize, shown["authorization_uri"], back)
        for pasted in (f"{back}?code=x&state=y", end.replace(back, "https://evil.example/"), end):
            assert (await next_of(events, "question"))["question"] == "redirect-url"
            await asyncio.to_thread(calls.answer_login, login, "redirect-url", pasted)
        done = await next_of(events, "done")
    assert done["credential"]["account"] == "alice"
    assert done["credential"]["issuer"] == openid_provider.issuer
    assert is_closed(urlsplit(back).port or 0)


@pytest.mark.parametrize(
    ("browser", "kind"), [("near", "authorization-url"), ("far", "device-code")]
)
async def test_the_default_depends_on_where_the_browser_is(
    home: Home, openid_provider: OpenIDProvider, browser: str, kind: str
) -> None:
    """An issuer that offers both; and a cancelled login closes its listener."""
    configure(home, openid_provider)
    await home.start()
    async with events_of(home, browser=browser) as (calls, login, events):
        shown = await next_of(events, kind)
        await asyncio.to_thread(calls.cancel_login, login)
        await next_of(events, "failed")
    if kind == "authorization-url":
        assert is_closed(urlsplit(shown["redirect_uri"]).port or 0)
