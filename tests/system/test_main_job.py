"""The main job, against an OpenID provider that we did not write: a job always has a good token.

Tokens of 6 s, refresh tokens that rotate, a family that dies at the first reuse. The real daemon on
a real socket, killed at the worst moments, with the network doing what networks do in between.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.token_request import Hold, TokenRequest
from tests.system.harness import Command, eventually
from tests.system.lab import LOGIN, NAME, Lab
from tests.system.unix_http import Answer, ask

pytestmark = [pytest.mark.provider, pytest.mark.timeout(120)]

LIFETIME = 6.0
"""Seconds: the provider's access tokens, see ProviderSettings."""

RUN = 60.0
"""Seconds of the long run: ten lifetimes, twenty refreshes."""

WORKERS = 16
KILLS = 5

SHORT_WAIT = 10.0
"""Seconds that a fetch may take while the daemon is killed and comes back; a start takes under one
at rest, and here 16 workers and a provider share its cores."""

CROWD = 1000


# The long run


@pytest.mark.slow
@pytest.mark.timeout(RUN + 90)
async def test_every_token_is_good_though_the_daemon_is_killed_five_times(lab: Lab) -> None:
    """16 processes for 60 s: each served token is active, no fetch fails, and the provider never
    sees a refresh token twice."""
    until = time.time() + RUN
    workers = await start_workers(lab, until)
    await kill_now_and_then(lab, until)
    finished = await asyncio.gather(*(worker.finished(RUN + 30) for worker in workers))
    assert [one.stderr for one in finished if one.exit_code] == []
    judge_fetches(read_fetches(lab))
    judge_provider(lab)


async def start_workers(lab: Lab, until: float) -> list[Command]:
    """The job's processes."""
    provider, folder = lab.provider, lab.home.folder
    told = {
        "url": provider.url + "/token/introspection",
        "client_id": provider.settings.confidential_client_id,
        "client_secret": provider.settings.confidential_client_secret,
    }
    (folder / "introspection.json").write_text(json.dumps(told))
    program = str(Path(__file__).with_name("worker.py"))
    return [
        await lab.home.spawn(
            program,
            str(folder / f"{number}.fetches"),
            str(until),
            ("source", "function")[number % 2],
        )
        for number in range(WORKERS)
    ]


async def kill_now_and_then(lab: Lab, until: float) -> None:
    """Five kills, spread over the run at moments that nobody chose."""
    dice = random.Random(6)
    spread = (until - time.time()) / (KILLS + 1)
    for _ in range(KILLS):
        await asyncio.sleep(spread * dice.uniform(0.7, 1.0))
        await lab.home.kill_outside_window(NAME, lab.proxy)
        await lab.home.start()


def read_fetches(lab: Lab) -> list[dict[str, Any]]:
    """What all workers wrote."""
    files = sorted(lab.home.folder.glob("*.fetches"))
    assert len(files) == WORKERS
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def judge_fetches(fetches: list[dict[str, Any]]) -> None:
    """No error, no dead token, no long wait; and the run was one."""
    assert [one for one in fetches if "error" in one] == []
    assert [one for one in fetches if not one["active"]] == []
    assert max(one["took"] for one in fetches) < SHORT_WAIT
    assert len({one["token"] for one in fetches}) >= RUN / LIFETIME
    assert len(fetches) > WORKERS * RUN


def judge_provider(lab: Lab) -> None:
    """Rotation as it should be: each refresh token posted once, each accepted."""
    refreshes = lab.provider.token_requests("refresh_token")
    assert lab.provider.refresh_tokens_seen_twice() == []
    assert {one["status"] for one in refreshes} == {200}
    assert lab.provider.events("grant.revoked") == []
    assert len(refreshes) >= RUN / LIFETIME


# Killed inside the window


async def test_a_request_that_never_left_is_made_again_after_a_kill(lab: Lab) -> None:
    """Killed between sending and forwarding: the daemon can't know, posts the same refresh token
    once more, and the credential works again with no login."""
    held = lab.proxy.hold_request()
    request = await held.reached()
    await lab.home.kill()
    held.drop()
    await lab.proxy.idle()
    await lab.home.start()
    await lab.state_is("fresh")
    answer = await lab.home.token(NAME)
    assert answer.status == 200
    assert lab.is_active(answer.body["access_token"])
    assert recoveries(lab, request) == ["answered"]
    assert lab.provider.refresh_tokens_seen_twice() == []


async def test_a_lost_reply_ends_in_a_login_that_is_named(lab: Lab) -> None:
    """Killed after the provider rotated: the one recovery request is refused, and that is final.
    State, reason, exit status and remedy all say so."""
    held = lab.proxy.hold_reply()
    request = await held.reached()
    await lab.home.kill()
    held.drop()
    await lab.proxy.idle()
    await lab.home.start()
    await lab.state_is("login-required")
    assert recoveries(lab, request) == ["answered"]
    await shows_the_lost_reply(lab)
    await lab.login()
    assert await lab.state_is("fresh")


async def test_a_reply_lost_under_a_living_daemon_ends_the_same_way(lab: Lab) -> None:
    """The connection breaks instead of the process: the cached token is served while it is good."""
    lost = lab.proxy.drop_reply()
    request = await lost.reached()
    assert (await lab.home.token(NAME)).status == 200
    await lab.state_is("login-required")
    assert recoveries(lab, request) == ["answered"]
    await shows_the_lost_reply(lab)


async def test_a_lost_reply_is_remembered_across_restarts(lab: Lab) -> None:
    """A second restart does not try again: the refusal was final, and stays in sight."""
    held = lab.proxy.hold_reply()
    request = await held.reached()
    await lab.home.kill()
    held.drop()
    await lab.home.start()
    await lab.state_is("login-required")
    await lab.home.kill()
    await lab.home.start()
    await lab.state_is("login-required")
    await eventually(lambda: is_refused(lab), "a fetch is refused")
    assert recoveries(lab, request) == ["answered"]


