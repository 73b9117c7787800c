"""Who logged in: an id token, verified (OpenID Connect Core 3.1.3.7), and a name to show.

Knows signatures (through pyjwt) and claims; is handed keys and the time. The hard things: the
algorithm is never the token's to choose (no `none`, no HS*: a public key is no shared secret), the
time is the one passed in (pyjwt would look at the clock), and the keys come from outside, so a
monstrous one must not stall everybody.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

import jwt

from credd.core.model import Secret
from credd.providers import claims as jwt_claims

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""Asymmetric, all of them."""

LEEWAY = 60.0
"""Seconds by which two clocks may differ: what OpenID libraries commonly allow."""

LONGEST_KEY = 2800
"""Base64 characters of one key parameter: RSA with 16384 bits. Beyond, a check takes seconds."""

MOST_KEYS = 100
"""Keys of one set that are looked at; issuers publish two or three."""

LONGEST_SUBJECT = 255
"""Characters of `sub` (OpenID Connect Core 2)."""

LONGEST_NAME = 128
"""Characters of an account's name on a screen."""

_SIGNATURE_ALONE: Any = {
    "verify_signature": True,
    "enforce_minimum_key_length": True,
    **dict.fromkeys(
        ("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss", "verify_sub",
         "verify_jti"),
        False,
    ),
}  # fmt: skip


class BadIdToken(Exception):
    """The id token proves nothing. The text is one of ours."""


class UnknownKey(BadIdToken):
    """None of the keys at hand is the one that signed: the issuer may have a newer set."""


def verify(
    token: object, keys: Mapping[str, Any], issuer: str, client_id: str, now: float
) -> Mapping[str, Any]:
    """The claims of `token`, signed by one of `keys` (a JWK Set) and meant for us at `now` (Unix
    seconds). Raises BadIdToken or UnknownKey."""
    if not isinstance(token, str) or len(token) > jwt_claims.LONGEST:
        raise BadIdToken("is no token")
    header = _header(token)
    claims = _signed_claims(token, header["alg"], _candidates(keys, header))
    check_who(claims, issuer, client_id)
    _check_when(claims, now)
    return claims


def check_nonce(claims: Mapping[str, Any], nonce: Secret) -> None:
    """Check that the token answers the login that this nonce was made for (3.1.3.7, 11). Raises
    BadIdToken."""
    given = claims.get("nonce")
    if not isinstance(given, str) or Secret(given) != nonce:
        raise BadIdToken("answers another login")


def check_who(claims: Mapping[str, Any], issuer: str, client_id: str) -> None:
    """Check issuer, audience and subject. Raises BadIdToken."""
    subject, audiences = claims.get("sub"), jwt_claims.audiences(claims)
    if claims.get("iss") != issuer:
        raise BadIdToken("issued by another issuer")
    if client_id not in audiences:
        raise BadIdToken("meant for another client")
    party = claims.get("azp", client_id if len(audiences) == 1 else None)
    if party != client_id:  # several audiences need an azp, and it must be us (3.1.3.7, 4 and 5)
        raise BadIdToken("issued to another party")
    if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT:
        raise BadIdToken("names no subject")
    if not (subject.isascii() and subject.isprintable()):
        raise BadIdToken("names a subject in characters that no subject has")


def account_name(claims: Mapping[str, Any]) -> str:
    """A name for people to recognise the account by, safe to show; "" where there is none."""
    found = (claims.get(name) for name in ("preferred_username", "email", "sub"))
    names = (_plain(name) for name in found if isinstance(name, str))
    return next((name for name in names if name), "")


def _plain(name: str) -> str:
    """Without control, format, bidi, private and unpaired characters (Unicode C*, Zl, Zp)."""
    kept = (c for c in name[: 4 * LONGEST_NAME] if _is_plain(c))
    return " ".join("".join(kept).split())[:LONGEST_NAME]


def _is_plain(character: str) -> bool:
    kind = unicodedata.category(character)
    return not kind.startswith("C") and kind not in ("Zl", "Zp")


def _check_when(claims: Mapping[str, Any], now: float) -> None:
    end, start = jwt_claims.number(claims.get("exp")), jwt_claims.number(claims.get("iat"))
    if end is None or start is None:
        raise BadIdToken("says not when it is valid")
    if end <= now - LEEWAY:
        raise BadIdToken("has expired")
    if start > now + LEEWAY:
        raise BadIdToken("comes from the future")


def _header(token: str) -> Mapping[str, Any]:
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise BadIdToken("is no signed JWT") from None
    if header.get("alg") not in ALGORITHMS:
        raise BadIdToken("is signed in a way that proves nothing")
    return header


def _candidates(keys: Mapping[str, Any], header: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = keys.get("keys")
    some = listed[:MOST_KEYS] if isinstance(listed, list) else []
    usable = [key for key in some if _is_usable(key)]
    wanted = header.get("kid")
    named = [key for key in usable if wanted is None or key.get("kid") in (wanted, None)]
    if not named:
        raise UnknownKey("is signed by a key that the issuer does not publish")
    return named


def _is_usable(key: object) -> bool:
    if not isinstance(key, dict) or key.get("use", "sig") != "sig":
        return False
    if key.get("kty") not in ("RSA", "EC", "OKP"):
        return False
    return all(len(value) <= LONGEST_KEY for value in key.values() if isinstance(value, str))


def _signed_claims(token: str, algorithm: str, keys: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    for key in keys:
        claims = _try_key(token, algorithm, key)
        if claims is not None:
            return claims
    raise UnknownKey("is signed by none of the issuer's keys")


def _try_key(token: str, algorithm: str, key: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if key.get("alg", algorithm) != algorithm:
        return None
    try:
        public = jwt.PyJWK(dict(key), algorithm)
        return jwt.decode(token, public, algorithms=[algorithm], options=_SIGNATURE_ALONE)
    except Exception:  # noqa: BLE001 - a hostile key raises whatever its parser happens to raise
        return None
