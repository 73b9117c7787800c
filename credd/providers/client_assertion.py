"""A client that proves itself by a private key: `private_key_jwt` (RFC 7523 2.2, OIDC Core 9).

Knows one small JWT and the keys that may sign it. Refuses to know where the key is kept. The hard
thing is whom an assertion convinces: it is made for one issuer, for a minute, once. So whoever else
gets hold of it can do nothing with it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jwt

from credd.core.failures import Failed, Failure, Kind
from credd.core.model import Secret

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

LIFETIME = 60
"""Seconds from the moment of the request; issuers refuse long-lived ones, and clocks differ."""

ALGORITHMS = ("ES256", "RS256")
"""Tried in this order: the key itself says which one it is for (P-256, or RSA from 2048 bits)."""

LONGEST_KEY = 32 * 1024
"""Characters of a PEM; RSA with 16384 bits takes 13,000."""

_STRICT: Any = {"enforce_minimum_key_length": True}


class Whose(NamedTuple):
    """Who asserts to whom: the client's id, the issuer (or endpoint) it speaks to, the key's id as
    registered there ("" for none)."""

    client_id: str
    audience: str
    key_id: str = ""


def assertion(key: Secret, whose: Whose, now: float, number: Secret) -> Secret:
    """The assertion, valid from `now` (Unix seconds); `number` makes it one of a kind.

    Raises Failed for a key that can't sign.
    """
    claims = {
        "iss": whose.client_id,
        "sub": whose.client_id,
        "aud": whose.audience,
        "jti": number.reveal(),
        "iat": int(now),
        "exp": int(now) + LIFETIME,
    }
    headers = {"kid": whose.key_id} if whose.key_id else None
    return _signed(key, claims, headers)


def check_key(text: str) -> Secret:
    """A private key in PEM that can sign. Raises Failed for anything else, one with a passphrase
    too."""
    key = Secret(text.strip() + "\n")
    if len(text) > LONGEST_KEY or not text.isascii() or "PRIVATE KEY-----" not in text:
        raise Failed(Failure(Kind.REFUSED, "bad_client_key"))
    _signed(key, {}, None)
    return key


def _signed(key: Secret, claims: dict[str, Any], headers: dict[str, Any] | None) -> Secret:
    for algorithm in ALGORITHMS:
        try:
            signer = jwt.PyJWT(options=_STRICT)
            return Secret(signer.encode(claims, key.reveal(), algorithm, headers))
        except Exception:  # noqa: BLE001, S112 - a person's file makes a parser raise anything
            continue
    raise Failed(Failure(Kind.REFUSED, "bad_client_key"))
