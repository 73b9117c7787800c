"""What repeated failures add up to, and when the next try is due.

Rules: a trouble is the recorded history of the failures since the last success. It is written once,
when an attempt has failed, with the pause that was drawn then; afterwards it is only read. A final
refusal is not hidden by a later 429, and a lost reply is not forgotten until a definite answer
comes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from credd.core import schedule
from credd.core.failures import Failure, Kind
from credd.core.instant import Instant, until

MISSING_ENDPOINTS = 3
"""404s in a row before a missing token endpoint is believed: a rolling deployment gives one or
two."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """The failures since the last success.

    `tries` counts them; `first` and `last` are the moments of the first and the latest; `delay` is
    the pause (seconds) drawn after the latest; `reply_lost_at` (Unix seconds) is set once an
    attempt may have been spent without an answer; `final` marks a refusal that was confirmed;
    `probes` counts the tries since then. `refusals` counts the refusals among the tries, whatever
    came between them; `alike` those with this `reason` in a row; `asked` says that the issuer
    asked for the pause, so that nothing but time shortens it.
    """

    kind: Kind
    reason: str
    first: Instant
    last: Instant
    delay: float
    tries: int = 1
    reply_lost_at: float | None = None
    final: bool = False
    probes: int = 0
    refusals: int = 0
    alike: int = 0
    asked: bool = False
    kicked: Instant | None = None

    def due_in(self, now: Instant) -> float:
        """Seconds until the next try may start; 0 when it may start now."""
        return until(self.last, self.delay, now)

    def is_doubt(self) -> bool:
        """Whether it is open if the grant still lives: it was refused, or a reply was lost."""
        return self.kind is Kind.REFUSED or self.refusals > 0 or self.reply_lost_at is not None

    def may_be_kicked(self) -> bool:
        """Whether somebody's hurry may shorten the wait: only where waiting is about the network. A
        refused grant is not helped by asking more often, nor is an issuer that asked for a pause.
        """
        return self.kind in (Kind.TRANSIENT, Kind.AMBIGUOUS) and not self.asked

    def to_json(self) -> dict[str, Any]:
        """For the sealed record."""
        return {
            "kind": self.kind.value,
            "reason": self.reason,
            "first": self.first.to_json(),
            "last": self.last.to_json(),
            "delay": self.delay,
            "tries": self.tries,
            "reply_lost_at": self.reply_lost_at,
            "final": self.final,
            "probes": self.probes,
            "refusals": self.refusals,
            "alike": self.alike,
            "asked": self.asked,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Trouble:
        """The trouble that `to_json` wrote down."""
        plain = dict(value)
        plain["kind"] = Kind(plain["kind"])
        plain["first"] = Instant.from_json(plain["first"])
        plain["last"] = Instant.from_json(plain["last"])
        return cls(**plain)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the next pause depends on: the token's `lifetime` and the time `left` to its end
    (seconds, negative after it), the moment, and one throw of the dice (0..1)."""

    now: Instant
    lifetime: float
    left: float
    dice: float


def after(previous: Trouble | None, failure: Failure, around: Circumstances) -> Trouble:
    """The trouble after one more failure."""
    base = previous or Trouble(failure.kind, failure.reason, around.now, around.now, 0.0, tries=0)
    alike = base.alike + 1 if failure.reason == base.reason else 1
    latest = dataclasses.replace(
        base, last=around.now, tries=base.tries + 1, alike=alike, asked=False
    )
    if base.final and failure.kind is not Kind.MISCONFIGURED:
        return _probed(latest)  # the terminal cause stays in sight, whatever a probe met
    step = _STEPS.get(failure.kind, _misconfigured)
    return step(latest, failure, around)


def _probed(trouble: Trouble) -> Trouble:
    probes = trouble.probes + 1
    delay = schedule.PROBE_EVERY if probes < schedule.PROBES else schedule.LATER_PROBE_EVERY
    return dataclasses.replace(trouble, probes=probes, delay=delay)


