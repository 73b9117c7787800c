"""Promises about corners: what happens when two things happen at once, or answers are strange.

Each of these was once broken, or nearly so. They are grouped by what would have been lost.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from credd.core.conversation import Authorization, Renewal
from credd.core.failures import Failed, Failure, Kind
from credd.core.model import PRIMARY, Secret, token_key
from credd.core.record import unpack
from credd.errors import (
    BadRequest,
    CreddError,
    LoginRequired,
    Misconfigured,
    UpstreamUnavailable,
)
from tests.fakes.house import House, credential, started
from tests.fakes.virtual_time import virtual

HOUR = 3600.0
MOON = token_key(["moon"], "")


async def in_flight(house: House) -> None:
    """Until a token request is at the issuer."""
    while not house.issuer.in_flight:  # noqa: ASYNC110 - virtual time costs nothing
        await asyncio.sleep(0.01)


def asked(house: House) -> int:
    """How many token requests the first issuer has seen."""
    return len(house.issuer.requests)


def give(house: House, **changes: Any) -> None:
    """From now on, logins at the first issuer obtain this."""
    usual = house.issuer.login

    async def login(talk: Any, flow: str) -> Authorization:
        won = await usual(talk, flow)
        renewal = dataclasses.replace(won.renewal, **changes.get("renewal", {}))
        rest = {name: value for name, value in changes.items() if name != "renewal"}
        return dataclasses.replace(won, renewal=renewal, **rest)

    house.issuer.login = login  # type: ignore[method-assign]


async def with_a_key(lifetime: float | None = None) -> House:
    """A house that holds one static key."""
    house = await started(logged_in=False)
    give(house, renewable=False, renewal={"refresh_token": None, "lifetime": lifetime})
    await house.login()
    return house


async def with_a_client_secret() -> House:
    """A house whose credential is renewed by something that does not burn."""
    house = await started(logged_in=False)
    give(house, renewal={"refresh_token": None})
    house.issuer._spend = lambda token: None  # type: ignore[method-assign]
    house.issuer.bend = lambda renewal: dataclasses.replace(renewal, refresh_token=None)
    await house.login()
    return house


# --- living refresh tokens -------------------------------------------------------------------


@virtual
async def test_a_late_answer_is_never_offered_to_another_issuer() -> None:
    """A refresh is overtaken by a login elsewhere, which is refused later: the late token of the
    first issuer stays in the side slot, sealed under the identity it was sent for."""
    house = await started("lab", "other", logged_in=False)
    await house.login("lab")
    house.issuers["lab"].reply_latency = 5.0
    await in_flight(house)
    moved = credential("lab", settings={"issuer": "other"})
    house.credentials["lab"] = moved
    house.shelf.configure(house.credentials)
    await house.login("lab")
    await asyncio.sleep(6)
    [(late, _)] = house.keeper.asides["lab"]
    assert unpack(late).identity == credential("lab").identity()
    house.issuers["other"].kill()
    await asyncio.sleep(HOUR)
    assert house.state() == "login-required"
    token = unpack(late).grant.refresh_token
    assert token is not None
    assert token.reveal() not in house.issuers["other"].posted


@virtual
async def test_a_late_answer_of_somebody_else_does_not_come_back() -> None:
    """After a switch of accounts the late token of the first person is not served as the second."""
    house = await started(reply_latency=5.0)
    await in_flight(house)
    house.issuer.subject = "bob"
    await house.login(switch_account=True)
    await asyncio.sleep(6)
    house.issuer.kill()
    await asyncio.sleep(400)
    assert house.state() == "login-required"
    assert house.broker.describe("lab")["account"] == "bob@example"


@virtual
async def test_a_keeper_that_breaks_costs_no_refresh_token() -> None:
    """Whatever `keep` raises, the new token is remembered, posted next, and saved later."""
    house = await started()

    async def broken(method: str, name: str) -> None:
        if method == "keep":
            raise RuntimeError("the executor is gone")

    house.keeper.before = broken
    await asyncio.sleep(200)
    assert house.state() == "degraded"
    assert await house.fetch() == "at-2"
    house.keeper.before = None
    await asyncio.sleep(10)
    await house.restart()
    await asyncio.sleep(300)
    assert house.state() == "fresh"
    assert len(house.issuer.posted) == len(set(house.issuer.posted))


@virtual
async def test_a_reply_that_makes_no_sense_costs_no_refresh_token() -> None:
    """A plug-in whose numbers are texts: the refresh token beside them is kept and works."""
    house = await started()
    house.issuer.bend = lambda renewal: dataclasses.replace(renewal, lifetime="soon")
    await asyncio.sleep(200)
    house.issuer.bend = lambda renewal: renewal
    await asyncio.sleep(60)
    assert house.state() == "fresh"
    assert len(house.issuer.posted) == len(set(house.issuer.posted))


@virtual
async def test_whoever_wrote_first_stands_and_the_loser_is_kept_aside() -> None:
    """A record that was replaced behind our back: nothing is lost, and nothing hangs degraded."""
    house = await started()
    number, payload = house.keeper.records["lab"]
    theirs = unpack(payload)
    grant = dataclasses.replace(theirs.grant, refresh_token=Secret("rt-CANARY-theirs"))
    from credd.core.record import pack

    house.keeper.records["lab"] = (number + 7, pack(dataclasses.replace(theirs, grant=grant)))
    house.issuer.living.add("rt-CANARY-theirs")
    await asyncio.sleep(200)
    [(aside, reason)] = house.keeper.asides["lab"]
    assert reason == "superseded"
    kept = unpack(aside).grant.refresh_token
    assert kept is not None
    assert kept.reveal() in house.issuer.living
    await asyncio.sleep(300)
    assert house.state() == "fresh"
    assert "rt-CANARY-theirs" in house.issuer.posted


@virtual
async def test_a_commit_whose_answer_was_lost_is_written_over() -> None:
    """The vault holds our own record under a higher number: it is recognised, and saving goes
    on."""
    house = await started()
    number, payload = house.keeper.records["lab"]
    house.keeper.records["lab"] = (number + 1, payload)
    house.shelf.find("lab").unsaved = True
    await asyncio.sleep(40)
    assert house.state() == "fresh"
    assert not house.keeper.asides
    await asyncio.sleep(400)
    assert house.state() == "fresh"


@virtual
async def test_a_side_slot_that_can_not_be_cleared_costs_no_login() -> None:
    """The login was saved; that its old side slot could not be erased is no failure of it."""
    house = await started()
    house.keeper.fail("drop_aside", "io")
    assert (await house.login())[-1]["type"] == "done"
    house.keeper.mend()
    await asyncio.sleep(1000)
    assert house.state() == "fresh"
    await house.restart()
    assert house.state() == "fresh"


@virtual
async def test_a_login_is_adopted_whole_however_often_it_is_cancelled() -> None:
    """Two cancels while its record is written: the record and the memory agree afterwards."""
    house = await started()
    house.keeper.hold("keep")
    reply = await house.logins.start({"name": "lab"})
    await house.keeper.reached("keep")
    cancels = []
    for _ in range(2):
        cancels.append(asyncio.create_task(house.logins.cancel(reply["id"])))
        await asyncio.sleep(0.1)
    house.keeper.let_go("keep")
    await asyncio.gather(*cancels)
    assert house.broker.describe("lab")["grant"] == 2
    await asyncio.sleep(1000)
    assert house.state() == "fresh"
    assert not house.keeper.asides


@virtual
async def test_a_logout_is_whole_even_if_its_caller_leaves() -> None:
    """Cancelled while the record is being erased: memory forgets it as well."""
    house = await started()
    house.keeper.hold("forget")
    leaving = asyncio.create_task(house.broker.forget("lab"))
    await house.keeper.reached("forget")
    leaving.cancel()
    await asyncio.sleep(0.1)
    house.keeper.let_go("forget")
    await asyncio.gather(leaving, return_exceptions=True)
    await asyncio.sleep(1)
    assert house.state() == "empty"
    await house.login()
    assert house.state() == "fresh"


@virtual
async def test_a_failure_noted_while_saving_is_not_forgotten() -> None:
    """Saving again writes down what is there; it does not turn memory back."""
    house = await started(lose_replies=1)
    holding = house.shelf.find("lab")
    await in_flight(house)
    house.keeper.hold("keep")
    saving = asyncio.create_task(house.flights.save(holding))
    await house.keeper.reached("keep")
    await asyncio.sleep(1)
    assert house.state() == "ambiguous"
    house.keeper.let_go("keep")
    await saving
    assert house.state() == "ambiguous"


@virtual
async def test_a_lost_reply_is_remembered_across_a_reload() -> None:
    """A reply was lost, then the client was refused, then somebody mended the configuration: one
    refusal is final, and says why."""
    house = await started(lose_replies=1)
    await in_flight(house)
    await asyncio.sleep(0.1)
    house.issuer.failure = Failure(Kind.MISCONFIGURED, "invalid_client")
    await asyncio.sleep(30)
    assert house.state() == "misconfigured"
    house.issuer.failure = None
    before = asked(house)
    house.shelf.configure(house.credentials)
    await asyncio.sleep(30)
    assert asked(house) - before == 1
    assert house.state() == "login-required"
    trouble = house.broker.describe("lab")["trouble"]
    assert trouble is not None
    assert trouble["reason"] == "reply_lost"


# --- requests that must not be made -----------------------------------------------------------


@virtual
async def test_a_token_that_lives_no_second_is_never_served_nor_asked_for_in_a_loop() -> None:
    """expires_in 0, whatever a provider made of it: a failure with its pauses."""
    house = await started()
    house.issuer.bend = lambda renewal: dataclasses.replace(renewal, lifetime=0.0)
    await asyncio.sleep(HOUR)
    assert asked(house) < 250
    with pytest.raises(UpstreamUnavailable):
        await house.fetch(max_wait=0)


@virtual
async def test_replies_that_take_longer_than_the_token_lives_cause_no_loop() -> None:
    """Dead on arrival is no success, so the pauses grow."""
    house = await started(lifetime=10.0)
    house.issuer.latency = 12.0
    await asyncio.sleep(HOUR)
    assert asked(house) < HOUR / 14
    house.issuer.latency = 0.05
    await asyncio.sleep(60)
    assert await house.fetch()


@virtual
async def test_a_refusal_of_the_grants_own_scope_is_a_wrong_configuration() -> None:
    """`invalid_scope` for what nobody narrowed is not one caller's fault, and not a loop."""
    house = await started()
    house.issuer.failure = Failure(Kind.CALLER, "invalid_scope")
    await asyncio.sleep(600)
    assert asked(house) <= 2
    assert house.state() == "misconfigured"


