"""Promises about repeated failures: what they add up to, and that a drawn pause stays drawn."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credd.core import schedule
from credd.core.failures import Failure, Kind
from credd.core.instant import Instant
from credd.core.trouble import (
    Circumstances,
    Trouble,
    after,
    answered,
    forced_pause,
    kicked,
    reconsidered,
)
from tests.core.facts import (
    NOW,
    around,
    dice,
    failure,
    kinds,
    later,
    lifetimes,
    modest,
    moments,
    trouble,
    troubles,
)

REFUSED = failure(Kind.REFUSED, "invalid_grant")
LOST = failure(Kind.AMBIGUOUS, "reset")
AWAY = failure(Kind.TRANSIENT, "connect")
BUSY = failure(Kind.TRANSIENT, "too_many_requests", retry_after=40.0)
WRONG = failure(Kind.MISCONFIGURED, "invalid_client")
FULL = failure(Kind.LOCAL, "disk_full")
GONE = failure(Kind.TRANSIENT, "not_found")

FAILURES = st.sampled_from([REFUSED, LOST, AWAY, BUSY, WRONG, FULL, GONE])


def run(*failures: Failure, start: Trouble | None = None) -> Trouble:
    """The trouble after these, a minute apart."""
    now = start
    for number, one in enumerate(failures):
        now = after(now, one, around(60.0 * number))
    assert now is not None
    return now


@pytest.mark.parametrize(
    ("failures", "kind", "final", "lost"),
    [
        ([AWAY], Kind.TRANSIENT, False, False),
        ([AWAY] * 50, Kind.TRANSIENT, False, False),
        ([LOST], Kind.AMBIGUOUS, False, True),
        ([LOST, AWAY], Kind.AMBIGUOUS, False, True),  # the loss is not forgotten
        ([LOST, BUSY], Kind.AMBIGUOUS, False, True),
        ([LOST, FULL], Kind.AMBIGUOUS, False, True),
        ([REFUSED], Kind.REFUSED, False, False),  # one confirming try
        ([REFUSED, REFUSED], Kind.REFUSED, True, False),
        ([AWAY, REFUSED], Kind.REFUSED, False, False),
        ([AWAY, REFUSED, REFUSED], Kind.REFUSED, True, False),
        ([REFUSED, BUSY, REFUSED], Kind.REFUSED, True, False),  # a 429 hides nothing for ever
        ([REFUSED, FULL, AWAY, REFUSED], Kind.REFUSED, True, False),
        ([LOST, REFUSED], Kind.REFUSED, True, True),  # final at once, and it says why
        ([LOST, AWAY, REFUSED], Kind.REFUSED, True, True),
        ([LOST, WRONG, REFUSED], Kind.REFUSED, True, True),
        ([REFUSED, LOST, REFUSED], Kind.REFUSED, True, True),
        ([REFUSED, REFUSED, AWAY], Kind.REFUSED, True, False),  # the terminal cause stays in sight
        ([REFUSED, REFUSED, BUSY], Kind.REFUSED, True, False),
        ([REFUSED, REFUSED, LOST], Kind.REFUSED, True, False),
        ([REFUSED, REFUSED, FULL], Kind.REFUSED, True, False),
        ([REFUSED, REFUSED, WRONG], Kind.MISCONFIGURED, False, False),
        ([REFUSED, REFUSED, WRONG, REFUSED], Kind.REFUSED, True, False),
        ([WRONG], Kind.MISCONFIGURED, False, False),
        ([WRONG, AWAY], Kind.TRANSIENT, False, False),
        ([FULL], Kind.LOCAL, False, False),
        ([GONE, GONE], Kind.TRANSIENT, False, False),
        ([GONE, GONE, GONE], Kind.MISCONFIGURED, False, False),
        ([AWAY, AWAY, AWAY, GONE, GONE], Kind.TRANSIENT, False, False),  # three in a row
        ([GONE, GONE, AWAY, GONE, GONE], Kind.TRANSIENT, False, False),
        ([AWAY, GONE, GONE, GONE], Kind.MISCONFIGURED, False, False),
    ],
)
def test_what_failures_add_up_to(
    failures: list[Failure], kind: Kind, final: bool, lost: bool
) -> None:
    """One row a story, as the policy tells it."""
    now = run(*failures)
    assert (now.kind, now.final, now.reply_lost_at is not None) == (kind, final, lost)
    assert now.tries == len(failures)


@pytest.mark.parametrize(
    ("failures", "least", "most"),
    [
        ([AWAY], 1.0, 2.0),
        ([AWAY, AWAY], 2.0, 4.0),
        ([AWAY] * 10, 7.5, 15.0),
        ([BUSY], 40.0, 44.0),
        ([LOST], 1.0, 2.0),
        ([REFUSED], 5.0, 10.0),
        ([REFUSED, REFUSED], 900.0, 900.0),
        ([LOST, REFUSED], 900.0, 900.0),
        ([WRONG], 900.0, 900.0),
        ([GONE] * 3, 900.0, 900.0),
        ([FULL], 5.0, 5.0),
    ],
)
def test_how_long_each_kind_waits(failures: list[Failure], least: float, most: float) -> None:
    """The pauses of the policy's table, with tokens of five minutes."""
    for throw in (0.0, 0.5, 1.0):
        now: Trouble | None = None
        for number, one in enumerate(failures):
            now = after(now, one, around(60.0 * number, left=30.0, dice=throw))
        assert now is not None
        assert least <= now.delay <= most


