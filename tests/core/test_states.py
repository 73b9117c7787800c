"""Promises about states: one table, and exactly one row for whatever the facts are."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credd.core import schedule
from credd.core.failures import Kind
from credd.core.instant import Instant
from credd.core.model import AccessToken
from credd.core.schedule import Phase
from credd.core.states import STATES, Facts, State, remedy_of, state_of
from credd.core.trouble import Trouble
from credd.errors import BY_CODE
from tests.core.facts import NOW, grant, grants, later, modest, moments, token, tokens, troubles
from tests.core.facts import trouble as a_trouble

NAMED_IN_THE_CONTRACT = {
    "empty", "logging-in", "fresh", "stale", "expired", "login-required", "misconfigured",
    "ending", "degraded", "ambiguous", "suspect", "restored", "orphaned", "locked",
}  # fmt: skip

NOTHING_TO_DO = {"fresh", "stale"}
"""States without a remedy, because all is well: a newer token comes by itself."""

FACTS = st.builds(
    Facts,
    configured=st.booleans(),
    unlocked=st.booleans(),
    logging_in=st.booleans(),
    grant=st.none() | grants,
    token=st.none() | tokens,
    trouble=st.none() | troubles,
    restored=st.booleans(),
    unsaved=st.booleans(),
    suspect=st.booleans(),
    ending=st.booleans(),
)


# --- the table ------------------------------------------------------------------------------------


def test_the_table_holds_the_states_that_outsiders_know() -> None:
    """Not one more, not one less, sorted by name, under their own names."""
    assert set(STATES) == NAMED_IN_THE_CONTRACT
    assert list(STATES) == sorted(STATES)
    assert all(name == state.name for name, state in STATES.items())


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_every_state_says_what_it_means_and_what_comes_next(state: State) -> None:
    """A meaning without a full stop, a retry rule, and a remedy where there is something to do."""
    assert state.meaning == state.meaning.strip()
    assert not state.meaning.endswith(".")
    assert state.retry
    assert bool(state.remedy) is (state.name not in NOTHING_TO_DO)
    remedy = remedy_of(state, "lab")
    assert remedy.startswith("credd-ctl ") or not remedy
    assert "{" not in remedy


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_every_exit_code_is_one_of_the_contracts(state: State) -> None:
    """And a state that serves nothing is no success."""
    known = {error.exit_code for error in BY_CODE.values()}
    assert state.exit_code in known | {0}
    assert state.exit_code != 1
    assert state.serves or state.exit_code != 0


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_no_state_is_without_a_way_out(state: State) -> None:
    """It is left by itself (credd tries), or a person has a command for it."""
    assert state.refreshes or state.remedy


# --- facts to states ------------------------------------------------------------------------------


@modest
@given(FACTS, moments)
def test_any_facts_are_one_state(facts: Facts, now: Instant) -> None:
    """Never raises, whatever was recorded and whatever the clock says."""
    assert state_of(facts, now) is STATES[state_of(facts, now).name]


def all_facts() -> list[Facts]:
    """Every combination of what a fact can be, a few thousand."""
    switches = itertools.product([True, False], repeat=7)
    logins = [None, grant(), grant(renewable=False)]
    ages: list[AccessToken | None] = [None, token(), token(lifetime=5.0), token(lifetime=None)]
    found: list[Trouble | None] = [None, a_trouble(Kind.REFUSED, final=True)]
    found += [a_trouble(kind) for kind in Kind]
    return [
        Facts(configured, unlocked, logging_in, login, issued, one, restored, unsaved, suspect, end)
        for configured, unlocked, logging_in, restored, unsaved, suspect, end in switches
        for login in logins
        for issued in ages
        for one in found
    ]


def test_no_combination_of_facts_lies() -> None:
    """In all of them: a state without a good token is no success, a login is named where only a
    login helps, and nothing is said to be on its way that nothing will bring."""
    now = later(4.5)
    for facts in all_facts():
        state = state_of(facts, now)
        dead = facts.token is None or schedule.phase(facts.token, now) is Phase.DEAD
        renewable = facts.grant is not None and facts.grant.renewable
        if dead:
            assert state.exit_code != 0, facts
        if state.name == "expired":
            assert renewable, facts
        if state.name == "stale" and facts.trouble is None:
            assert renewable, facts
        if state.name in ("fresh", "stale", "ending", "degraded", "suspect"):
            assert facts.unlocked, facts
            assert facts.configured, facts
            assert facts.grant is not None, facts


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("locked", {"unlocked": False}),
        ("locked", {"unlocked": False, "configured": False}),
        ("orphaned", {"configured": False}),
        ("orphaned", {"configured": False, "trouble": a_trouble(Kind.REFUSED, final=True)}),
        ("empty", {"grant": None}),
        ("logging-in", {"grant": None, "logging_in": True}),
        ("fresh", {"logging_in": True}),  # the old login stands until the new one is won
        ("login-required", {"grant": None, "trouble": a_trouble(Kind.REFUSED, final=True)}),
        ("restored", {"restored": True}),
        ("restored", {"restored": True, "trouble": a_trouble(Kind.AMBIGUOUS)}),
        ("fresh", {"restored": True, "grant": grant(renewable=False)}),
        ("login-required", {"trouble": a_trouble(Kind.REFUSED, final=True)}),
        ("stale", {"trouble": a_trouble(Kind.REFUSED)}),  # one refusal is confirmed first
        ("misconfigured", {"trouble": a_trouble(Kind.MISCONFIGURED)}),
        ("ambiguous", {"trouble": a_trouble(Kind.AMBIGUOUS)}),
        ("ambiguous", {"trouble": a_trouble(Kind.AMBIGUOUS), "unsaved": True}),
        ("degraded", {"trouble": a_trouble(Kind.LOCAL)}),
        ("degraded", {"unsaved": True}),
        ("expired", {"unsaved": True, "token": None}),
        ("expired", {"trouble": a_trouble(Kind.LOCAL), "token": token(lifetime=1.0)}),
        ("suspect", {"suspect": True, "grant": grant(renewable=False)}),
        ("expired", {"token": None}),
        ("login-required", {"token": None, "ending": True}),
        ("login-required", {"token": token(lifetime=1.0), "grant": grant(renewable=False)}),
        (
            "login-required",
            {"token": token(lifetime=1.0), "grant": grant(renewable=False), "suspect": True},
        ),
        ("ending", {"ending": True}),
        ("stale", {"trouble": a_trouble(Kind.TRANSIENT)}),
        ("fresh", {}),
    ],
)
def test_which_fact_counts(name: str, facts: dict[str, Any]) -> None:
    """One row a rule, the strongest first."""
    usual: dict[str, Any] = {"grant": grant(), "token": token()}
    assert state_of(Facts(**{**usual, **facts}), later(2)).name == name


@pytest.mark.parametrize(
    ("age", "renewable", "name"),
    [
        (0.0, True, "fresh"),
        (159.0, True, "fresh"),
        (161.0, True, "stale"),
        (294.0, True, "stale"),
        (296.0, True, "expired"),
        (0.0, False, "fresh"),
        (269.0, False, "fresh"),
        (271.0, False, "ending"),
        (296.0, False, "login-required"),
    ],
)
def test_a_state_is_a_function_of_the_time(age: float, renewable: bool, name: str) -> None:
    """The same facts, looked at later."""
    issued = token() if renewable else token(soft_after=None)
    facts = Facts(grant=grant(renewable=renewable), token=issued)
    assert state_of(facts, later(age)).name == name
    assert NOW.wall == issued.obtained.wall
