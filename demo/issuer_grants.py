"""The grants an issuer has given: their refresh tokens, the access tokens, and how each ends.

Knows families of tokens. Refuses to know HTTP, signatures and clocks: time is passed in.
The one hard thing: a refresh token is good once. When a spent one comes back, nobody can tell
the thief from the owner, so the whole family dies (RFC 9700 section 4.14.2).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from demo.issuer_record import Record
from demo.issuer_request import OAuthError
from demo.issuer_settings import REFRESH_TOKEN_MARK, Settings

TOKEN_BYTES = 24  # 192 random bits, above the 128 that RFC 6749 section 10.10 demands


@dataclass
class Spent:
    """A refresh token that was used: when, and whether the issuer kept its reply back."""

    at: float
    lost: bool = False


@dataclass
class Grant:
    """What one login obtained: a family of tokens that lives and dies together."""

    id: str
    client_id: str
    subject: str
    scope: tuple[str, ...]
    resources: tuple[str, ...]
    started_at: float
    expires_at: float
    refresh_token: str = field(default="", repr=False)
    spent: dict[str, Spent] = field(default_factory=dict, repr=False)
    ended: str = ""


@dataclass
class Access:
    """An access token as introspection knows it; ``grant`` is None for client credentials."""

    jti: str
    grant: Grant | None
    client_id: str
    subject: str
    scope: tuple[str, ...]
    audience: tuple[str, ...]
    issued_at: float
    expires_at: float
    revoked: bool = False

    def is_active(self, now: float) -> bool:
        """Whether introspection calls it active at this Unix time (RFC 7662 section 2.2)."""
        family_lives = self.grant is None or not self.grant.ended
        return family_lives and not self.revoked and now < self.expires_at


class Grants:
    """All grants and access tokens of one issuer."""

    def __init__(self, settings: Settings, record: Record) -> None:
        self._settings = settings
        self._record = record
        self._by_refresh_token: dict[str, Grant] = {}
        self.by_id: dict[str, Grant] = {}
        self.access: dict[str, Access] = {}

    def start(
        self, client_id: str, subject: str, scope: tuple[str, ...], resources: tuple[str, ...],
        now: float,
    ) -> Grant:  # fmt: skip
        """A new family, with its first refresh token where offline access was asked for."""
        number = f"g{len(self.by_id) + 1}"
        expires_at = now + self._settings.refresh_lifetime
        grant = Grant(number, client_id, subject, scope, resources, now, expires_at)
        self.by_id[number] = grant
        if "offline_access" in scope or not self._settings.needs_offline_access:
            self.mint(grant)
        return grant

    def mint(self, grant: Grant) -> None:
        """Give the grant a new refresh token."""
        token = REFRESH_TOKEN_MARK + secrets.token_urlsafe(TOKEN_BYTES)
        grant.refresh_token = token
        self._by_refresh_token[token] = grant
        self._record.minted.append(token)

    def find(self, token: str) -> Grant | None:
        """The grant that this refresh token, spent or not, belongs to."""
        return self._by_refresh_token.get(token)

    def spend(self, token: str, client_id: str, now: float) -> Grant:
        """Use a refresh token, and rotate it if that is the rule.

        Raises OAuthError invalid_grant where it is unknown, foreign, ended, expired or spent.
        """
        grant = self._living(token, client_id, now)
        if token in grant.spent:
            self._judge_reuse(grant, token, now)
        elif self._settings.rotate:
            grant.spent[token] = Spent(now)
            self.mint(grant)
        return grant

    def _living(self, token: str, client_id: str, now: float) -> Grant:
        grant = self.find(token)
        if grant is None or grant.client_id != client_id:
            raise OAuthError("invalid_grant", "unknown refresh token")
        if token in grant.spent and grant.ended:
            self._judge_reuse(grant, token, now)
        if grant.ended or now >= grant.expires_at:
            raise OAuthError("invalid_grant", grant.ended or "refresh token expired")
        return grant

    def _judge_reuse(self, grant: Grant, token: str, now: float) -> None:
        spent = grant.spent[token]
        self._record.reuse(grant.id, now, spent.lost)
        in_grace = now < spent.at + self._settings.reuse_grace
        if in_grace and not grant.ended and grant.refresh_token not in grant.spent:
            return
        self.end(grant, "refresh token reused")
        raise OAuthError("invalid_grant", "refresh token reused")

    def end(self, grant: Grant, reason: str) -> None:
        """End the family: every token of it is invalid from now on."""
        grant.ended = grant.ended or reason

    def lose(self, token: str) -> None:
        """The reply to this refresh token never arrived: its reuse is nobody's fault."""
        grant = self.find(token)
        if grant is not None and token in grant.spent:
            grant.spent[token].lost = True