@virtual
async def test_retry_after_zero_is_no_invitation_to_a_storm() -> None:
    """A proxy that says "come at once" for four hours is asked with the usual measure."""
    house = await started(throttle=0.0)
    await asyncio.sleep(4 * HOUR)
    assert asked(house) < 4 * HOUR / 7
    house.issuer.throttle = None
    await asyncio.sleep(60)
    assert house.state() == "fresh"


@virtual
async def test_a_pause_that_the_issuer_asked_for_is_shortened_by_nobody() -> None:
    """Retry-After an hour: jobs that ask and a network that comes back change nothing."""
    house = await started(throttle=HOUR)
    await asyncio.sleep(400)
    before = asked(house)
    for _ in range(50):
        with pytest.raises(UpstreamUnavailable):
            await house.fetch()
        house.broker.wake()
        await asyncio.sleep(20)
    assert asked(house) == before


@virtual
async def test_nobody_waits_for_a_try_that_is_known_to_come_later() -> None:
    """A pause of an hour is said at once, with its length."""
    house = await started(throttle=HOUR)
    await asyncio.sleep(400)
    before = asyncio.get_running_loop().time()
    with pytest.raises(UpstreamUnavailable) as caught:
        await house.fetch(max_wait=30)
    assert asyncio.get_running_loop().time() == before
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 3000


