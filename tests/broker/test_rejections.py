"""Promises about rejections: "the resource server said 401 to this one"."""

from __future__ import annotations

import asyncio

from credd.errors import UpstreamUnavailable
from tests.fakes.house import started
from tests.fakes.virtual_time import virtual


@virtual
async def test_a_rejected_token_is_replaced_once() -> None:
    """Fifty jobs with the same rejected generation cause one refresh."""
    house = await started()
    await asyncio.sleep(80)
    replies = await asyncio.gather(*(house.broker.reject("lab", 1) for _ in range(50)),
                                   return_exceptions=True)  # fmt: skip
    good = [reply for reply in replies if isinstance(reply, dict)]
    assert len(house.issuer.requests) == 1
    assert {reply["generation"] for reply in good} == {2}
    assert len(good) == 50


@virtual
async def test_a_rejection_of_an_old_generation_changes_nothing() -> None:
    """Whoever rejects says which generation they saw."""
    house = await started()
    await asyncio.sleep(200)
    requests = len(house.issuer.requests)
    reply = await house.broker.reject("lab", 1)
    assert reply["outcome"] == "superseded"
    assert len(house.issuer.requests) == requests


@virtual
async def test_a_token_just_obtained_is_not_replaced() -> None:
    """Another one would not fare better."""
    house = await started()
    reply = await house.broker.reject("lab", 1)
    assert reply["outcome"] == "too-soon"
    assert house.issuer.requests == []


@virtual
async def test_a_server_that_rejects_everything_causes_no_storm() -> None:
    """A client that rejects and fetches in a loop for an hour: five forced refreshes at most."""
    house = await started(lifetime=36000.0)
    seen = 0
    for _ in range(3600):
        served = await house.broker.token("lab")
        try:
            await house.broker.reject("lab", served.token.generation)
        except UpstreamUnavailable as error:
            seen += error.reason == "rejected_too_often"
        await asyncio.sleep(1)
    assert len(house.issuer.requests) <= 5
    assert seen > 1000


@virtual
async def test_beyond_the_cap_only_the_reporter_sees_an_error() -> None:
    """Plain fetches go on while one caller rejects and rejects."""
    house = await started()
    for _ in range(8):
        await asyncio.sleep(61)
        served = await house.broker.token("lab")
        await asyncio.gather(
            house.broker.reject("lab", served.token.generation), return_exceptions=True
        )
        assert (await house.broker.token("lab")).token.generation >= served.token.generation


@virtual
async def test_a_wanted_refresh_is_not_within_the_floor() -> None:
    """`refresh` in a loop renews at most once per floor."""
    house = await started()
    outcomes = [(await house.broker.refresh("lab"))["outcome"] for _ in range(5)]
    assert outcomes == ["too-soon"] * 5
    await asyncio.sleep(40)
    assert (await house.broker.refresh("lab"))["outcome"] == "refreshed"
