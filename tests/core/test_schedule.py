"""Promises about the schedule: within the policy's bounds for any lifetime from 1 s to 30 days."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from credd.core import schedule
from credd.core.instant import Instant
from credd.core.schedule import Phase
from tests.core.facts import A_MONTH, NOW, dice, later, lifetimes, modest, moments, token

HINTS = st.none() | st.floats(-10, A_MONTH)


def aged(lifetime: float, age: float, **changes: float) -> Phase:
    """The phase of a token of this lifetime at this age."""
    return schedule.phase(token(lifetime=lifetime, **changes), later(age))


@pytest.mark.parametrize(
    ("lifetime", "reserve", "lead", "floor"),
    [
        (1.0, 0.25, 0.1, 0.1),
        (4.0, 1.0, 0.4, 0.4),
        (6.0, 1.0, 0.6, 0.6),
        (10.0, 1.0, 1.0, 1.0),
        (50.0, 5.0, 5.0, 5.0),
        (300.0, 5.0, 30.0, 30.0),
        (600.0, 5.0, 60.0, 60.0),
        (3600.0, 5.0, 60.0, 60.0),
        (A_MONTH, 5.0, 60.0, 60.0),
    ],
)
def test_the_three_margins(lifetime: float, reserve: float, lead: float, floor: float) -> None:
    """min(5 s, L/10), min(60 s, L/10) twice; the reserve is at least a JWT's whole second."""
    found = schedule.reserve(lifetime), schedule.lead(lifetime), schedule.floor(lifetime)
    assert found == pytest.approx((reserve, lead, floor))


@modest
@given(lifetimes)
def test_margins_leave_room(lifetime: float) -> None:
    """However short a token lives, most of its life it is served without waiting."""
    assert 0 < schedule.reserve(lifetime) <= lifetime / 4
    assert 0 < schedule.lead(lifetime) <= lifetime / 10
    assert schedule.floor(lifetime) < lifetime - schedule.longest_min_valid(lifetime)


@modest
@given(lifetimes, dice)
def test_a_refresh_is_due_at_about_half_life(lifetime: float, throw: float) -> None:
    """L times 0.50 to 0.60, never later than a day."""
    soft = schedule.soft_after(lifetime, throw, None, None)
    assert min(0.5 * lifetime, schedule.DAY) <= soft <= min(0.6 * lifetime, schedule.DAY)


@modest
@given(lifetimes, dice, HINTS, HINTS)
def test_hints_only_pull_it_earlier_and_not_before_a_quarter(
    lifetime: float, throw: float, refresh_in: float | None, refresh_life: float | None
) -> None:
    """Hints of 0 and below say nothing (Keycloak sends 0 for offline tokens)."""
    usual = schedule.soft_after(lifetime, throw, None, None)
    soft = schedule.soft_after(lifetime, throw, refresh_in, refresh_life)
    assert min(usual, lifetime / 4) <= soft <= usual
    for hint in (refresh_in or 0.0, 0.5 * (refresh_life or 0.0)):
        assert hint <= 0 or soft <= max(hint, lifetime / 4)


@modest
@given(lifetimes, dice, st.floats(0, 1.5), st.floats(0, 1.5))
def test_a_token_only_ever_gets_worse(
    lifetime: float, throw: float, one: float, other: float
) -> None:
    """Fresh, soft, hard, dead, in this order; dead before its end."""
    soft = schedule.soft_after(lifetime, throw, None, None)
    first, second = sorted((one * lifetime, other * lifetime))
    assert aged(lifetime, first, soft_after=soft) <= aged(lifetime, second, soft_after=soft)
    assert aged(lifetime, 0.0, soft_after=soft) is Phase.FRESH
    assert aged(lifetime, lifetime, soft_after=soft) is Phase.DEAD