@virtual
async def test_a_wrong_configuration_is_said_at_once() -> None:
    """No caller waits half a minute for a client that is not registered."""
    house = await started()
    house.issuer.failure = Failure(Kind.MISCONFIGURED, "invalid_client")
    await asyncio.sleep(400)
    before = asyncio.get_running_loop().time()
    with pytest.raises(Misconfigured):
        await house.fetch()
    assert asyncio.get_running_loop().time() == before


@virtual
async def test_a_refusal_is_not_hidden_by_what_comes_between() -> None:
    """invalid_grant and 429 in turns: the second refusal is final."""
    house = await started()
    failures = [
        Failure(Kind.REFUSED, "invalid_grant"),
        Failure(Kind.TRANSIENT, "too_many_requests", 1.0),
    ]
    usual = house.issuer._judge

    def judge(grant: Any, key: Any) -> None:
        if house.issuer.failure is None:
            usual(grant, key)
        raise Failed(failures[asked(house) % 2])

    house.issuer.failure = failures[0]
    house.issuer._judge = judge  # type: ignore[method-assign]
    await asyncio.sleep(300)
    assert house.state() == "login-required"
    assert asked(house) <= 5


@virtual
async def test_a_flight_that_waited_too_long_for_its_slot_is_called_off() -> None:
    """While it queued behind slow ones a login replaced its grant: the old token is not posted."""
    names = [f"c{number}" for number in range(9)]
    house = await started(*names)
    for issuer in house.issuers.values():
        issuer.origin = lambda _: "https://one.example"  # type: ignore[method-assign]
        issuer.latency = 30.0
    last = house.shelf.find("c8")
    for name in names:
        house.flights.fly(house.shelf.find(name), PRIMARY)
    await asyncio.sleep(1)
    house.issuers["c8"].latency = 0.05
    await house.login("c8")
    await asyncio.sleep(40)
    assert house.issuers["c8"].posted == []
    assert last.flight is None
    assert house.state("c8") == "fresh"


