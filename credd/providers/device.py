"""The device login (RFC 8628): one machine shows a code, a person approves it elsewhere.

Knows the two requests and the pace between them. The hard thing is patience: `slow_down` adds five
seconds for good, a poll whose reply is lost is repeated more slowly, and nothing, not even an
issuer that never decides, keeps us past the code's own end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from credd.core.conversation import Conversation, NeverSent, Reply, ReplyLost
from credd.core.failures import Failed, Failure, Kind, judge_reply, retry_after_of
from credd.core.instant import Instant, until
from credd.core.model import Secret
from credd.providers import claims
from credd.providers.addresses import is_usable
from credd.providers.oauth import Client, Fields
from credd.providers.token_reply import is_printable

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"

DEFAULT_INTERVAL = 5.0
"""Seconds between polls where the issuer doesn't say (RFC 8628 3.2)."""

SHORTEST_INTERVAL = 1.0
"""Seconds; an issuer that says 0 would have us ask as fast as we can."""

SLOW_DOWN = 5.0
"""Seconds that each `slow_down` adds to this and all later pauses (RFC 8628 3.5)."""

LONGEST_BACKOFF = 60.0
"""Seconds; a person who has approved should not wait longer for us to notice."""

DEFAULT_LIFE = 600.0
"""Seconds for a code whose `expires_in` is missing or broken, though RFC 8628 requires one."""

LONGEST_LIFE = 3600.0
"""Seconds; nobody comes back to a code after an hour."""

# RFC 8628 6.1 recommends letters; digits, dots and dashes are seen too. Nothing else is shown.
_USER_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Device:
    """A device login under way. `interval` and `life` in seconds, `life` counted from `started`."""

    device_code: Secret
    user_code: str
    page: str
    page_with_code: str
    interval: float
    life: float
    started: Instant

    def event(self) -> Mapping[str, Any]:
        """What a person must see (`wire.LoginEvent`, type `device-code`)."""
        return {
            "type": "device-code",
            "verification_uri": self.page,
            "verification_uri_complete": self.page_with_code,
            "user_code": self.user_code,
            "expires_at": self.started.wall + self.life,
        }


async def start(talk: Conversation, url: str, client: Client, form: Fields, issuer: str) -> Device:
    """Ask for a pair of codes (RFC 8628 3.1). Raises Failed."""
    reply = await client.post(talk, url, form)
    answer = reply.json() if 200 <= reply.status < 300 else None
    if answer is None or "error" in answer:
        raise Failed(judge_reply(reply, caller_named=False))
    return _parse_device(answer, reply.sent, issuer)


def _parse_device(answer: Mapping[str, Any], started: Instant, issuer: str) -> Device:
    code, user_code = answer.get("device_code"), answer.get("user_code")
    page = answer.get("verification_uri", answer.get("verification_url"))  # the latter: Google
    complete = answer.get("verification_uri_complete")
    is_fine = (
        isinstance(code, str)
        and is_printable(code)
        and isinstance(user_code, str)
        and _USER_CODE.fullmatch(user_code)
        and is_usable(page, issuer)
    )
    if not is_fine:
        raise Failed(Failure(Kind.MISCONFIGURED, "bad_device_reply"))
    return Device(
        device_code=Secret(str(code)),
        user_code=str(user_code),
        page=str(page),
        page_with_code=str(complete) if is_usable(complete, issuer) else "",
        interval=max(_positive(answer.get("interval"), DEFAULT_INTERVAL), SHORTEST_INTERVAL),
        life=min(_positive(answer.get("expires_in"), DEFAULT_LIFE), LONGEST_LIFE),
        started=started,
    )


def _positive(value: object, default: float) -> float:
    number = claims.number(value)
    return number if number is not None and number >= 0 else default


async def wait(
    talk: Conversation, url: str, client: Client, device: Device, extra: Fields
) -> Reply:
    """Poll until the issuer has decided; answers with its success. Raises Failed.

    `extra` goes along with each poll (an audience).
    """
    form = {"grant_type": GRANT_TYPE, "device_code": device.device_code, **extra}
    pace = _Pace(device.interval)
    while True:
        await _pause(talk, device, pace.pause())
        try:
            reply = await client.post(talk, url, form)
        except (NeverSent, ReplyLost) as error:
            pace.missed(is_lost=isinstance(error, ReplyLost))
            continue
        if reply.status < 300 and "access_token" in (reply.json() or {}):
            return reply
        pace.heard(reply)


class _Pace:
    """How long to wait before the next poll, given what the polls so far met."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._misses = 0
        self._asked_for = 0.0
        self._is_lost = False

    def pause(self) -> float:
        """Seconds: the interval, doubled for each poll in a row that failed (RFC 8628 3.5)."""
        backoff = self._interval * 2.0 ** min(self._misses, 10)
        longest = max(self._interval, LONGEST_BACKOFF)
        return max(min(backoff, longest), self._asked_for)

    def missed(self, *, is_lost: bool) -> None:
        """A poll brought no answer: the interval doubles, for the next one alone."""
        self._misses += 1
        self._asked_for = 0.0
        self._is_lost = self._is_lost or is_lost

    def heard(self, reply: Reply) -> None:
        """A poll brought an answer that is no success. Raises Failed where it ends the login."""
        code = (reply.json() or {}).get("error")
        if code in ("authorization_pending", "slow_down"):
            self._interval += SLOW_DOWN if code == "slow_down" else 0.0
            self._misses, self._asked_for = 0, 0.0
            return
        failure = judge_reply(reply, caller_named=False)
        if failure.kind not in (Kind.TRANSIENT, Kind.AMBIGUOUS) or failure.reason == "not_found":
            raise Failed(self._final(failure))
        self.missed(is_lost=failure.kind is Kind.AMBIGUOUS)
        self._asked_for = retry_after_of(reply) or 0.0

    def _final(self, failure: Failure) -> Failure:
        # The code was exchanged by a poll whose reply never came: say so, not "invalid_grant".
        if failure.reason == "invalid_grant" and self._is_lost:
            return Failure(Kind.REFUSED, "reply_lost")
        return failure


async def _pause(talk: Conversation, device: Device, seconds: float) -> None:
    """Wait before a poll. Raises Failed once the code is over: a poll then could only be refused.

    A pause that would outlast the code is cut at its end.
    """
    left = until(device.started, device.life, talk.now())
    await talk.pause(min(seconds, left))
    if until(device.started, device.life, talk.now()) <= 0:
        raise Failed(Failure(Kind.REFUSED, "expired_token"))
