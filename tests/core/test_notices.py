"""Notices: what calls for one, and how often it is told."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from credd.core.failures import Kind
from credd.core.instant import Instant
from credd.core.model import PRIMARY, AccessToken, Grant, Secret
from credd.core.notices import ERROR, LOGIN_REQUIRED, Notice, Told, notice_of, told_again
from credd.core.states import Facts, state_of
from credd.core.trouble import Trouble

START = Instant(1_900_000_000.0, 1000.0, "boot")
GRANT = Grant(1, Secret("rt"), "ada", "ada@example", "openid", START, START)
TOKEN = AccessToken(Secret("at"), "Bearer", 1, PRIMARY, "openid", START, 300.0, 150.0)
KEY = dataclasses.replace(GRANT, refresh_token=None, renewable=False)


def after(seconds: float) -> Instant:
    """So long after the start."""
    return Instant(START.wall + seconds, START.boottime + seconds, "boot")


def trouble(kind: Kind, reason: str, *, final: bool = False) -> Trouble:
    """A failure at the start."""
    return Trouble(kind, reason, START, START, 5.0, final=final)


def told_of(facts: Facts, seconds: float = 10.0) -> Notice | None:
    """What these facts call for, so long after the start."""
    now = after(seconds)
    return notice_of("lab", state_of(facts, now), facts, now)


@pytest.mark.parametrize(
    ("facts", "event", "cause"),
    [
        (Facts(grant=GRANT, token=TOKEN, trouble=trouble(Kind.REFUSED, "invalid_grant",
               final=True)), LOGIN_REQUIRED, ("login-required", "invalid_grant")),
        (Facts(grant=GRANT, token=TOKEN, ending=True), LOGIN_REQUIRED, ("ending", "ending")),
        (Facts(grant=KEY, token=TOKEN, suspect=True), LOGIN_REQUIRED, ("suspect", "suspect")),
        (Facts(grant=GRANT, token=TOKEN, trouble=trouble(Kind.MISCONFIGURED, "invalid_client")),
         ERROR, ("misconfigured", "invalid_client")),
        (Facts(grant=GRANT, token=TOKEN, unsaved=True), ERROR, ("degraded", "degraded")),
        (Facts(grant=GRANT, token=TOKEN, restored=True), ERROR, ("restored", "restored")),
    ],
)  # fmt: skip
def test_what_only_a_person_can_mend_is_told(
    facts: Facts, event: str, cause: tuple[str, str]
) -> None:
    """Each with its event, its cause and a command to paste."""
    notice = told_of(facts)
    assert notice is not None
    assert (notice.event, notice.cause) == (event, cause)
    assert notice.remedy.startswith("credd-ctl ")


@pytest.mark.parametrize(
    "facts",
    [
        Facts(),
        Facts(unlocked=False, grant=GRANT, token=TOKEN),
        Facts(grant=GRANT, token=TOKEN),
        Facts(configured=False, grant=GRANT, token=TOKEN),
        Facts(grant=GRANT, token=TOKEN, trouble=trouble(Kind.TRANSIENT, "dns")),
        Facts(grant=GRANT, token=TOKEN, trouble=trouble(Kind.AMBIGUOUS, "reset")),
        Facts(grant=GRANT, token=TOKEN, trouble=trouble(Kind.REFUSED, "invalid_grant")),
        Facts(logging_in=True, grant=GRANT, trouble=trouble(Kind.REFUSED, "x", final=True)),
    ],
)
def test_what_mends_itself_or_is_being_mended_is_not_told(facts: Facts) -> None:
    """All is well, nobody has ever logged in, the issuer is away for now, a login is under way."""
    assert told_of(facts) is None


@pytest.mark.parametrize("kind", [Kind.TRANSIENT, Kind.AMBIGUOUS])
def test_an_outage_is_told_once_jobs_have_no_token_and_it_lasts(kind: Kind) -> None:
    """Not while the token is good, and not in the first minute of a laptop that wakes up."""
    facts = Facts(grant=GRANT, token=TOKEN, trouble=trouble(kind, "connect"))
    assert told_of(facts, 200.0) is None
    waking = dataclasses.replace(trouble(kind, "dns"), first=after(4000.0), last=after(4000.0))
    assert told_of(dataclasses.replace(facts, trouble=waking), 4030.0) is None
    notice = told_of(facts, 400.0)
    assert notice is not None
    assert notice.event == ERROR


def test_t46_a_hook_is_told_in_our_own_words_and_without_a_secret() -> None:
    """Credential, state, reason, meaning and remedy, and nothing else."""
    facts = Facts(grant=GRANT, token=TOKEN, trouble=trouble(Kind.REFUSED, "x", final=True))
    notice = told_of(facts)
    assert notice is not None
    said = notice.variables()
    assert said.keys() == {
        "CREDD_EVENT", "CREDD_CREDENTIAL", "CREDD_STATE", "CREDD_REASON", "CREDD_MEANING",
        "CREDD_REMEDY",
    }  # fmt: skip
    assert said["CREDD_CREDENTIAL"] == "lab"
    assert said["CREDD_REMEDY"] == "credd-ctl login lab"
    assert not {"rt", "at"} & set(" ".join(said.values()).split())


def moments(seconds: float, success_every: float = 0.0) -> list[float]:
    """When somebody is told in so many seconds, looking every 30 s."""
    told: Told | None = None
    heard, at = list[float](), 0.0
    while at < seconds:
        again = told_again(told, after(at))
        if again is not None:
            told = again
            heard.append(at)
        if success_every and told is not None and at % success_every == 0:
            told = told.forgiven()
        at += 30.0
    return heard


def test_t65_a_refusal_for_ever_is_told_four_times_and_then_daily() -> None:
    """One per 15 min, at most 4, then daily."""
    day = 86_400.0
    heard = moments(3 * day)
    assert heard[:4] == [0.0, 900.0, 1800.0, 2700.0]
    assert heard[4:] == [2700.0 + day, 2700.0 + 2 * day]


def test_t65_what_comes_and_goes_is_told_every_quarter_of_an_hour_at_most() -> None:
    """A success lets the count begin anew, and nothing more."""
    heard = moments(4 * 3600.0, success_every=60.0)
    assert len(heard) == 16
    assert all(b - a >= 900 for a, b in itertools.pairwise(heard))