@virtual
async def test_no_flight_that_waits_for_its_slot_starts_once_the_daemon_stops() -> None:
    """SIGTERM: what was sent is awaited, what was not sent stays unsent."""
    names = [f"c{number}" for number in range(9)]
    house = await started(*names)
    for issuer in house.issuers.values():
        issuer.origin = lambda _: "https://one.example"  # type: ignore[method-assign]
        issuer.latency = 30.0
    for name in names:
        house.flights.fly(house.shelf.find(name), PRIMARY)
    await asyncio.sleep(1)
    house.flights.ground()
    await house.flights.drain()
    assert sum(len(issuer.posted) for issuer in house.issuers.values()) == 8
    assert house.issuers["c8"].posted == []


@virtual
async def test_those_that_land_together_share_a_look() -> None:
    """A look goes over everything; with one for each landing, a thousand credentials would cost a
    million."""
    house = await started(*[f"c{number}" for number in range(100)])
    await asyncio.sleep(40)
    looks, look = [], house.refresher.look

    def counted(now: Any) -> float:
        looks.append(now)
        return look(now)

    house.refresher.look = counted  # type: ignore[method-assign]
    assert len(house.broker.refresh_all()) == 100
    await asyncio.sleep(1)
    assert all(len(issuer.requests) == 1 for issuer in house.issuers.values())
    assert len(looks) <= 10


@virtual
async def test_a_rejection_does_not_bypass_the_back_off() -> None:
    """The issuer has asked for a pause: a job's 401 does not end it."""
    house = await started(throttle=HOUR)
    await asyncio.sleep(200)
    before = asked(house)
    for _ in range(5):
        with pytest.raises(UpstreamUnavailable):
            await house.broker.reject("lab", 1)
        await asyncio.sleep(10)
    assert asked(house) == before


# --- one caller's wish --------------------------------------------------------------------------


@virtual
async def test_one_callers_refused_scope_never_ends_everybodys_login() -> None:
    """Some issuers answer invalid_grant to a scope nobody consented to. It is confirmed with the
    grant's own scopes; these work, so the refusal is that caller's alone."""
    house = await started()
    usual = house.issuer._judge

    def judge(grant: Any, key: Any) -> None:
        if key == MOON:
            raise Failed(Failure(Kind.REFUSED, "invalid_grant"))
        usual(grant, key)

    house.issuer._judge = judge  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(BadRequest, match="refuses this scope"):
            await house.broker.token("lab", MOON)
        assert house.state() == "fresh"
    assert house.issuer.keys.count(MOON) == 1
    assert await house.fetch() == "at-2"