def recoveries(lab: Lab, request: TokenRequest) -> list[str]:
    """How the later requests with the same refresh token ended: "at most one" is a list of one."""
    same = [
        one
        for one in lab.proxy.refreshes()
        if one.refresh_token_sha256 == request.refresh_token_sha256 and one.number > request.number
    ]
    return [one.outcome for one in same]


async def shows_the_lost_reply(lab: Lab) -> None:
    """Once the cached token is over, the daemon and the commands name the same way out."""
    await eventually(lambda: is_refused(lab), "a fetch is refused")
    status = await lab.home.status(NAME)
    assert "reply" in status["trouble"]["detail"]
    assert (status["remedy"], status["exit_code"]) == (LOGIN, 4)
    for command in (("credd-token", NAME), ("credd-ctl", "token", NAME)):
        finished = await lab.home.run(*command)
        assert (finished.exit_code, finished.remedy, finished.stdout) == (4, LOGIN, "")
        assert "reply" in finished.stderr


async def is_refused(lab: Lab) -> bool:
    """Whether a fetch ends in 401."""
    return (await lab.home.token(NAME)).status == 401


# Many at once


@pytest.fixture(autouse=True)
def many_files() -> Iterator[None]:
    """A thousand connections are a thousand open files in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * CROWD), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_thousand_callers_of_an_expired_token_cause_one_request(lab: Lab) -> None:
    """All are answered, all with the same new token."""
    held = lab.proxy.hold_request()
    async with lab.proxy.outage():
        await lab.state_is("expired")
        before = len(lab.proxy.refreshes())
    # Kept at the door until everyone has asked, so that no late caller finds a fresh token.
    answers = await crowd(lab.home.socket, held)
    assert [one.body for one in answers if one.status != 200] == []
    assert len({one.body["access_token"] for one in answers}) == 1
    first, *later = lab.proxy.refreshes()[before:]
    assert [one for one in later if one.arrived_at < first.arrived_at + LIFETIME / 2] == []


async def crowd(path: str, held: Hold) -> list[Answer]:
    """A thousand callers, each with a connection of its own; `held` is released when all have
    asked."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Semaphore(0)
    route = f"/v1/credentials/{NAME}/token"

    def call() -> Answer:
        return ask(path, "GET", route, sent=lambda: loop.call_soon_threadsafe(asked.release))

    with ThreadPoolExecutor(CROWD) as threads:
        calls = [loop.run_in_executor(threads, call) for _ in range(CROWD)]
        async with asyncio.timeout(30):
            for _ in calls:
                await asked.acquire()
        await held.reached()
        held.release()
        return await asyncio.gather(*calls)


async def test_two_scopes_of_one_grant_are_asked_for_one_after_the_other(lab: Lab) -> None:
    """Asked at once, they would cost the login; both are served, and the login lives on."""
    await lab.proxy.idle()
    lab.proxy.delay = 0.3
    before = len(lab.proxy.refreshes())
    scopes = ("runs:read", "runs:write")
    answers = await asyncio.gather(*(lab.home.token(NAME, scope=scope) for scope in scopes))
    assert [one.status for one in answers] == [200, 200]
    assert [one.body["scope"] for one in answers] == list(scopes)
    assert all(lab.is_active(one.body["access_token"]) for one in answers)
    await lab.proxy.idle()
    assert never_overlap(lab.proxy.refreshes())
    assert len(lab.proxy.refreshes()) >= before + 2
    assert lab.provider.refresh_tokens_seen_twice() == []
    lab.proxy.delay = 0.0
    await lab.proxy.refreshed(len(lab.proxy.refreshes()) + 1)
    assert lab.provider.events("grant.revoked") == []


def never_overlap(requests: list[TokenRequest]) -> bool:
    """Whether each arrived only after the one before had ended."""
    ends = [one.ended_at or inf for one in requests]
    return all(end <= later.arrived_at for end, later in zip(ends, requests[1:], strict=False))


# The issuer away


async def test_cached_tokens_are_served_while_the_issuer_is_away(lab: Lab) -> None:
    """While the token is good nobody notices; then the error says: later; then all is well."""
    async with lab.proxy.outage():
        served = await lab.home.token(NAME)
        assert served.status == 200
        await lab.state_is("stale")
        assert (await lab.home.token(NAME)).body["access_token"] == served.body["access_token"]
        assert lab.is_active(served.body["access_token"])
        await lab.state_is("expired")
        finished = await lab.home.run("credd-token", NAME, "--timeout", "8")
        assert (finished.exit_code, finished.stdout) == (7, "")
    answer = await lab.home.token(NAME)
    assert answer.status == 200
    assert lab.is_active(answer.body["access_token"])
    assert lab.provider.refresh_tokens_seen_twice() == []


async def test_a_strange_answer_costs_no_login(lab: Lab) -> None:
    """503, a captive portal's page: the same refresh token is posted again, and works."""
    lab.proxy.answer_with(503, '{"error": "temporarily_unavailable"}', {"Retry-After": "1"})
    lab.proxy.answer_with(200, "<html>Please accept the terms of this network</html>")
    before = len(lab.proxy.refreshes())
    await lab.proxy.refreshed(before + 3)
    await lab.state_is("fresh")
    outcomes = [one.outcome for one in lab.proxy.refreshes()[before : before + 3]]
    assert outcomes == ["replaced", "replaced", "answered"]
    assert lab.provider.refresh_tokens_seen_twice() == []
