"""When a token is fresh, when it is refreshed, and how long a retry waits.

Rules: every answer is a function of recorded facts and the time passed in; nothing is computed from
"now" and then forgotten (a back-off that is recomputed on every look never arrives). Dice come in
as a number from 0 to 1 and are thrown once a generation or once a failure. Seconds throughout; `L`
is a token's lifetime.
"""

from __future__ import annotations

import math
from enum import IntEnum

from credd.core.instant import Instant, elapsed, until
from credd.core.model import AccessToken

STATIC_RECHECK = 300.0
"""Seconds after which a client asks again for a token that never expires: it may be replaced."""

DAY = 86400.0
"""No access token is kept longer than a day without a refresh: keys change, accounts are closed."""


class Phase(IntEnum):
    """How good a token still is."""

    FRESH = 0  # answer at once
    SOFT = 1  # answer at once, refresh behind
    HARD = 2  # wait a little for the refresh, then answer
    DEAD = 3  # never served


def reserve(lifetime: float) -> float:
    """Seconds before the end in which a token is not served: it has to travel and be checked.

    Never under a second where the lifetime allows it: JWTs count in whole seconds (RFC 7519, 2), so
    a token of 6 s that was issued at 10.9 ends at 16, not at 16.9.
    """
    return min(5.0, max(lifetime / 10, min(1.0, lifetime / 4)))


def lead(lifetime: float) -> float:
    """Seconds before the end from which callers wait for the refresh."""
    return min(60.0, lifetime / 10)


def floor(lifetime: float) -> float:
    """Seconds after a success in which nobody can cause another refresh of the same token key."""
    return min(60.0, lifetime / 10)


def is_within_floor(token: AccessToken | None, now: Instant) -> bool:
    """Whether `token` was obtained so lately that nobody may cause another refresh."""
    if token is None or token.lifetime is None:
        return False
    return elapsed(token.obtained, now) < floor(token.lifetime)


def longest_min_valid(lifetime: float) -> float:
    """The largest `min_valid` (seconds) that can be promised: refreshing starts early enough for
    it."""
    return 0.75 * lifetime


def soft_after(
    lifetime: float, dice: float, refresh_in: float | None, refresh_lifetime: float | None
) -> float:
    """Seconds after it was obtained from which a token is refreshed behind its callers.

    Half-life, spread by `dice` (0..1): refreshing late is the one policy choice that costs outages.
    The issuer's hints pull it earlier, where they are positive (Keycloak sends 0 for offline
    tokens), but never before a quarter of the lifetime.
    """
    soft = min(lifetime * (0.5 + 0.1 * dice), DAY)
    hints = [refresh_in or 0.0, 0.5 * (refresh_lifetime or 0.0)]
    for hint in hints:
        if hint > 0:
            soft = min(soft, max(hint, lifetime / 4))
    return soft


def phase(token: AccessToken, now: Instant) -> Phase:
    """How good `token` is at `now`."""
    if token.lifetime is None:
        return Phase.FRESH
    age = elapsed(token.obtained, now)
    if age >= token.lifetime - reserve(token.lifetime):
        return Phase.DEAD
    if age >= token.lifetime - lead(token.lifetime):
        return Phase.HARD
    return Phase.SOFT if token.soft_after is not None and age >= token.soft_after else Phase.FRESH


def remaining(token: AccessToken, now: Instant) -> float:
    """Seconds until `token` expires; negative after that, infinite for a static key."""
    return math.inf if token.lifetime is None else token.lifetime - elapsed(token.obtained, now)


def wall_after(token: AccessToken, seconds: float, now: Instant) -> float:
    """What the wall clock shows `seconds` after `token` was obtained, as far as `now` can tell.

    The recorded moment, unless the wall clock has been set back since: read off that clock, a token
    would then live on for as long as the step was. Now, where no clock can tell.
    """
    age = elapsed(token.obtained, now)
    set_back = age - (now.wall - token.obtained.wall)
    return token.obtained.wall - set_back + seconds if math.isfinite(age) else now.wall


def expires_at(token: AccessToken, now: Instant) -> float | None:
    """Unix seconds at which `token` expires; None for a static key."""
    return None if token.lifetime is None else wall_after(token, token.lifetime, now)