@virtual
async def test_a_login_that_is_over_is_said_to_who_asks_for_a_scope_too() -> None:
    """Not a caller's fault: the confirming try with the grant's own scopes is refused as well."""
    house = await started()
    house.issuer.kill()
    with pytest.raises(LoginRequired):
        await house.broker.token("lab", MOON)
    assert house.state() == "login-required"
    assert asked(house) == 2


@virtual
async def test_who_does_not_wait_still_gets_a_narrowed_token() -> None:
    """max_wait=0: refused now, yet the refresh has begun, and the next ask is served."""
    house = await started()
    with pytest.raises(UpstreamUnavailable):
        await house.broker.token("lab", MOON, max_wait=0)
    await asyncio.sleep(1)
    assert (await house.broker.token("lab", MOON, max_wait=0)).token.key == MOON


@virtual
async def test_a_rejected_token_is_replaced_though_another_key_is_in_flight() -> None:
    """What was "refreshed" is the token that was rejected, not whichever came next."""
    house = await started(latency=3.0)
    rejected = (await house.broker.token("lab", MOON)).token.generation
    await asyncio.sleep(80)
    house.flights.fly(house.shelf.find("lab"), PRIMARY)
    await asyncio.sleep(0.1)
    reply = await house.broker.reject("lab", rejected)
    assert reply["outcome"] == "refreshed"
    now = (await house.broker.token("lab", MOON)).token
    assert now.generation == reply["generation"] > rejected
    assert house.issuer.violations == []


@virtual
async def test_refresh_all_renews_what_is_well_and_a_network_change_does_not() -> None:
    """A person's wish counts for all; a network that comes back only for what waits for it."""
    house = await started("lab", "other")
    assert house.broker.refresh_all() == []
    await asyncio.sleep(40)
    assert house.broker.kick_all() == []
    assert house.broker.refresh_all() == ["lab", "other"]
    await asyncio.sleep(1)
    assert await house.fetch("other") == "at-2"


@virtual
async def test_a_forced_refresh_that_fails_says_why() -> None:
    """The token is good, the person wanted a newer one: they hear what stood in the way."""
    house = await started()
    await asyncio.sleep(40)
    house.issuer.away = True
    with pytest.raises(UpstreamUnavailable, match="no connection to the issuer"):
        await house.broker.refresh("lab")


# --- what is said about it ----------------------------------------------------------------------


@virtual
async def test_a_key_that_has_expired_needs_a_person() -> None:
    """Nothing renews it: near its end it is `ending`, after it a login is required, at once."""
    house = await with_a_key(lifetime=1000.0)
    assert house.state() == "fresh"
    await asyncio.sleep(950)
    assert house.state() == "ending"
    assert await house.fetch()
    await asyncio.sleep(60)
    assert house.state() == "login-required"
    before = asyncio.get_running_loop().time()
    with pytest.raises(LoginRequired) as caught:
        await house.fetch()
    assert caught.value.remedy == "credd-ctl login lab"
    assert asyncio.get_running_loop().time() == before


@virtual
async def test_a_rejected_key_is_still_rejected_after_a_restart() -> None:
    """`suspect` is a fact, and facts are kept."""
    house = await with_a_key()
    assert (await house.broker.reject("lab", 1))["outcome"] == "not-renewable"
    assert house.state() == "suspect"
    await house.restart()
    assert house.state() == "suspect"
    assert await house.fetch() == "at-1"
    await house.login()
    assert house.state() == "fresh"


@virtual
async def test_a_full_disk_that_outlasts_the_token_is_no_good_state() -> None:
    """`degraded` counts as well; with nothing left to serve it would be a lie."""
    house = await started()
    house.keeper.fail("journal", "disk_full")
    await asyncio.sleep(310)
    shown = house.broker.describe("lab")
    assert (shown["state"], shown["exit_code"]) == ("expired", 7)
    with pytest.raises(UpstreamUnavailable, match="disk full"):
        await house.fetch(max_wait=0)
    house.keeper.mend()
    await asyncio.sleep(10)
    assert house.state() == "fresh"


