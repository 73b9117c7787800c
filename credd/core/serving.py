"""Whether to hand out a token, wait for a newer one, or say no: one pure verdict.

Rules: a token that may have expired is never handed out. One that is still good is never withheld
because the issuer is away. An explicit `min_valid` is a promise: kept, or refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass

from credd.core import schedule
from credd.core.instant import Instant
from credd.core.model import AccessToken
from credd.core.schedule import Phase

GRACE = 1.0
"""Seconds a caller waits for the refresh while the old token is still good: most answers take
less."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller wants: at least `min_valid` seconds left (None: whatever is good), and how long
    it has waited and is ready to wait, in seconds."""

    min_valid: float | None
    waited: float
    max_wait: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """`serve`: hand it out now. `refresh`: a newer one should be fetched, whether or not this one
    is handed out. `wait`: seconds to wait for that before asking again; 0 with no `serve` means no.
    `good`: it may still be handed out where no newer one can come."""

    serve: bool
    refresh: bool
    wait: float = 0.0
    good: bool = True


def decide(token: AccessToken | None, wish: Wish, now: Instant) -> Verdict:
    """What to do for a caller with this wish, holding this token."""
    left_to_wait = max(0.0, wish.max_wait - wish.waited)
    if token is None or not _is_enough(token, wish, now):
        return Verdict(serve=False, refresh=True, wait=left_to_wait, good=False)
    how_good = schedule.phase(token, now)
    if how_good is Phase.HARD:
        grace = min(left_to_wait, GRACE - wish.waited)
        return Verdict(serve=grace <= 0, refresh=True, wait=max(0.0, grace))
    return Verdict(serve=True, refresh=how_good is not Phase.FRESH)


def _is_enough(token: AccessToken, wish: Wish, now: Instant) -> bool:
    if schedule.phase(token, now) is Phase.DEAD:
        return False
    return wish.min_valid is None or schedule.remaining(token, now) >= wish.min_valid


def is_ending(
    previous: AccessToken | None, latest: AccessToken, first_lifetime: float | None
) -> bool:
    """Whether a refresh no longer moves the end: the login's session is about to end.

    True where the new token is much shorter than the first one *and* ends hardly later than the
    one before it. Either alone is harmless: a refresh soon after another, or an issuer that now
    gives shorter tokens.
    """
    if previous is None or latest.lifetime is None or not first_lifetime:
        return False
    moved = latest.obtained.wall + latest.lifetime
    moved -= previous.obtained.wall + (previous.lifetime or 0.0)
    return moved < first_lifetime / 4 and latest.lifetime < 0.75 * first_lifetime
