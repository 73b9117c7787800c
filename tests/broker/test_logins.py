"""Promises about logins and configuration: conversations that outlive their caller."""

from __future__ import annotations

import asyncio

import pytest

from credd.core.model import Secret
from credd.errors import BadRequest, LoginRequired, UnknownCredential
from tests.fakes.house import House, credential, started
from tests.fakes.virtual_time import virtual


@virtual
async def test_a_login_ends_with_who_you_are() -> None:
    """The last event is `done` and describes the credential."""
    house = await started(logged_in=False)
    events = await house.login()
    assert [event["type"] for event in events] == ["note", "done"]
    assert events[-1]["credential"]["account"] == "alice@example"
    assert house.state() == "fresh"


@virtual
async def test_a_login_lives_on_when_its_watcher_goes_and_is_found_again() -> None:
    """The second `login` of the same name gets the same id and all events from the first one."""
    house = await started(logged_in=False, latency=30.0)
    first = await house.logins.start({"name": "lab"})
    await asyncio.sleep(1)
    second = await house.logins.start({"name": "lab"})
    assert second["id"] == first["id"]
    assert second["resumed"]
    events = [event async for event in house.logins.events(second["id"])]
    assert [event["type"] for event in events] == ["note", "done"]


@virtual
async def test_a_cancelled_login_leaves_nothing() -> None:
    """No record, no grant; the old login stands."""
    house = await started(logged_in=False, latency=30.0)
    login = await house.logins.start({"name": "lab"})
    await asyncio.sleep(1)
    assert house.state() == "logging-in"
    await house.logins.cancel(login["id"])
    events = [event async for event in house.logins.events(login["id"])]
    assert events[-1]["type"] == "failed"
    assert house.state() == "empty"
    assert house.keeper.records == {}


@virtual
async def test_a_login_that_nobody_finishes_ends_by_itself() -> None:
    """The deadline is the login's own."""
    house = await started(logged_in=False, latency=1000.0)
    events = await house.login(timeout=60.0)
    assert events[-1]["problem"]["reason"] == "time_out"
    assert asyncio.get_running_loop().time() == pytest.approx(60, abs=1)


@virtual
async def test_a_question_waits_for_its_answer_and_takes_only_that() -> None:
    """Answers go to questions that were asked; anything else is refused."""
    house = await started(logged_in=False)
    login = await house.logins.start({"name": "lab", "flow": "ask"})
    await asyncio.sleep(0.1)
    with pytest.raises(BadRequest):
        house.logins.answer(login["id"], "password", Secret("x"))
    house.logins.answer(login["id"], "code", Secret("pw-CANARY-1"))
    events = [event async for event in house.logins.events(login["id"])]
    assert [event["type"] for event in events] == ["question", "note", "done"]
    assert "CANARY" not in repr(events)


@virtual
async def test_another_account_needs_to_be_asked_for() -> None:
    """A login as somebody else is refused and the old one stays, unless switch_account is given."""
    house = await started()
    house.issuer.subject = "bob"
    events = await house.login()
    assert events[-1]["problem"]["reason"] == "other_account"
    assert events[-1]["problem"]["remedy"] == "credd-ctl login lab --switch-account"
    assert house.broker.describe("lab")["account"] == "alice@example"
    assert (await house.login(switch_account=True))[-1]["type"] == "done"
    assert house.broker.describe("lab")["account"] == "bob@example"


@virtual
async def test_generations_go_on_over_a_new_login() -> None:
    """No generation is ever used for two tokens."""
    house = await started()
    await house.login()
    assert (await house.broker.token("lab")).token.generation == 2
    assert house.broker.describe("lab")["grant"] == 2


@virtual
async def test_a_login_that_can_not_be_saved_changes_nothing() -> None:
    """The person hears why; the old login stands."""
    house = await started()
    house.keeper.fail("keep", "read_only")
    events = await house.login()
    assert events[-1]["problem"]["code"] == "misconfigured"
    house.keeper.mend()
    assert await house.fetch() == "at-1"


@virtual
async def test_an_unknown_login_is_named_so() -> None:
    """Ids of nobody are not found."""
    house = await started()
    with pytest.raises(UnknownCredential):
        await house.logins.cancel("nobody")


@virtual
async def test_a_removed_entry_is_orphaned_and_nothing_is_lost() -> None:
    """Out of the configuration and back: the same login goes on."""
    house = await started()
    house.shelf.configure({})
    assert house.state() == "orphaned"
    with pytest.raises(UnknownCredential):
        await house.fetch()
    house.shelf.configure(house.credentials)
    assert await house.fetch() == "at-1"


@virtual
async def test_another_identity_needs_a_new_login_and_the_old_one_is_kept() -> None:
    """The old secret is not offered to the new address; the old address finds it again."""
    house = await started("lab", "other", logged_in=False)
    await house.login("lab")
    moved = credential("lab", settings={"issuer": "other"})
    house.shelf.configure({"lab": moved})
    assert house.state() == "login-required"
    with pytest.raises(LoginRequired, match="another issuer"):
        await house.fetch()
    await asyncio.sleep(1000)
    assert house.issuers["other"].requests == []
    house.shelf.configure({"lab": credential("lab")})
    assert await house.fetch() == "at-2"


@virtual
async def test_policy_changes_keep_the_login() -> None:
    """hosts and lifetimes are policy: no new login, in force at once."""
    house = await started()
    house.shelf.configure({"lab": credential("lab", hosts=("example.org",))})
    served = await house.broker.token("lab")
    assert served.hosts == ("example.org",)


@virtual
async def test_a_damaged_record_is_named_and_a_login_mends_it() -> None:
    """Nothing is guessed from broken bytes."""
    house = await started()
    house.keeper.damage("lab", "flipped")
    await house.restart()
    assert house.state() == "login-required"
    with pytest.raises(LoginRequired, match="damaged"):
        await house.fetch()
    await house.login()
    assert house.state() == "fresh"


def test_a_login_shows_no_answer_in_its_repr() -> None:
    """Logins and plans describe themselves without secrets."""
    house = House()
    assert "CANARY" not in repr(house.logins)