@virtual
async def test_a_full_disk_stops_only_what_burns() -> None:
    """Client credentials post nothing that rotates: they are renewed with or without a disk."""
    house = await with_a_client_secret()
    house.keeper.fail_writes("disk_full")
    await asyncio.sleep(HOUR)
    assert asked(house) > 15
    assert await house.fetch() != "at-1"


@virtual
async def test_a_copied_vault_stops_only_what_burns() -> None:
    """A grant without a refresh token may be renewed by two daemons."""
    house = await with_a_client_secret()
    await house.restart(restored=True)
    assert house.state() == "fresh"
    await asyncio.sleep(200)
    assert await house.fetch() == "at-2"


@virtual
async def test_status_names_no_refresh_that_will_not_come() -> None:
    """restored, orphaned, of another identity: no next refresh is promised."""
    house = await started("lab", "other")
    await house.restart(restored=True)
    assert house.broker.describe("lab")["refresh_at"] is None
    house.grants.accept()
    assert house.broker.describe("lab")["refresh_at"] is not None
    house.shelf.configure({"lab": credential("lab", settings={"issuer": "other"})})
    assert house.broker.describe("lab")["refresh_at"] is None
    assert house.broker.describe("other")["refresh_at"] is None


@virtual
async def test_a_clock_set_back_extends_no_clients_copy() -> None:
    """What is told to clients ends when the token ends, on the clock that they will look at."""
    house = await started()
    await asyncio.sleep(100)
    house.clock.step(-86400)
    served = await house.broker.token("lab")
    now = house.clock.now().wall
    assert served.expires_at == pytest.approx(now + 200, abs=1)
    assert served.refresh_at <= now + 80
    assert house.broker.describe("lab")["token_expires_at"] == pytest.approx(now + 200, abs=1)


@virtual
async def test_a_full_disk_at_start_still_serves_what_is_kept() -> None:
    """An old journal entry that can't be cleared is no reason to serve nobody."""
    house = await started()
    entry = dataclasses.replace(_attempt_of(house), digest=b"another")
    await house.stop()
    house.keeper.attempts["lab"] = entry
    house.keeper.fail_writes("disk_full")
    house.build()
    await house.start()
    assert await house.fetch() == "at-1"


def _attempt_of(house: House) -> Any:
    from credd.core.keeping import Attempt

    return Attempt("id-x", 1, b"", house.clock.now().wall)


@virtual
async def test_an_old_login_is_ended_at_its_own_issuer() -> None:
    """After a change of issuer, logout tells the one that gave the login; the other one never sees
    its secret."""
    house = await started("lab", "other", logged_in=False)
    await house.login("lab")
    house.shelf.configure({"lab": credential("lab", settings={"issuer": "other"})})
    await house.broker.forget("lab")
    assert house.issuers["lab"].revoked == ["rt-CANARY-1"]
    assert house.issuers["other"].revoked == []


@virtual
async def test_a_removed_entrys_login_is_still_ended_at_its_issuer() -> None:
    """The record remembers the settings."""
    house = await started()
    house.shelf.configure({})
    await house.broker.forget("lab")
    assert house.issuer.revoked == ["rt-CANARY-1"]


@virtual
async def test_a_login_whose_plug_in_is_gone_is_not_forgotten_in_silence() -> None:
    """Nobody could tell the issuer: the person is asked whether to go on."""
    house = await started()
    house.shelf.configure({})
    house.shelf._catalog = {}
    with pytest.raises(UpstreamUnavailable) as caught:
        await house.broker.forget("lab")
    assert caught.value.remedy == "credd-ctl logout lab --keep-going"
    await house.broker.forget("lab", keep_going=True)
    assert house.keeper.records == {}


@virtual
async def test_a_logout_that_can_not_be_written_says_so() -> None:
    """The issuer knows, the disk does not: an error of ours with a remedy."""
    house = await started()
    house.keeper.fail("forget", "read_only")
    with pytest.raises(Misconfigured, match="read-only") as caught:
        await house.broker.forget("lab")
    assert caught.value.remedy.startswith("credd-ctl logout lab")


