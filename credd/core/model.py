"""The nouns of the house: secrets, credentials, grants, access tokens.

Rules: everything here is frozen; a change is a new value. A secret shows itself only through
`reveal()`. Lifetimes are seconds counted from a recorded `Instant`, so that what a token's state is
can be computed at any time from facts alone.

A **grant** is what one login obtained, with its refresh token and its own number. A **token key**
is the (scope, audience) asked of that grant. A **generation** numbers the access tokens of a
credential; no two tokens of one credential ever share one, across token keys, logins and restarts,
so whoever rejects "generation 12" says exactly which token was refused.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

from credd.core.instant import Instant


class Secret:
    """A string that can't be shown by accident: no repr, no str, no format, no pickle.

    `reveal()` is the one door out. Comparison takes the same time wherever two secrets differ.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. Every call stands where the secret leaves: a request, a seal, an
        answer."""
        return self._text

    def digest(self) -> bytes:
        """SHA-256 of the text (32 bytes): names a refresh token without showing it."""
        return hashlib.sha256(self._bytes()).digest()

    def _bytes(self) -> bytes:
        # A lone surrogate (JSON can carry one) must not raise: that error quotes the whole text.
        return self._text.encode("utf-8", "surrogatepass")

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._bytes(), other._bytes())

    def __hash__(self) -> int:
        return hash(self.digest())

    def __repr__(self) -> str:
        return "<Secret>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret can't be pickled")


class TokenKey(NamedTuple):
    """What was asked of a grant: `scope` (sorted, space-separated) and `audience`; "" is the
    default."""

    scope: str = ""
    audience: str = ""


def token_key(scopes: list[str], audience: str) -> TokenKey:
    """The key for these scopes, in whatever order and however often they were given."""
    return TokenKey(" ".join(sorted(set(scopes))), audience)


PRIMARY = TokenKey()
"""The grant's own scopes and audience: the one key that is refreshed ahead without being asked
for."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A short-lived token as the issuer gave it.

    `obtained` is the moment its request was *sent* (so it is never thought younger than it is);
    `lifetime` in seconds, None where nothing says (a static key); `soft_after` is the second after
    `obtained` from which a refresh is due, drawn once for this generation.
    """

    value: Secret
    token_type: str
    generation: int
    key: TokenKey
    scope: str
    obtained: Instant
    lifetime: float | None
    soft_after: float | None

    def __repr__(self) -> str:
        return f"<AccessToken gen={self.generation} lifetime={self.lifetime} key={tuple(self.key)}>"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a login obtained. `number` counts the logins of this credential.

    `login_lifetime`: seconds from `obtained` after which the whole login ends, where known.
    `refresh_lifetime`: seconds the present refresh token lives, counted from `refreshed`.
    `first_lifetime`: lifetime of the first access token, against which a shrinking one is measured.
    `private` is the provider's own: endpoints (str) and further secrets (Secret).
    """

    number: int
    refresh_token: Secret | None
    subject: str
    account: str
    scope: str
    obtained: Instant
    refreshed: Instant
    renewable: bool = True
    login_lifetime: float | None = None
    refresh_lifetime: float | None = None
    first_lifetime: float | None = None
    private: Mapping[str, str | Secret] = field(default_factory=dict)

    def __repr__(self) -> str:
        kind = "renewable" if self.renewable else "static"
        return f"<Grant number={self.number} account={self.account!r} {kind}>"


@dataclass(frozen=True, slots=True)
class Credential:
    """One `[credentials.NAME]` table, checked. `settings` is the provider's; the rest is policy.

    `hosts`: where tokens may go. `login_lifetime` and `access_lifetime` (seconds) stand in for what
    an issuer does not say. `max_age` (seconds): a login older than that is not used any more,
    whatever its issuer says. `confirm`: a person is asked before each token is handed out.
    `ca_file`: a PEM file that replaces the system's certificates for its issuer, "" for none.
    """

    name: str
    provider: str
    settings: Mapping[str, Any]
    hosts: tuple[str, ...] = ()
    login_lifetime: float | None = None
    access_lifetime: float = 300.0  # Keycloak's default, the shortest of the common ones
    max_age: float | None = None
    confirm: bool = False
    ca_file: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    def identity(self) -> str:
        """Digest (hex) of everything that decides whom this credential is and who issued it.

        A secret obtained under one identity is never offered under another.
        """
        plain = json.dumps([self.provider, dict(self.settings)], sort_keys=True, default=list)
        return hashlib.sha256(plain.encode()).hexdigest()
