"""What a JWT says about itself, read without believing it, and the issuer's own clock.

No signature is checked here: an access token is not addressed to us, its times and audience only
help to notice a reply that can't be right. (id_token.py verifies what must be verified.) The hard
thing is that every value may be hostile: not a number, not finite, nested a million deep.
"""

from __future__ import annotations

import base64
import binascii
import email.utils
import json
import math
from collections.abc import Mapping
from typing import Any

from credd.core.conversation import Reply

LONGEST = 64 * 1024
"""Characters of a token that are looked at; header lines end long before."""

SKEW = 600.0
"""Seconds by which an issuer's clock may differ from ours where its reply carries no Date."""


def peek(token: object) -> Mapping[str, Any]:
    """The claims of a JWT, unverified; nothing where `token` is anything else."""
    if not isinstance(token, str) or len(token) > LONGEST or token.count(".") != 2:
        return {}
    middle = token.split(".")[1]
    try:
        text = base64.b64decode(middle + "=" * (-len(middle) % 4), altchars=b"-_", validate=True)
        claims = json.loads(text)
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def number(value: object) -> float | None:
    """A finite number, written as a number; None for anything else (bool and NaN too)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        plain = float(value)
    except OverflowError:  # an int of a thousand digits
        return None
    return plain if math.isfinite(plain) else None


def audiences(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """`aud` as RFC 7519 4.1.3 writes it: one string, or a list of them."""
    found = claims.get("aud")
    listed = found if isinstance(found, list) else [found]
    return tuple(one for one in listed if isinstance(one, str))


def issuer_time(reply: Reply) -> float | None:
    """The issuer's own Unix time when it answered, from the Date header; None without one."""
    try:
        return email.utils.parsedate_to_datetime(reply.headers.get("date", "")).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def has_expired(claims: Mapping[str, Any], reply: Reply) -> bool:
    """Whether the token's `exp` was over when the issuer sent it, by the issuer's own clock."""
    end = number(claims.get("exp"))
    if end is None:
        return False
    at = issuer_time(reply)
    return end <= at if at is not None else end <= reply.sent.wall - SKEW