@virtual
async def test_check_promises_nothing_for_a_credential_that_can_not_be_used() -> None:
    """The login may last for days; with a wrong configuration no job gets a token of it."""
    house = await started()
    house.shelf.configure({"lab": credential("lab", login_lifetime=1e6)})
    assert house.broker.lifetime("lab", 100)["verdict"] == "lasts"
    house.issuer.failure = Failure(Kind.MISCONFIGURED, "invalid_client")
    await asyncio.sleep(400)
    said = house.broker.lifetime("lab", 100)
    assert (said["verdict"], said["remedy"]) == ("unknown", "credd-ctl status lab")


@virtual
async def test_a_wish_beyond_an_ending_login_names_the_login() -> None:
    """No refresh moves the end: the remedy is a login, not another try."""
    house = await started()
    holding = house.shelf.find("lab")
    await asyncio.sleep(100)
    holding.ending = True
    with pytest.raises(UpstreamUnavailable, match="end is near") as caught:
        await house.fetch(min_valid=220)
    assert caught.value.remedy == "credd-ctl login lab"


# --- logins -------------------------------------------------------------------------------------


@virtual
async def test_a_login_cancelled_before_its_first_step_is_over() -> None:
    """Its watcher hears the end, and the next login is a new one."""
    house = await started(logged_in=False)
    first = await house.logins.start({"name": "lab"})
    await house.logins.cancel(first["id"])
    events = [event async for event in house.logins.events(first["id"])]
    assert [event["type"] for event in events] == ["failed"]
    assert house.state() == "empty"
    assert (await house.login())[-1]["type"] == "done"


@virtual
async def test_two_hasty_logins_leave_one() -> None:
    """Two callers replace an unfinished login at the same moment: one login is under way."""
    house = await started(logged_in=False, latency=10.0)
    await house.logins.start({"name": "lab"})
    await asyncio.sleep(1)
    wish: Any = {"name": "lab", "switch_account": True}
    one, two = await asyncio.gather(house.logins.start(wish), house.logins.start(wish))
    assert one["id"] == two["id"]


@virtual
async def test_an_answer_to_a_login_that_is_over_is_refused() -> None:
    """Nobody is told that their answer was taken where nobody reads it."""
    house = await started(logged_in=False)
    login = await house.logins.start({"name": "lab", "flow": "ask"})
    await asyncio.sleep(0.1)
    await house.logins.cancel(login["id"])
    with pytest.raises(BadRequest):
        house.logins.answer(login["id"], "code", Secret("x"))


@virtual
async def test_a_first_token_that_is_dead_is_no_login() -> None:
    """The person is still there to hear it."""
    house = await started(logged_in=False)
    give(house, renewal={"lifetime": 0.0})
    events = await house.login()
    assert events[-1]["problem"]["reason"] == "expired_on_arrival"
    assert events[-1]["problem"]["remedy"]


@virtual
async def test_every_refusal_carries_a_remedy() -> None:
    """Whatever state a credential is in, its error names the command that comes next."""
    house = await started("lab", "other", logged_in=False)
    await _expect_remedy(house)
    await house.login("lab")
    house.issuer.away = True
    await asyncio.sleep(310)
    await _expect_remedy(house)
    house.shelf.unlocked = False
    await _expect_remedy(house)
    house.shelf.unlocked = True
    await house.restart(restored=True)
    await _expect_remedy(house)
    house.shelf.configure({"lab": credential("lab", settings={"issuer": "other"})})
    await _expect_remedy(house)
    house.shelf.configure({})
    await _expect_remedy(house)


async def _expect_remedy(house: House) -> None:
    with pytest.raises(CreddError) as caught:
        await house.fetch(max_wait=0)
    assert caught.value.remedy.startswith("credd-ctl ")
    assert type(caught.value) is not CreddError


def test_a_renewal_shows_no_secret() -> None:
    """Not even the one that a provider has just read."""
    from credd.core.instant import Instant

    shown = repr(Renewal(Instant(0, 0, "b"), Secret("rt-CANARY"), Secret("at-CANARY")))
    assert "CANARY" not in shown