def _transient(trouble: Trouble, failure: Failure, around: Circumstances) -> Trouble:
    if failure.reason == "not_found" and trouble.alike >= MISSING_ENDPOINTS:
        return _misconfigured(trouble, failure, around)
    pause = schedule.retry_delay(
        trouble.tries - 1, around.lifetime, around.left, around.dice, failure.retry_after
    )
    kind = Kind.AMBIGUOUS if trouble.reply_lost_at is not None else failure.kind
    asked = failure.retry_after is not None
    return dataclasses.replace(trouble, kind=kind, reason=failure.reason, delay=pause, asked=asked)


def _ambiguous(trouble: Trouble, failure: Failure, around: Circumstances) -> Trouble:
    lost = trouble.reply_lost_at or around.now.wall
    return _transient(dataclasses.replace(trouble, reply_lost_at=lost), failure, around)


def _refused(trouble: Trouble, failure: Failure, around: Circumstances) -> Trouble:
    # Confirmed by any second refusal since the last success: a 429 between the two hides nothing.
    refusals = trouble.refusals + 1
    final = refusals > 1 or trouble.reply_lost_at is not None
    low, high = schedule.CONFIRM_AFTER
    delay = schedule.PROBE_EVERY if final else low + (high - low) * around.dice
    return dataclasses.replace(
        trouble,
        kind=Kind.REFUSED,
        reason=failure.reason,
        final=final,
        delay=delay,
        refusals=refusals,
    )


def _misconfigured(trouble: Trouble, failure: Failure, _: Circumstances) -> Trouble:
    return dataclasses.replace(
        trouble,
        kind=Kind.MISCONFIGURED,
        reason=failure.reason,
        final=False,
        delay=schedule.MISCONFIGURED_EVERY,
    )


def _local(trouble: Trouble, failure: Failure, _: Circumstances) -> Trouble:
    kind = Kind.AMBIGUOUS if trouble.reply_lost_at is not None else Kind.LOCAL
    return dataclasses.replace(
        trouble, kind=kind, reason=failure.reason, delay=schedule.LOCAL_EVERY
    )


_STEPS = {
    Kind.TRANSIENT: _transient,
    Kind.AMBIGUOUS: _ambiguous,
    Kind.REFUSED: _refused,
    Kind.MISCONFIGURED: _misconfigured,
    Kind.LOCAL: _local,
}


def answered(trouble: Trouble | None) -> Trouble | None:
    """The trouble after a definite success that brought no usable access token.

    The refresh token is known to live, so nothing is ambiguous or refused any more; the count goes
    on, so that an issuer whose tokens are all broken is not asked every second.
    """
    if trouble is None:
        return None
    return dataclasses.replace(
        trouble, kind=Kind.TRANSIENT, reply_lost_at=None, final=False, probes=0, refusals=0
    )


def reconsidered(trouble: Trouble | None) -> Trouble | None:
    """The trouble after somebody changed the configuration: a misconfiguration is tried anew, at
    once; a reply that was lost before stays lost."""
    if trouble is None or trouble.kind is not Kind.MISCONFIGURED:
        return trouble
    if trouble.reply_lost_at is None:
        return None
    return dataclasses.replace(trouble, kind=Kind.AMBIGUOUS, delay=0.0)


def kicked(trouble: Trouble, now: Instant, dice: float) -> Trouble:
    """The trouble after something suggests that a try might succeed now.

    Shortens the wait, at most once per `schedule.KICK_EVERY`, and only where it may be shortened.
    """
    if not trouble.may_be_kicked():
        return trouble
    if trouble.kicked is not None and until(trouble.kicked, schedule.KICK_EVERY, now) > 0:
        return trouble
    pause = schedule.kick_delay(dice)
    if pause >= trouble.due_in(now):
        return trouble
    return dataclasses.replace(trouble, last=now, delay=pause, kicked=now)


FORCED_EVERY = 5.0
"""Seconds between tries that a person may cause by asking; scripts ask in loops."""


def forced_pause(trouble: Trouble | None, now: Instant) -> float:
    """Seconds until a person's wish may cause another try; 0 when it may now."""
    return 0.0 if trouble is None else until(trouble.last, min(FORCED_EVERY, trouble.delay), now)
