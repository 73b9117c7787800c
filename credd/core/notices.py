"""When a person should hear of a credential, and how often.

Rules: what calls for a notice follows from the state and the recorded failures; how often, from
when somebody was told last. No clock, no process: others perform what is decided here. The hard
thing is to be heard and not hated: a refusal for ever is told a few times and then once a day, and
an outage of a moment, or a login that a person is busy with, not at all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from credd.core import schedule
from credd.core.failures import detail_of
from credd.core.instant import Instant, elapsed
from credd.core.schedule import Phase
from credd.core.states import Facts, State, remedy_of

LOGIN_REQUIRED, ERROR = "login-required", "error"
"""The two events that `[hooks]` knows."""

EVERY = 900.0
"""Seconds between two notices of one cause: who was away for a coffee sees one."""

SOON = 4
"""Notices at that pace; after an hour nobody is at the screen."""

LATER_EVERY = 86_400.0
"""Seconds; from then on once a day, for who comes back from a holiday."""

OUTAGE = 60.0
"""Seconds that an issuer may be away, once the token has expired, before anyone hears of it: a
laptop that wakes up finds its network within a few."""

NEEDS_LOGIN = frozenset({"login-required", "ending", "suspect"})
"""States that only a person's login ends. `empty` is none: nobody has ever logged in there."""

BROKEN = frozenset({"misconfigured", "degraded", "restored"})
"""States in which something is wrong that waiting alone may not mend."""

AWAY = frozenset({"expired", "ambiguous"})
"""States in which the issuer has not answered; told only where jobs have no token any more."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What a person should hear. Our own words and the credential's name, and no secret."""

    event: str
    credential: str
    state: str
    reason: str
    meaning: str
    remedy: str

    @property
    def cause(self) -> tuple[str, str]:
        """What makes two notices of one credential the same."""
        return self.state, self.reason

    def variables(self) -> Mapping[str, str]:
        """The environment of a hook."""
        return {
            "CREDD_EVENT": self.event,
            "CREDD_CREDENTIAL": self.credential,
            "CREDD_STATE": self.state,
            "CREDD_REASON": self.reason,
            "CREDD_MEANING": self.meaning,
            "CREDD_REMEDY": self.remedy,
        }


def notice_of(name: str, state: State, facts: Facts, now: Instant) -> Notice | None:
    """What the facts about `name` call for; None where all is well, or will be by itself."""
    event = _event(state, facts, now)
    if not event or facts.logging_in:
        return None
    trouble = facts.trouble
    reason = trouble.reason if trouble is not None else state.name
    said = f"{state.meaning}; {detail_of(reason)}" if trouble is not None else state.meaning
    remedy = remedy_of(state, name) or f"credd-ctl status {name}"
    return Notice(event, name, state.name, reason, said, remedy)


def _event(state: State, facts: Facts, now: Instant) -> str:
    if state.name in NEEDS_LOGIN:
        return LOGIN_REQUIRED
    if state.name in BROKEN:
        return ERROR
    return ERROR if state.name in AWAY and _is_outage(facts, now) else ""


def _is_outage(facts: Facts, now: Instant) -> bool:
    token, trouble = facts.token, facts.trouble
    if token is not None and schedule.phase(token, now) is not Phase.DEAD:
        return False
    return trouble is not None and elapsed(trouble.first, now) >= OUTAGE


@dataclass(frozen=True, slots=True)
class Told:
    """How often somebody was told of one cause since the last success, and when last."""

    times: int
    last: Instant

    def is_due(self, now: Instant) -> bool:
        """Whether it may be told again."""
        pause = EVERY if self.times < SOON else LATER_EVERY
        return elapsed(self.last, now) >= pause

    def forgiven(self) -> Told:
        """After a success: counted anew, though never sooner than `EVERY` after the last one. A
        credential that comes and goes every minute is not told of every minute."""
        return dataclasses.replace(self, times=0)


def told_again(before: Told | None, now: Instant) -> Told | None:
    """What is remembered after telling now; None where it is too soon to tell."""
    if before is None:
        return Told(1, now)
    return Told(before.times + 1, now) if before.is_due(now) else None