def test_a_refused_login_is_probed_four_times_and_then_rarely() -> None:
    """Every quarter of an hour for an hour, then every six hours."""
    now = run(REFUSED, REFUSED)
    delays = [now.delay]
    for _ in range(6):
        now = after(now, REFUSED, around(now.last.wall - NOW.wall + now.delay))
        delays.append(now.delay)
    assert delays == [900.0] * 4 + [6 * 3600.0] * 3


@modest
@given(st.none() | troubles, FAILURES, moments, lifetimes, st.floats(-1e6, 1e6), dice)
def test_any_failure_after_any_history_is_a_trouble_with_a_pause(
    previous: Trouble | None, one: Failure, now: Instant, lifetime: float, left: float, throw: float
) -> None:
    """Never raises, counts one more try, waits at least a moment and at most six hours."""
    found = after(previous, one, Circumstances(now, lifetime, left, throw))
    assert found.tries == (previous.tries if previous else 0) + 1
    assert found.last == now
    assert 0 < found.delay <= 6 * 3600
    assert found.due_in(now) == pytest.approx(found.delay)


@modest
@given(st.none() | troubles, st.lists(FAILURES, min_size=1, max_size=8))
def test_a_lost_reply_is_remembered_until_a_success(
    previous: Trouble | None, failures: list[Failure]
) -> None:
    """Whatever fails afterwards."""
    lost_before = previous is not None and previous.reply_lost_at is not None
    found = run(*failures, start=previous)
    assert not lost_before or found.reply_lost_at is not None


@modest
@given(troubles, st.lists(st.floats(0, 1e6), max_size=10))
def test_a_due_time_does_not_move_by_being_looked_at(one: Trouble, looks: list[float]) -> None:
    """Back-off that is computed anew on every look never arrives. This one runs down."""
    dues = [moment + one.due_in(later(moment, one.last)) for moment in looks if moment < one.delay]
    assert all(due == pytest.approx(one.delay, abs=1e-3) for due in dues)
    assert one.due_in(later(one.delay + 1, one.last)) == 0