def refresh_at(token: AccessToken, now: Instant) -> float:
    """Unix seconds until which a client may reuse its copy without asking.

    A token past its soft moment is asked for again after a short while: a fresh one is on its way.
    """
    if token.lifetime is None:
        return now.wall + STATIC_RECHECK
    last = wall_after(token, token.lifetime - reserve(token.lifetime), now)
    if token.soft_after is None:
        return min(now.wall + STATIC_RECHECK, last)
    soft = wall_after(token, token.soft_after, now)
    # At most 20 questions in a whole lifetime, from a job that asks before every request.
    again = now.wall + min(5.0, token.lifetime / 20)
    return soft if soft > now.wall else min(again, last)


CAP = 300.0
"""Seconds; the longest pause between tries. The kicks (a client asks, the network comes back,
resume) take off what it costs in recovery."""

PATIENCE = 900.0
"""Seconds after a token's end in which tries stay frequent: most outages are over by then."""


def shortest_cap(lifetime: float) -> float:
    """Seconds below which the cap of the back-off is never pressed."""
    return min(max(lifetime / 20, 5.0), 60.0)


def retry_delay(
    tries: int, lifetime: float, left: float, dice: float, retry_after: float | None = None
) -> float:
    """Seconds to wait after the failure number `tries` (0 is the first), with half jitter.

    `left` is the time to the token's end, negative after it. A Retry-After wins and is only ever
    jittered upward; yet it makes nobody faster than the pace that is kept in a short outage. (A
    proxy that says "Retry-After: 0" for four hours would be asked once a second for four hours.)
    """
    pause = min(_cap(lifetime, left), 2.0 ** (min(tries, 30) + 1)) * (0.5 + 0.5 * dice)
    if retry_after is not None:
        pause = max(retry_after * (1 + 0.1 * dice), min(pause, shortest_cap(lifetime)))
    return max(pause, min(1.0, lifetime / 20))


def _cap(lifetime: float, left: float) -> float:
    shortest = shortest_cap(lifetime)
    if left > 0:
        return min(max(left / 20, shortest), CAP)
    return shortest if left > -PATIENCE else CAP


def kick_delay(dice: float) -> float:
    """Seconds to the next try after a kick: soon, but not all at once."""
    return 2.0 * dice


KICK_EVERY = 15.0
"""Seconds; a kick shortens the wait of one credential at most this often."""

CONFIRM_AFTER = (5.0, 10.0)
"""Seconds, drawn between: a refusal is confirmed once, in case a database replica lagged."""

PROBE_EVERY = 900.0
"""Seconds between the first probes of a refused grant: issuers do come back from a bad
deployment."""

PROBES = 4
"""Probes at that pace; after them only a few a day."""

LATER_PROBE_EVERY = 6 * 3600.0

MISCONFIGURED_EVERY = 900.0
"""Seconds; someone may mend the client's registration at the issuer without telling us."""

LOCAL_EVERY = 5.0
"""Seconds; a full disk or a locked keyring is often mended within moments."""

LONGEST_SLEEP = 30.0
"""Seconds; the event loop's clock stands still in suspend, so nobody sleeps longer without
looking."""


def stagger(count: int, dice: float) -> float:
    """Seconds by which one of `count` credentials that woke together waits before it refreshes."""
    return min(10.0, 0.2 * count) * dice


def rejection_age(lifetime: float | None) -> float:
    """Seconds a token must be old before a 401 against it causes a refresh: younger ones have only
    just been obtained, and another would not fare better."""
    return 60.0 if lifetime is None else min(60.0, lifetime / 4)


REJECTION_EVERY = 60.0
REJECTIONS_AN_HOUR = 5
"""At most one refresh a minute and five an hour because of rejections: a resource server that
refuses every fresh token (a wrong audience, say) must not turn its clients into a storm on the
issuer."""


def rejection_pause(past: list[Instant], now: Instant) -> float:
    """Seconds until a rejection may cause a refresh again; 0 when it may now. `past` holds the
    moments at which rejections did, oldest first."""
    pause = until(past[-1], REJECTION_EVERY, now) if past else 0.0
    if len(past) >= REJECTIONS_AN_HOUR:
        pause = max(pause, until(past[-REJECTIONS_AN_HOUR], 3600.0, now))
    return pause
