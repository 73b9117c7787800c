"""The states of a credential: one table, from which everything else follows.

Rules: facts are stored, the state is computed from facts and the time. Wire name, meaning, exit
status, remedy and retry rule of a state stand in its row and nowhere else; docs, `status`, errors
and tests read them here. `{name}` in a remedy is the credential's name, the only thing ever filled
in.
"""

from __future__ import annotations

from dataclasses import dataclass

from credd.core import schedule
from credd.core.failures import Kind
from credd.core.instant import Instant
from credd.core.model import AccessToken, Grant
from credd.core.schedule import Phase
from credd.core.trouble import Trouble


@dataclass(frozen=True, slots=True)
class State:
    """One row. `serves`: whether a cached token that is still good is handed out in this state.
    `refreshes`: whether credd tries to refresh by itself."""

    name: str
    meaning: str
    exit_code: int
    remedy: str
    serves: bool
    refreshes: bool
    retry: str


LOGIN = "credd-ctl login {name}"

STATES: dict[str, State] = {
    state.name: state
    for state in (
        State("ambiguous", "a reply of the issuer may have been lost; the same refresh token is "
              "posted until a definite answer comes", 7, "credd-ctl status {name}", True, True,
              "back-off"),
        State("degraded", "a rotated refresh token could not be saved in the vault yet", 0,
              "credd-ctl status {name}", True, True, "every 5 s"),
        State("empty", "nobody has logged in yet", 4, LOGIN, False, False, "none"),
        State("ending", "the login's end is near and a refresh no longer moves it", 0, LOGIN, True,
              False, "none"),
        State("expired", "the token has expired and the issuer has not given a new one yet", 7,
              "credd-ctl refresh {name}", False, True, "back-off"),
        State("fresh", "a good token is at hand", 0, "", True, True, "half-life"),
        State("locked", "the vault's key is not at hand", 6, "credd-ctl unlock", False, False,
              "when unlocked"),
        State("logging-in", "a login is under way", 4, LOGIN, False, False, "none"),
        State("login-required", "this login has ended; a person must log in again", 4, LOGIN,
              True, True, "a probe every 15 min, then every 6 h"),
        State("misconfigured", "the issuer refuses what the configuration asks for", 9,
              "credd-ctl status {name}", True, True, "every 15 min and at reload"),
        State("orphaned", "held in the vault, but no longer in the configuration", 8,
              "credd-ctl remove {name}", False, False, "none"),
        State("restored", "the vault is a copy; spending from it would end the original's login", 9,
              "credd-ctl vault accept", True, False, "when accepted"),
        State("stale", "the token is good; a newer one is on its way", 0, "", True, True,
              "back-off"),
        State("suspect", "a job reported this key as rejected", 0, LOGIN, True, False, "none"),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Facts:
    """What the state of a credential is computed from. `token` is the one of the primary key."""

    configured: bool = True
    unlocked: bool = True
    logging_in: bool = False
    grant: Grant | None = None
    token: AccessToken | None = None
    trouble: Trouble | None = None
    restored: bool = False
    unsaved: bool = False
    suspect: bool = False
    ending: bool = False


def state_of(facts: Facts, now: Instant) -> State:
    """The one state that these facts add up to at `now`."""
    return STATES[_standing(facts) or _troubled(facts, now) or _held(facts, now)]


def _standing(facts: Facts) -> str:
    """States that do not depend on how refreshing goes."""
    if not facts.unlocked:
        return "locked"
    if not facts.configured:
        return "orphaned"
    if facts.grant is None and (facts.trouble is None or not facts.trouble.final):
        return "logging-in" if facts.logging_in else "empty"
    if facts.restored and facts.grant is not None and facts.grant.renewable:
        return "restored"
    return ""


def _troubled(facts: Facts, now: Instant) -> str:
    trouble = facts.trouble
    if trouble is not None and trouble.final:
        return "login-required"
    if trouble is not None and trouble.kind is Kind.MISCONFIGURED:
        return "misconfigured"
    if trouble is not None and trouble.kind is Kind.AMBIGUOUS:
        return "ambiguous"
    local = facts.unsaved or (trouble is not None and trouble.kind is Kind.LOCAL)
    # Degraded means that all goes well but for the disk. Without a good token nothing goes well.
    return "degraded" if local and _how_good(facts, now) is not Phase.DEAD else ""


def _held(facts: Facts, now: Instant) -> str:
    how_good, renewable = _how_good(facts, now), facts.grant is not None and facts.grant.renewable
    if how_good is Phase.DEAD:
        return "expired" if renewable and not facts.ending else "login-required"
    if facts.suspect:
        return "suspect"
    if facts.ending or (how_good is Phase.HARD and not renewable):
        return "ending"
    return "fresh" if how_good is Phase.FRESH and facts.trouble is None else "stale"


def _how_good(facts: Facts, now: Instant) -> Phase:
    return Phase.DEAD if facts.token is None else schedule.phase(facts.token, now)


def remedy_of(state: State, name: str) -> str:
    """The command to paste, for this credential."""
    return state.remedy.format(name=name)