@modest
@given(troubles, moments, dice)
def test_a_kick_only_ever_shortens_and_only_the_networks_waits(
    one: Trouble, now: Instant, throw: float
) -> None:
    """A refused grant, a wrong client and a pause that was asked for are left alone."""
    found = kicked(one, now, throw)
    assert found.due_in(now) <= one.due_in(now)
    assert found is one or found.due_in(now) <= 2
    if one.kind not in (Kind.TRANSIENT, Kind.AMBIGUOUS) or one.asked:
        assert found is one
    assert dataclasses.replace(found, last=one.last, delay=one.delay, kicked=one.kicked) == one


def test_kicks_work_once_in_a_while() -> None:
    """Many callers are one kick a quarter of a minute."""
    waiting = trouble(delay=300.0)
    once = kicked(waiting, NOW, 0.9)
    assert once.due_in(NOW) == pytest.approx(1.8)
    failed_again = after(once, AWAY, around(2.0, left=-1e6, dice=1.0))
    failed_again = dataclasses.replace(failed_again, delay=300.0)
    assert kicked(failed_again, later(14.0), 0.1) is failed_again
    assert kicked(failed_again, later(15.1), 0.1).due_in(later(15.1)) == pytest.approx(0.2)


def test_a_pause_that_was_asked_for_is_not_kicked_away() -> None:
    """Retry-After is honoured though jobs ask; the next failure without one may be shortened."""
    assert run(BUSY).asked
    assert not run(BUSY).may_be_kicked()
    assert run(BUSY, AWAY).may_be_kicked()


@pytest.mark.parametrize(
    ("failures", "doubt"),
    [
        ([AWAY], False),
        ([WRONG], False),
        ([FULL], False),
        ([LOST], True),
        ([LOST, AWAY], True),
        ([REFUSED], True),
        ([REFUSED, BUSY], True),
        ([REFUSED, WRONG], True),
    ],
)
def test_doubt_lasts_until_a_success(failures: list[Failure], doubt: bool) -> None:
    """While it is open whether the grant lives, it is asked about with its own scopes alone."""
    assert run(*failures).is_doubt() is doubt


@modest
@given(troubles)
def test_a_success_without_a_usable_token_ends_all_doubt(one: Trouble) -> None:
    """The refresh token is known to live; only the count of tries goes on."""
    found = answered(one)
    assert found is not None
    assert not found.is_doubt()
    assert not found.final
    assert found.tries == one.tries
    assert answered(None) is None


@modest
@given(troubles)
def test_a_changed_configuration_is_tried_at_once_and_forgets_no_loss(one: Trouble) -> None:
    """Only a misconfiguration is looked at anew."""
    found = reconsidered(one)
    if one.kind is not Kind.MISCONFIGURED:
        assert found is one
    elif one.reply_lost_at is None:
        assert found is None
    else:
        assert found is not None
        assert (found.kind, found.reply_lost_at) == (Kind.AMBIGUOUS, one.reply_lost_at)
        assert found.due_in(one.last) == 0


def test_a_person_may_ask_every_five_seconds() -> None:
    """Or as soon as it is due anyhow."""
    assert forced_pause(None, NOW) == 0
    assert forced_pause(trouble(delay=900.0), later(1)) == 4
    assert forced_pause(trouble(delay=2.0), later(1)) == 1
    assert forced_pause(trouble(delay=900.0), later(6)) == 0


@modest
@given(troubles)
def test_a_trouble_survives_a_restart(one: Trouble) -> None:
    """Everything but the last kick, which a restart is itself."""
    assert Trouble.from_json(one.to_json()) == one


def test_an_older_credds_trouble_is_understood() -> None:
    """What it did not count yet starts at nothing."""
    plain = trouble().to_json()
    for newer in ("refusals", "alike", "asked"):
        del plain[newer]
    assert Trouble.from_json(plain) == trouble()


@modest
@given(kinds)
def test_every_kind_has_a_pause_of_its_own(kind: Kind) -> None:
    """Also a caller's own refusal, should it ever come here: nothing is tried without a pause."""
    found = after(None, failure(kind, "x"), around())
    assert found.delay >= 1
    assert schedule.LONGEST_SLEEP
