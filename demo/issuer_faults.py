"""Everything that can go wrong at an issuer, each with a switch that works at run time.

Knows faults and how long each lasts. Refuses to know what a right answer would have been: it
replaces or edits one. The one hard thing: a fault that strikes before the refresh token is
spent and one that strikes after it are different worlds, so each says which it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from demo.issuer_request import OAuthError, Reply

CAPTIVE_PORTAL = b"<!doctype html><title>Welcome</title><p>Please accept the terms of this network."
LONG_REFUSAL = 1_000_000_000  # "for ever", as a count that JSON can carry


class Away(ConnectionRefusedError):
    """The issuer does not listen: nothing was sent."""


class ReplyLost(ConnectionResetError):
    """The request was carried out, and the connection broke before the reply."""


@dataclass
class Canned:
    """An answer given instead of the right one; the request is not carried out."""

    reply: Reply
    times: float


@dataclass
class Edit:
    """Changes to a successful token reply; the request was carried out."""

    changes: dict[str, Any]
    drop: tuple[str, ...]
    times: float


Lasting = TypeVar("Lasting", Canned, Edit)


@dataclass
class Faults:
    """The switches. ``times`` counts token requests; every method can be called while running."""

    is_away: bool = False
    seconds: float = 0.0
    spends_first: bool = True
    portal: bool = False
    discovery_changes: dict[str, Any] = field(default_factory=dict)
    _canned: list[Canned] = field(default_factory=list)
    _edits: list[Edit] = field(default_factory=list)
    _losses: float = 0
    _slow_downs: float = 0
    _refusals: float = 0

    def clear(self) -> None:
        """Make everything right again, except for being away."""
        vars(self).update(vars(Faults(is_away=self.is_away)))

    def slow(self, seconds: float, spends_first: bool = True) -> None:
        """Hold token requests for so long: after the token is spent, or before it is."""
        self.seconds, self.spends_first = seconds, spends_first

    def answer(
        self, status: int, body: str | Mapping[str, Any] = "", times: float = 1,
        headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Answer the next token requests with this, without carrying them out."""
        text = body if isinstance(body, str) else json.dumps(body)
        kind = "text/plain" if isinstance(body, str) else "application/json"
        reply = Reply(status, {"Content-Type": kind, **(headers or {})}, text.encode())
        self._canned.append(Canned(reply, times))

    def too_many_requests(self, retry_after: str | float, times: float = 1) -> None:
        """429 with Retry-After (seconds, or an HTTP date)."""
        self.answer(429, "slow, please", times, {"Retry-After": str(retry_after)})

    def html(self, on: bool = True) -> None:
        """Be a captive portal: 200 and a web page, whatever was asked."""
        self.portal = on

    def lose_reply(self, times: float = 1) -> None:
        """Carry the next token requests out, then break the connection."""
        self._losses = times

    def slow_down(self, times: float = 1) -> None:
        """Answer the next polls of a device code with slow_down."""
        self._slow_downs = times

    def refuse_grants(self, times: float = LONG_REFUSAL) -> None:
        """Answer refreshes with invalid_grant: for ever, unless told how often. 0 ends it."""
        self._refusals = times

    def discovery(self, **changes: Any) -> None:
        """Publish a discovery document with these fields changed; None removes a field."""
        self.discovery_changes = changes

    def edit_reply(
        self, changes: Mapping[str, Any] | None = None, drop: Sequence[str] = (),
        times: float = 1,
    ) -> None:  # fmt: skip
        """Change or drop fields of the next successful token replies."""
        self._edits.append(Edit(dict(changes or {}), tuple(drop), times))

    def lie_about_expiry(self, expires_in: Any, times: float = 1) -> None:
        """Say this as expires_in: a string, a negative number, 0, 1e99, anything."""
        self.edit_reply({"expires_in": expires_in}, times=times)

    def hide_expiry(self, times: float = 1) -> None:
        """Leave expires_in out."""
        self.edit_reply(drop=["expires_in"], times=times)

    def break_access_token(self, value: Any = "", times: float = 1) -> None:
        """Send a useless access token beside a good refresh token."""
        self.edit_reply({"access_token": value}, times=times)

    def omit_refresh_token(self, times: float = 1) -> None:
        """Leave the refresh token out. With rotation on, the new one is then nowhere."""
        self.edit_reply(drop=["refresh_token"], times=times)

    # What the core asks, in the order in which a request meets it.

    def before(self, is_token: bool) -> Reply | None:
        """An answer instead of the right one, if any. Raises Away."""
        if self.is_away:
            raise Away("the issuer is away")
        if self.portal:
            return Reply(200, {"Content-Type": "text/html"}, CAPTIVE_PORTAL)
        canned = _take(self._canned) if is_token else None
        return canned.reply if canned else None

    def wants_slow_down(self) -> bool:
        """Whether this poll is to be slowed down; uses one up."""
        if self._slow_downs > 0:
            self._slow_downs -= 1
            return True
        return False

    def refuse(self) -> None:
        """Raises OAuthError invalid_grant while refreshes are refused; uses one up."""
        if self._refusals > 0:
            self._refusals -= 1
            raise OAuthError("invalid_grant", "refused on purpose")

    def edit(self, content: dict[str, Any]) -> dict[str, Any]:
        """A successful token reply as this fault wants it; uses one up."""
        edit = _take(self._edits)
        if edit is None:
            return content
        kept = {key: value for key, value in content.items() if key not in edit.drop}
        return kept | edit.changes

    def after(self) -> None:
        """Raises ReplyLost where this reply is to be lost; uses one up."""
        if self._losses > 0:
            self._losses -= 1
            raise ReplyLost("the reply was lost on purpose")


def _take(queue: list[Lasting]) -> Lasting | None:
    """The first of the queue, used up once; it leaves the queue when it has no times left."""
    if not queue:
        return None
    first = queue[0]
    first.times -= 1
    if first.times <= 0:
        queue.pop(0)
    return first
