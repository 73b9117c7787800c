"""What a success makes of a grant and its tokens: pure, so that it can be looked at by itself.

Rules: a refresh token in a reply is taken whatever the rest is like; the access token beside it is
judged on its own. Nothing here awaits, reads a clock or raises for what an issuer said.
"""

from __future__ import annotations

import dataclasses

from credd.core import schedule
from credd.core.conversation import Renewal
from credd.core.instant import Instant, elapsed
from credd.core.model import AccessToken, Grant, TokenKey


def renewed(grant: Grant, renewal: Renewal) -> Grant:
    """The grant after a success; a reply without a refresh token keeps the old one (RFC 6749,
    6)."""
    if renewal.refresh_token is None:
        return grant
    return dataclasses.replace(
        grant,
        refresh_token=renewal.refresh_token,
        refreshed=renewal.sent,
        refresh_lifetime=renewal.refresh_lifetime or grant.refresh_lifetime,
    )


def lifetime_of(renewal: Renewal, usual: float) -> float:
    """Seconds the access token lives; `usual` only where nothing says (0 is a saying, too)."""
    return usual if renewal.lifetime is None else renewal.lifetime


def defect_of(renewal: Renewal, usual: float, now: Instant) -> str:
    """What makes this access token unusable, or "".

    One that is dead when it arrives is no success: it was sent dead, or its reply took longer than
    it lives. It is never served, and asked for again with the pauses of a failure.
    """
    if renewal.defect or renewal.access_token is None:
        return renewal.defect or "bad_access_token"
    lifetime = lifetime_of(renewal, usual)
    left = lifetime - schedule.reserve(lifetime) - elapsed(renewal.sent, now)
    return "" if left > 0 else "expired_on_arrival"  # written so that NaN counts as dead


def new_token(
    renewal: Renewal, key: TokenKey, generation: int, usual: float, dice: float
) -> AccessToken:
    """The access token of a success, with the moment of its next refresh drawn. Raises ValueError
    where the renewal has none."""
    if renewal.access_token is None:
        raise ValueError("a renewal without an access token makes no token")
    lifetime = lifetime_of(renewal, usual)
    return AccessToken(
        value=renewal.access_token,
        token_type=renewal.token_type,
        generation=generation,
        key=key,
        scope=renewal.scope,
        obtained=renewal.sent,
        lifetime=lifetime,
        soft_after=schedule.soft_after(
            lifetime, dice, renewal.refresh_in, renewal.refresh_lifetime
        ),
    )
