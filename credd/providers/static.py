"""A key that is its own access token: nothing to refresh, nothing to revoke.

Knows when a key ends, where somebody wrote it down. The hard thing is doing nothing on purpose: a
static key is never posted anywhere by credd.
"""

# ruff: noqa: ARG002 - the four verbs have one shape, whether a key needs all of it or not

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from credd.core.conversation import Authorization, Conversation, Question, Renewal
from credd.core.failures import Failed, Failure, Kind
from credd.core.importing import Handover
from credd.core.model import AccessToken, Grant, Secret, TokenKey
from credd.providers.token_reply import is_printable

FLOWS = ("key",)


def parse_expiry(value: float | str) -> float:
    """Unix seconds of a number, a date (its end, UTC) or a date and time (UTC where it names no
    zone). Raises ValueError."""
    if not isinstance(value, str):
        return _in_range(float(value))
    if len(value) == len("2026-12-31"):
        day = date.fromisoformat(value)
        return _in_range((datetime.combine(day, time(), UTC) + timedelta(days=1)).timestamp())
    at = datetime.fromisoformat(value)
    return _in_range((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


def _in_range(seconds: float) -> float:
    # From the epoch to the year 9999: what every calendar can show.
    if not 0 < seconds < 253_402_300_800:
        raise ValueError("not a time that a calendar can show")
    return seconds


class StaticProvider:
    """A key, asked for once."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        expires_at = settings.get("expires_at")
        self._expires_at = None if expires_at is None else parse_expiry(expires_at)

    def __repr__(self) -> str:
        return f"<StaticProvider expires_at={self._expires_at}>"

    async def login(self, talk: Conversation, flow: str) -> Authorization:
        """Ask for the key (flow `key`). Raises Failed for one that no header can carry, and for one
        that has expired already."""
        if flow not in ("", *FLOWS):
            raise Failed(Failure(Kind.MISCONFIGURED, "unsupported_grant_type"))
        return self._authorization(talk, await talk.ask(Question("key", "Key")))

    async def take_over(self, talk: Conversation, handed: Handover) -> Authorization:
        """The same with a key that was kept elsewhere. Raises Failed."""
        return self._authorization(talk, handed.secret)

    def _authorization(self, talk: Conversation, answer: Secret) -> Authorization:
        key = answer.reveal().strip()
        if not is_printable(key):
            raise Failed(Failure(Kind.REFUSED, "bad_key"))
        now = talk.now()
        lifetime = None if self._expires_at is None else self._expires_at - now.wall
        if lifetime is not None and lifetime <= 0:
            raise Failed(Failure(Kind.REFUSED, "key_expired"))
        renewal = Renewal(sent=now, access_token=Secret(key), lifetime=lifetime)
        return Authorization(renewal, renewable=False, login_lifetime=lifetime)

    async def refresh(self, talk: Conversation, grant: Grant, key: TokenKey) -> Renewal:
        """Always raises Failed: only a person can bring another key."""
        raise Failed(Failure(Kind.REFUSED, "static_key"))

    async def revoke(self, talk: Conversation, grant: Grant, token: AccessToken | None) -> None:
        """Nothing: a key is ended where it was made."""

    def origin(self, grant: Grant) -> str:
        """No issuer is ever asked."""
        return ""

    def spends(self, grant: Grant) -> bool:
        """Never."""
        return False
