"""Imports: a login that moves in is here, proven and durable, or it stays where it was."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from credd.broker.imports import Imports, Plan
from credd.core.conversation import Authorization, Renewal
from credd.core.failures import Failure, Kind
from credd.core.importing import Handover
from credd.core.model import Secret
from credd.errors import BadRequest, CreddError, LoginRequired, Misconfigured, UpstreamUnavailable
from credd.providers.static import StaticProvider
from tests.fakes.house import House, credential, started
from tests.fakes.virtual_time import virtual


class Mover:
    """Hands secrets over to a house."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.build()

    def build(self) -> None:
        """As the parts list does it, after a restart too."""
        house = self.house
        self.imports = Imports(
            house.shelf, house.grants, house.flights, house.keeper, house.around, house._open_vault
        )

    async def take(self, secret: Secret, name: str = "lab", **more: Any) -> bool:
        wanted = self.house.credentials[name]
        provider = more.pop("provider", self.house.issuers[wanted.settings["issuer"]])
        plan = Plan(
            more.pop("credential", wanted), provider, Handover(secret, account="ada"), **more
        )
        return (await self.imports.take(plan))["rotated"]

    async def refused(self, secret: Secret, **more: Any) -> CreddError:
        """The error that an import ends with."""
        with pytest.raises(CreddError) as raised:
            await self.take(secret, **more)
        return raised.value


async def empty(*names: str, **issuer: Any) -> tuple[House, Mover]:
    """A house in which nobody has logged in."""
    house = await started(*names, logged_in=False, **issuer)
    return house, Mover(house)


@virtual
async def test_a_refresh_token_moves_in() -> None:
    """It is posted once, replaced by the issuer, sealed, and serves tokens at once."""
    house, mover = await empty()
    original = house.issuer.grant_elsewhere()
    assert await mover.take(original) is True
    assert house.state() == "fresh"
    assert house.broker.describe("lab")["account"] == "ada"
    assert house.issuer.posted == [original.reveal()]
    assert original.reveal() not in house.issuer.living
    await house.restart()
    assert (await house.fetch()).startswith("at-")
    await asyncio.sleep(1000)
    assert house.issuer.violations == []
    assert house.issuer.posted.count(original.reveal()) == 1


@virtual
async def test_an_issuer_that_does_not_rotate_is_told_from_one_that_does() -> None:
    """Who handed it over must know that the original still works."""
    house, mover = await empty(rotates=False)
    assert await mover.take(house.issuer.grant_elsewhere()) is False
    assert house.state() == "fresh"


@virtual
async def test_the_token_is_sealed_before_it_is_posted() -> None:
    """A daemon that dies in the middle has it, and its journal knows that it was on its way."""
    house, mover = await empty(latency=5.0)
    task = asyncio.create_task(mover.take(house.issuer.grant_elsewhere()))
    await asyncio.sleep(1)
    assert house.issuer.in_flight == 1
    assert house.keeper.records["lab"]
    assert house.keeper.attempts["lab"]
    task.cancel()


@virtual
async def test_what_the_issuer_refuses_leaves_no_trace() -> None:
    """One post, no confirming second one, and nothing in the vault."""
    house, mover = await empty()
    error = await mover.refused(Secret("rt-CANARY-dead"))
    assert isinstance(error, LoginRequired)
    assert error.reason == "invalid_grant"
    await asyncio.sleep(4000)
    assert house.issuer.posted == ["rt-CANARY-dead"]
    assert house.keeper.records == {}
    assert house.state() == "empty"


@pytest.mark.parametrize(
    "failure",
    [
        Failure(Kind.MISCONFIGURED, "invalid_client"),
        Failure(Kind.TRANSIENT, "temporarily_unavailable"),
        Failure(Kind.TRANSIENT, "too_many_requests", 60.0),
    ],
)
@virtual
async def test_what_was_not_spent_is_not_kept(failure: Failure) -> None:
    """The original lives on where it was, so a second holder would kill it."""
    house, mover = await empty()
    house.issuer.failure = failure
    original = house.issuer.grant_elsewhere()
    error = await mover.refused(original)
    assert error.reason == failure.reason
    assert error.remedy == "credd-ctl import lab"
    requests = len(house.issuer.requests)
    await asyncio.sleep(4000)
    assert len(house.issuer.requests) == requests == 1
    assert house.keeper.records == {}
    house.issuer.failure = None
    assert await mover.take(original) is True


@virtual
async def test_an_issuer_that_is_away_has_seen_nothing() -> None:
    """Nothing was sent, so nothing is kept."""
    house, mover = await empty()
    house.issuer.away = True
    error = await mover.refused(house.issuer.grant_elsewhere())
    assert isinstance(error, UpstreamUnavailable)
    assert house.keeper.records == {}


@virtual
async def test_a_lost_reply_is_kept_and_tried_again() -> None:
    """The reply may have held the only living token; the import ends when an answer comes."""
    house, mover = await empty(rotates=False)
    original = house.issuer.grant_elsewhere()
    house.issuer.lose_replies = 1
    error = await mover.refused(original)
    assert error.reason == "reply_lost"
    assert house.state() == "ambiguous"
    again = await mover.refused(original)  # at once: the back-off is kept
    assert again.reason == "reply_lost"
    assert len(house.issuer.requests) == 1
    await asyncio.sleep(30)
    assert house.state() == "fresh"
    assert await mover.take(original) is False
    assert len(house.issuer.requests) == 2


