"""Promises about rotation: no living refresh token is ever lost, none is posted twice by choice."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from credd.core.failures import Failure, Kind
from credd.core.model import Secret
from credd.errors import LoginRequired, UpstreamUnavailable
from tests.fakes.house import House, started
from tests.fakes.virtual_time import virtual


async def in_flight(house: House) -> None:
    """Until a token request is at the issuer."""
    while not house.issuer.in_flight:  # noqa: ASYNC110 - virtual time costs nothing
        await asyncio.sleep(0.01)


def order(house: House) -> list[str]:
    """The keeper's calls, in order."""
    return [call.method for call in house.keeper.calls]


@virtual
async def test_journal_comes_before_the_post_and_keep_before_anybody_sees() -> None:
    """Between the keeper's journal and its keep the old token is still the one that is served."""
    house = await started()
    house.keeper.calls.clear()
    house.keeper.hold("keep")
    await asyncio.sleep(200)
    await house.keeper.reached("keep")
    assert order(house)[:2] == ["journal", "keep"]
    assert await house.fetch(max_wait=0) == "at-1"
    house.keeper.let_go("keep")
    await asyncio.sleep(0.1)
    assert await house.fetch() == "at-2"


@virtual
async def test_a_rotated_token_is_never_posted_twice_over_days() -> None:
    """Three days of refreshing: each refresh token is spent exactly once."""
    house = await started()
    await asyncio.sleep(3 * 86400)
    posted = house.issuer.posted
    assert len(posted) == len(set(posted)) > 1000
    assert house.state() == "fresh"


@virtual
async def test_a_kill_outside_the_window_costs_nothing() -> None:
    """After SIGKILL the sealed access token is served at once; no request is made for it."""
    house = await started()
    requests = len(house.issuer.requests)
    await house.restart()
    assert await house.fetch() == "at-1"
    assert len(house.issuer.requests) == requests
    assert house.state() == "fresh"


@virtual
async def test_killed_before_the_issuer_heard_one_recovery_request_mends_it() -> None:
    """The journal names a refresh token in flight: it is posted once more, and works."""
    house = await started(latency=20.0)
    await in_flight(house)
    await house.restart()
    assert house.state() == "ambiguous"
    house.issuer.latency = 0.05
    await asyncio.sleep(5)
    assert house.state() == "fresh"
    assert len(house.issuer.posted) == 1


@virtual
async def test_killed_after_the_issuer_rotated_it_ends_in_a_named_login() -> None:
    """The reply died with the daemon: one recovery request, then login-required, saying why."""
    house = await started(reply_latency=20.0)
    await in_flight(house)
    await asyncio.sleep(0.1)  # the issuer has rotated; its reply is on the way
    await house.restart()
    before = len(house.issuer.requests)
    await asyncio.sleep(600)
    assert house.state() == "login-required"
    assert len(house.issuer.requests) - before == 1
    with pytest.raises(LoginRequired, match="a reply was lost at") as caught:
        await house.fetch()
    assert caught.value.remedy == "credd-ctl login lab"
    assert caught.value.reason == "reply_lost"


@virtual
async def test_a_verdict_survives_a_restart() -> None:
    """A login that is over is still over after a restart, and is not probed at once."""
    house = await started()
    house.issuer.kill()
    await asyncio.sleep(400)
    assert house.state() == "login-required"
    requests = len(house.issuer.requests)
    await house.restart()
    assert house.state() == "login-required"
    await asyncio.sleep(60)
    assert len(house.issuer.requests) == requests


@virtual
async def test_a_broken_access_token_never_discards_the_refresh_token_beside_it() -> None:
    """2xx with a good refresh token and a broken rest: the next refresh works."""
    house = await started()

    def break_it(renewal):  # type: ignore[no-untyped-def]
        return dataclasses.replace(renewal, access_token=None, defect="bad_access_token")

    house.issuer.bend = break_it
    await asyncio.sleep(200)
    assert len(house.issuer.posted) >= 1
    house.issuer.bend = lambda renewal: renewal
    await asyncio.sleep(60)
    assert house.state() == "fresh"
    assert len(house.issuer.posted) == len(set(house.issuer.posted))


@virtual
async def test_tokens_that_are_dead_on_arrival_cause_no_storm() -> None:
    """An issuer whose tokens have always expired already is asked with back-off, not in a loop."""
    house = await started()
    house.issuer.bend = lambda renewal: dataclasses.replace(renewal, defect="expired_on_arrival")
    await asyncio.sleep(200)
    before = len(house.issuer.requests)
    await asyncio.sleep(600)
    assert len(house.issuer.requests) - before < 60


@virtual
async def test_a_full_disk_never_spends_a_rotating_token() -> None:
    """No journal, no post: the cached token is served, the state says degraded, and it mends."""
    house = await started()
    house.keeper.fail("journal", "disk_full")
    await asyncio.sleep(200)
    assert house.issuer.requests == []
    assert house.state() == "degraded"
    assert await house.fetch() == "at-1"
    house.keeper.mend()
    await asyncio.sleep(10)
    assert house.state() == "fresh"
    assert await house.fetch() == "at-2"