@modest
@given(moments, moments, lifetimes)
def test_whatever_the_clocks_say_no_dead_token_counts_as_good(
    obtained: Instant, now: Instant, lifetime: float
) -> None:
    """A token that is not dead has time left on both clocks, as far as they can be believed."""
    issued = token(obtained=obtained, lifetime=lifetime)
    if schedule.phase(issued, now) is not Phase.DEAD:
        assert schedule.remaining(issued, now) > 0
        assert now.wall - obtained.wall < lifetime
        assert now.boot_id != obtained.boot_id or now.boottime - obtained.boottime < lifetime


def test_a_static_key_is_always_fresh() -> None:
    """Nothing says when it ends, so nothing does; clients ask again every five minutes."""
    key = token(lifetime=None, soft_after=None)
    assert schedule.phase(key, later(1e9)) is Phase.FRESH
    assert schedule.remaining(key, later(1e9)) == math.inf
    assert schedule.expires_at(key, later(1e9)) is None
    assert schedule.refresh_at(key, later(100)) == NOW.wall + 400
    assert not schedule.is_within_floor(key, NOW)


def test_nobody_refreshes_within_the_floor() -> None:
    """After a success; and without a token there is none."""
    assert schedule.is_within_floor(token(), later(29.9))
    assert not schedule.is_within_floor(token(), later(30.1))
    assert not schedule.is_within_floor(None, NOW)


# --- what clients are told ------------------------------------------------------------------------


@modest
@given(lifetimes, dice, st.floats(0, 1))
def test_a_clients_copy_is_reused_no_longer_than_it_is_good(
    lifetime: float, throw: float, part: float
) -> None:
    """Until the soft moment, after that for a short while at a time, never past the last good
    second."""
    issued = token(lifetime=lifetime, soft_after=schedule.soft_after(lifetime, throw, None, None))
    now = later(part * lifetime)
    assume(schedule.phase(issued, now) is not Phase.DEAD)
    told = schedule.refresh_at(issued, now)
    assert told <= NOW.wall + lifetime - schedule.reserve(lifetime) + 1e-6
    if schedule.phase(issued, now) is Phase.FRESH:
        assert told == pytest.approx(NOW.wall + (issued.soft_after or 0))
    else:
        assert told <= now.wall + 5.0


@modest
@given(lifetimes, st.floats(0, 1), st.floats(1, 1e8))
def test_a_clock_that_was_set_back_extends_nothing(
    lifetime: float, part: float, step: float
) -> None:
    """What is told is read off the wall clock as it stands now."""
    issued = token(lifetime=lifetime, soft_after=lifetime / 2)
    now = later(part * lifetime)
    bent = Instant(now.wall - step, now.boottime, now.boot_id)
    told = schedule.expires_at(issued, bent)
    assert told is not None
    assert told == pytest.approx(bent.wall + (1 - part) * lifetime, abs=1e-3)
    assert schedule.refresh_at(issued, bent) <= told


def test_where_no_clock_can_tell_a_token_ends_now() -> None:
    """Another boot with an earlier clock: a finite moment, in no future."""
    bent = Instant(NOW.wall - 1e9, 10.0, "boot-2")
    assert schedule.expires_at(token(), bent) == bent.wall


@modest
@given(lifetimes, st.floats(0, 2), st.floats(0, 2))
def test_an_end_does_not_move_by_being_looked_at(lifetime: float, one: float, other: float) -> None:
    """Two looks, one moment."""
    issued = token(lifetime=lifetime)
    looks = [schedule.expires_at(issued, later(part * lifetime)) for part in (one, other)]
    assert looks[0] == pytest.approx(looks[1], abs=1e-3)


# --- back-off -------------------------------------------------------------------------------------