@virtual
async def test_a_token_that_is_known_is_never_posted_anew() -> None:
    """The answer was lost on its way here: the second import says yes, and the login lives."""
    house, mover = await empty()
    original = house.issuer.grant_elsewhere()
    await mover.take(original)
    await house.restart()
    mover.build()
    assert await mover.take(original) is True
    await asyncio.sleep(1000)
    assert house.issuer.posted.count(original.reveal()) == 1
    assert house.state() == "fresh"


@virtual
async def test_two_imports_at_once_post_it_once() -> None:
    """The second finds what the first has done."""
    house, mover = await empty()
    original = house.issuer.grant_elsewhere()
    assert await asyncio.gather(mover.take(original), mover.take(original)) == [True, True]
    assert house.issuer.posted == [original.reveal()]


@virtual
async def test_one_token_is_not_held_under_two_names() -> None:
    """Two holders of one rotating token kill it, be they in one house."""
    house, mover = await empty("lab", "other")
    original = house.issuer.grant_elsewhere()
    await mover.take(original)
    error = await mover.refused(original, name="other")
    assert (error.reason, error.remedy) == ("held_already", "credd-ctl status lab")
    assert len(house.issuer.requests) == 1


@virtual
async def test_a_living_login_is_not_replaced() -> None:
    """Whoever wants that logs out first; one that has ended is replaced."""
    house = await started()
    mover = Mover(house)
    error = await mover.refused(house.issuer.grant_elsewhere())
    assert (error.reason, error.remedy) == ("logged_in_already", "credd-ctl logout lab")
    assert house.state() == "fresh"
    house.issuer.kill()
    await asyncio.sleep(400)
    assert house.state() == "login-required"
    assert await mover.take(house.issuer.grant_elsewhere()) is True
    assert house.state() == "fresh"


@virtual
async def test_an_ended_login_is_put_back_where_nothing_comes_of_an_import() -> None:
    """Its refresh token stays quarantined, and its account known."""
    house = await started()
    mover = Mover(house)
    house.issuer.kill()
    await asyncio.sleep(400)
    error = await mover.refused(Secret("rt-CANARY-dead"))
    assert error.reason == "invalid_grant"
    assert house.state() == "login-required"
    assert house.broker.describe("lab")["account"] == "alice@example"
    await house.restart()
    assert house.state() == "login-required"


@virtual
async def test_a_refresh_token_is_not_left_where_it_was() -> None:
    """Refused before anything is posted, with the reason."""
    house, mover = await empty()
    error = await mover.refused(house.issuer.grant_elsewhere(), keep_original=True)
    assert isinstance(error, BadRequest)
    assert error.reason == "rotates"
    assert house.issuer.requests == []
    assert house.keeper.records == {}


@virtual
async def test_nothing_is_posted_that_could_not_be_written() -> None:
    """A disk that is full stops the import before the issuer hears of it."""
    house, mover = await empty()
    house.keeper.fail_writes("disk_full", outside=False)
    error = await mover.refused(house.issuer.grant_elsewhere())
    assert isinstance(error, Misconfigured)
    assert house.issuer.requests == []


@virtual
async def test_yes_is_said_only_once_it_is_durable() -> None:
    """A disk that fills up behind the journal: the login works, and the original stays for now."""
    house, mover = await empty(latency=5.0)
    original = house.issuer.grant_elsewhere()
    task = asyncio.create_task(mover.refused(original))
    await asyncio.sleep(1)
    house.keeper.fail("keep", "disk_full")
    assert (await task).reason == "unsaved"
    house.keeper.mend()
    await asyncio.sleep(30)
    assert await mover.take(original) is True
    assert house.issuer.posted == [original.reveal()]


@virtual
async def test_a_reply_without_a_usable_access_token_still_moves_the_login() -> None:
    """The issuer has replaced the refresh token: the original is dead, so the new one is kept."""
    house, mover = await empty()
    house.issuer.bend = lambda renewal: Renewal(
        sent=renewal.sent, refresh_token=renewal.refresh_token, defect="bad_access_token"
    )
    assert await mover.take(house.issuer.grant_elsewhere()) is True
    assert house.keeper.records["lab"]


@virtual
async def test_a_new_credential_that_is_refused_is_gone() -> None:
    """Nothing of it is shown afterwards."""
    house, mover = await empty()
    new = credential("new", settings={"issuer": "lab"})
    house.credentials["new"] = new
    await mover.refused(Secret("rt-CANARY-dead"), name="new")
    assert [one["name"] for one in house.broker.describe_all()] == ["lab"]


@virtual
async def test_a_key_moves_in_without_a_post() -> None:
    """It is its own access token, and whoever has it may go on using it."""
    house, mover = await empty()
    key = Secret("key-CANARY-1")
    assert await mover.take(key, provider=StaticProvider({}), keep_original=True) is False
    assert await house.fetch() == "key-CANARY-1"
    other = Secret("key-CANARY-2")
    assert await mover.take(other, provider=StaticProvider({})) is False
    assert await house.fetch() == "key-CANARY-2"
    assert house.issuer.requests == []


@virtual
async def test_a_key_that_no_header_can_carry_is_refused() -> None:
    """Nothing is kept of it."""
    house, mover = await empty()
    error = await mover.refused(Secret("two\nlines"), provider=StaticProvider({}))
    assert error.reason == "bad_key"
    assert house.keeper.records == {}


@virtual
async def test_a_provider_that_can_t_says_so() -> None:
    """A third party's provider need not know imports."""

    class Plain:
        async def login(self, talk: object, flow: str) -> Authorization: ...

    house, mover = await empty()
    error = await mover.refused(Secret("rt"), provider=Plain())
    assert error.reason == "not_importable"
    assert house.broker.describe_all()[0]["state"] == "empty"