@virtual
async def test_a_rotated_token_that_can_not_be_saved_is_kept_served_and_saved_later() -> None:
    """The commit fails after the issuer has rotated: degraded, still served, saved every 5 s."""
    house = await started()
    house.keeper.fail("keep", "io", outside=True)
    await asyncio.sleep(200)
    assert house.state() == "degraded"
    assert await house.fetch() == "at-2"
    house.keeper.mend()
    await asyncio.sleep(6)
    assert house.state() == "fresh"
    await house.restart()
    await asyncio.sleep(300)
    assert house.state() == "fresh"
    assert len(house.issuer.posted) == len(set(house.issuer.posted))


@virtual
async def test_a_reply_without_a_refresh_token_keeps_the_old_one() -> None:
    """RFC 6749, 6: the issuer need not send a new one."""
    house = await started(rotates=False)
    await asyncio.sleep(3600)
    assert house.state() == "fresh"
    assert set(house.issuer.posted) == {"rt-CANARY-1"}


@virtual
async def test_a_lost_reply_is_posted_again_until_an_answer_and_then_ends() -> None:
    """Ambiguous: the same token is posted; one refusal after it is final, and says so."""
    house = await started(lose_replies=1)
    await in_flight(house)
    states = set()
    for _ in range(40):
        states.add(house.state())
        await asyncio.sleep(0.5)
    assert "ambiguous" in states
    assert house.state() == "login-required"
    assert len(house.issuer.posted) == 2
    assert set(house.issuer.posted) == {"rt-CANARY-1"}


@virtual
async def test_a_lost_reply_at_an_issuer_that_does_not_rotate_is_no_matter() -> None:
    """The same token posted again simply works."""
    house = await started(rotates=False, lose_replies=1)
    await asyncio.sleep(200)
    assert house.state() == "fresh"


@virtual
async def test_a_late_reply_goes_to_the_side_slot_and_is_posted_if_the_winner_is_refused() -> None:
    """A login during a refresh: the late answer's token is kept, and used once when needed."""
    house = await started(reply_latency=5.0)
    await in_flight(house)
    login = asyncio.create_task(house.login())
    await asyncio.sleep(6)
    await login
    assert house.keeper.asides["lab"]
    late = "rt-CANARY-2"
    house.issuer.living = {late}
    await asyncio.sleep(400)
    assert house.state() == "fresh"
    assert late in house.issuer.posted
    assert not house.keeper.asides.get("lab")


@virtual
async def test_a_logout_waits_for_the_flight_and_ends_what_it_brought() -> None:
    """The token revoked at the issuer is the living one, not the one that was just spent."""
    house = await started(reply_latency=5.0)
    await in_flight(house)
    await house.broker.forget("lab")
    assert house.issuer.revoked == ["rt-CANARY-2"]
    assert house.state() == "empty"
    assert "lab" not in house.keeper.records


@virtual
async def test_a_logout_that_can_not_reach_the_issuer_keeps_the_login() -> None:
    """Nothing is erased before the issuer knows, unless the person says so."""
    house = await started()
    house.issuer.away = True
    with pytest.raises(UpstreamUnavailable) as caught:
        await house.broker.forget("lab")
    assert caught.value.remedy == "credd-ctl logout lab --keep-going"
    assert house.state() == "fresh"
    await house.broker.forget("lab", keep_going=True)
    assert house.state() == "empty"


@virtual
async def test_a_copied_vault_serves_what_it_has_and_spends_nothing() -> None:
    """restored: no request before a person accepts the copy; the living original stays alive."""
    house = await started()
    await house.restart(restored=True)
    assert house.state() == "restored"
    assert await house.fetch() == "at-1"
    await asyncio.sleep(3600)
    assert house.issuer.requests == []
    house.grants.accept()
    await asyncio.sleep(20)
    assert house.state() == "fresh"


@virtual
async def test_two_refusals_end_a_login_and_the_secret_is_kept() -> None:
    """One confirming try after 5 to 10 s, then login-required with few probes; a recovery heals."""
    house = await started()
    house.issuer.failure = Failure(Kind.REFUSED, "invalid_grant")
    await asyncio.sleep(200)
    assert house.state() == "login-required"
    first, second = house.issuer.requests[:2]
    assert 5 <= second - first <= 10.5
    house.issuer.failure = None
    await asyncio.sleep(1000)
    assert house.state() == "fresh"


@virtual
async def test_nothing_of_a_secret_is_in_any_repr() -> None:
    """Holdings, grants, tokens and records describe themselves without their secrets."""
    house = await started()
    holding = house.shelf.find("lab")
    shown = repr([holding, holding.grant, holding.tokens, holding.record(), Secret("rt-CANARY-x")])
    shown += str(house.broker.describe("lab"))
    assert "CANARY" not in shown
    assert "at-1" not in shown