@modest
@given(st.integers(0, 10**6), lifetimes, st.floats(-1e9, A_MONTH), dice)
def test_a_pause_stays_within_the_policys_bounds(
    tries: int, lifetime: float, left: float, throw: float
) -> None:
    """At least 1 s (L/20 where that is less), at most 300 s, and at most 2^(n+1)."""
    pause = schedule.retry_delay(tries, lifetime, left, throw)
    least = min(1.0, lifetime / 20)
    assert least <= pause <= schedule.CAP
    assert pause <= max(least, 2.0 ** min(tries + 1, 60))
    assert pause >= min(least, 0.5 * 2.0 ** min(tries + 1, 60))


@modest
@given(st.integers(20, 1000), lifetimes, st.floats(0.001, A_MONTH), dice)
def test_while_a_token_is_good_the_pause_follows_what_is_left(
    tries: int, lifetime: float, left: float, throw: float
) -> None:
    """Half-jitter below clamp(rem/20, clamp(L/20, 5, 60), 300)."""
    shortest = min(max(lifetime / 20, 5.0), 60.0)
    cap = min(max(left / 20, shortest), 300.0)
    pause = schedule.retry_delay(tries, lifetime, left, throw)
    assert cap / 2 <= pause <= cap or pause == min(1.0, lifetime / 20)


@pytest.mark.parametrize(
    ("left", "cap"), [(-0.1, 15.0), (-899.0, 15.0), (-900.0, 300.0), (-math.inf, 300.0)]
)
def test_after_the_end_tries_stay_frequent_for_a_quarter_of_an_hour(
    left: float, cap: float
) -> None:
    """With tokens of five minutes: every 15 s, later every 5 min."""
    assert schedule.retry_delay(50, 300.0, left, 1.0) == cap


@modest
@given(st.integers(0, 1000), lifetimes, st.floats(-1e6, A_MONTH), dice, st.floats(0, 3600))
def test_a_wanted_pause_wins_and_is_only_ever_lengthened(
    tries: int, lifetime: float, left: float, throw: float, wanted: float
) -> None:
    """Never sooner than asked; longer by a tenth, or by what a short outage costs anyhow."""
    pause = schedule.retry_delay(tries, lifetime, left, throw, wanted)
    assert wanted <= pause <= max(1.1 * wanted, schedule.shortest_cap(lifetime))


@modest
@given(dice)
def test_a_kick_is_soon_and_not_for_all_at_once(throw: float) -> None:
    """Within two seconds."""
    assert 0 <= schedule.kick_delay(throw) <= 2


@modest
@given(st.integers(0, 10**6), dice)
def test_those_that_wake_together_are_spread(count: int, throw: float) -> None:
    """Over 0.2 s each, ten seconds in all."""
    assert 0 <= schedule.stagger(count, throw) <= min(10, 0.2 * count)


# --- rejections -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lifetime", "age"), [(None, 60.0), (10.0, 2.5), (240.0, 60.0), (3600.0, 60.0)]
)
def test_a_token_only_just_obtained_is_not_replaced(lifetime: float | None, age: float) -> None:
    """Younger than min(60 s, L/4), another one would not fare better."""
    assert schedule.rejection_age(lifetime) == age


@modest
@given(st.lists(st.floats(0, 7200), max_size=400))
def test_rejections_cause_one_refresh_a_minute_and_five_an_hour(asked: list[float]) -> None:
    """Whenever they come."""
    past: list[Instant] = []
    for moment in sorted(asked):
        now = later(moment)
        if schedule.rejection_pause(past, now) == 0:
            past = [*past, now]
    caused = [one.wall for one in past]
    assert all(b - a >= 60 for a, b in itertools.pairwise(caused))
    assert all(b - a >= 3600 for a, b in zip(caused, caused[5:], strict=False))


def test_the_pause_of_a_rejection_says_when_it_may_be_repeated() -> None:
    """And only runs down."""
    past = [later(60.0 * number) for number in range(5)]
    assert schedule.rejection_pause([], NOW) == 0
    assert schedule.rejection_pause(past[:1], later(20)) == 40
    assert schedule.rejection_pause(past, later(300)) == 3300
    assert schedule.rejection_pause(past, later(3601)) == 0
