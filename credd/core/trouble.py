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
    `probes` counts the tries since then.
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
    kicked: Instant | None = None

    def due_in(self, now: Instant) -> float:
        """Seconds until the next try may start; 0 when it may start now."""
        return until(self.last, self.delay, now)

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
    latest = dataclasses.replace(base, last=around.now, tries=base.tries + 1)
    if base.final and failure.kind is not Kind.MISCONFIGURED:
        return _probed(latest)  # the terminal cause stays in sight, whatever a probe met
    step = _STEPS.get(failure.kind, _misconfigured)
    return step(latest, failure, around)


def _probed(trouble: Trouble) -> Trouble:
    probes = trouble.probes + 1
    delay = schedule.PROBE_EVERY if probes < schedule.PROBES else schedule.LATER_PROBE_EVERY
    return dataclasses.replace(trouble, probes=probes, delay=delay)


def _transient(trouble: Trouble, failure: Failure, around: Circumstances) -> Trouble:
    missing = failure.reason == trouble.reason == "not_found"
    if missing and trouble.tries >= MISSING_ENDPOINTS:
        return _misconfigured(trouble, failure, around)
    pause = schedule.retry_delay(
        trouble.tries - 1, around.lifetime, around.left, around.dice, failure.retry_after
    )
    kind = Kind.AMBIGUOUS if trouble.reply_lost_at is not None else failure.kind
    return dataclasses.replace(trouble, kind=kind, reason=failure.reason, delay=pause)


def _ambiguous(trouble: Trouble, failure: Failure, around: Circumstances) -> Trouble:
    lost = trouble.reply_lost_at or around.now.wall
    return _transient(dataclasses.replace(trouble, reply_lost_at=lost), failure, around)


def _refused(trouble: Trouble, failure: Failure, around: Circumstances) -> Trouble:
    confirmed = trouble.kind is Kind.REFUSED and trouble.tries > 1
    final = confirmed or trouble.reply_lost_at is not None
    low, high = schedule.CONFIRM_AFTER
    delay = schedule.PROBE_EVERY if final else low + (high - low) * around.dice
    return dataclasses.replace(
        trouble, kind=Kind.REFUSED, reason=failure.reason, final=final, delay=delay
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
    return dataclasses.replace(trouble, kind=Kind.TRANSIENT, reply_lost_at=None, final=False)


def kicked(trouble: Trouble, now: Instant, dice: float) -> Trouble:
    """The trouble after something suggests that a try might succeed now.

    Shortens the wait, at most once per `schedule.KICK_EVERY`, and only where waiting is about the
    network: a refused grant is not helped by asking more often.
    """
    if trouble.kind not in (Kind.TRANSIENT, Kind.AMBIGUOUS):
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
