"""Promises about handing out: never a dead token, never a good one withheld, a promise kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credd.core import schedule
from credd.core.model import AccessToken
from credd.core.schedule import Phase
from credd.core.serving import GRACE, Wish, decide, is_ending
from tests.core.facts import A_MONTH, dice, later, lifetimes, modest, token, tokens

WISHES = st.builds(
    Wish,
    min_valid=st.none() | st.floats(0, A_MONTH),
    waited=st.floats(0, 100),
    max_wait=st.floats(0, 60),
)
AT_ONCE = Wish(None, 0.0, 0.0)
PATIENT = Wish(None, 0.0, 30.0)


@modest
@given(st.none() | tokens, WISHES, st.floats(0, A_MONTH))
def test_a_verdict_keeps_every_promise(held: AccessToken | None, wish: Wish, passed: float) -> None:
    """Whatever is held and wished: no dead token, no shorter one than promised, no wait beyond what
    the caller has."""
    now = later(passed)
    verdict = decide(held, wish, now)
    assert 0 <= verdict.wait <= max(0.0, wish.max_wait - wish.waited)
    if verdict.serve or verdict.good:
        assert held is not None
        assert schedule.phase(held, now) is not Phase.DEAD
        assert wish.min_valid is None or schedule.remaining(held, now) >= wish.min_valid
    if verdict.serve:
        assert verdict.wait == 0
    else:
        assert verdict.refresh


@modest
@given(lifetimes, dice, st.floats(0, 1))
def test_a_good_token_is_never_withheld(lifetime: float, throw: float, part: float) -> None:
    """Whoever has waited a second, or does not wait, gets what is good."""
    soft = schedule.soft_after(lifetime, throw, None, None)
    held, now = token(lifetime=lifetime, soft_after=soft), later(part * lifetime)
    alive = schedule.phase(held, now) is not Phase.DEAD
    assert decide(held, AT_ONCE, now).serve is alive
    assert decide(held, Wish(None, GRACE, 30.0), now).serve is alive


@pytest.mark.parametrize(
    ("age", "serve", "refresh", "wait"),
    [
        (0.0, True, False, 0.0),
        (159.0, True, False, 0.0),
        (161.0, True, True, 0.0),
        (269.0, True, True, 0.0),
        (271.0, False, True, 1.0),  # its last seconds: a newer one is worth a short wait
        (294.0, False, True, 1.0),
        (296.0, False, True, 30.0),
    ],
)
def test_the_life_of_a_token_as_a_patient_caller_sees_it(
    age: float, serve: bool, refresh: bool, wait: float
) -> None:
    """Tokens of five minutes, due at 160 s."""
    verdict = decide(token(), PATIENT, later(age))
    assert (verdict.serve, verdict.refresh, verdict.wait) == (serve, refresh, wait)


@pytest.mark.parametrize(("min_valid", "serve"), [(199.0, True), (200.0, True), (201.0, False)])
def test_min_valid_is_a_promise(min_valid: float, serve: bool) -> None:
    """After 100 of 300 s, 200 are left, and not one more is promised."""
    verdict = decide(token(), Wish(min_valid, 0.0, 30.0), later(100))
    assert verdict.serve is serve
    assert verdict.good is serve


def test_with_nothing_at_hand_a_caller_waits_as_long_as_it_likes() -> None:
    """And no longer."""
    assert decide(None, PATIENT, later(0)).wait == 30
    assert decide(None, Wish(None, 29.0, 30.0), later(0)).wait == 1
    assert decide(None, Wish(None, 31.0, 30.0), later(0)).wait == 0


# --- the end of a session -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("passed", "lifetime", "first", "ending"),
    [
        (150.0, 300.0, 300.0, False),  # all is well
        (10.0, 300.0, 300.0, False),  # refreshed again at once: it moves by little, and is whole
        (150.0, 151.0, 300.0, True),  # the session's end is a wall
        (150.0, 150.0, 300.0, True),
        (150.0, 160.0, 300.0, True),
        (290.0, 224.0, 300.0, False),  # shorter tokens from now on, whose end does move
        (150.0, 3600.0, 300.0, False),  # longer ones
        (150.0, 151.0, None, False),  # nobody knows what the first was
    ],
)
def test_a_refresh_that_no_longer_moves_the_end_means_the_end(
    passed: float, lifetime: float, first: float | None, ending: bool
) -> None:
    """Tokens of five minutes, the next one obtained after `passed` seconds."""
    latest = token(obtained=later(passed), lifetime=lifetime)
    assert is_ending(token(), latest, first) is ending


@modest
@given(st.none() | tokens, tokens, st.none() | st.floats(0, 1e9))
def test_any_two_tokens_can_be_compared(
    before: AccessToken | None, latest: AccessToken, first: float | None
) -> None:
    """Static keys and first tokens are no end."""
    found = is_ending(before, latest, first)
    if before is None or latest.lifetime is None or not first:
        assert found is False
