"""A token endpoint's reply, read so that nothing in it can cost the login.

Text to value; decides nothing about what happens next. The hard thing: the refresh token in a
reply is the login itself, the old one may be burnt. It is taken first, on its own merits, and
whatever is wrong with the rest is said beside it, as a `defect`. RFC 6749 5.1, RFC 6750 2.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from credd.core.conversation import Renewal, Reply
from credd.core.failures import Failed, Failure, Kind, judge_reply
from credd.core.model import Secret
from credd.providers import claims

LONGEST_TOKEN = 64 * 1024
"""Characters; web servers refuse header lines long before."""

LONGEST_LIFETIME = 1e9
"""Seconds (31 years); an `expires_in` beyond it is a slip or a lie, and counts as unsaid."""

LONGEST_SCOPE = 4096
"""Characters; a scope beyond is no list of names that anyone granted."""

_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # b64token, RFC 6750 2.1: no CR, no LF
_REFRESH = re.compile(r"[\x21-\x7e]+")  # VSCHAR of RFC 6749 A.17, without the space
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( +[\x21\x23-\x5b\x5d-\x7e]+)*")  # RFC 6749 3.3
_SECONDS = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the request asked for: `scope` (granted where the reply doesn't say, RFC 6749 5.1),
    `audience` ("" for none), and whether the *caller* named either."""

    scope: str = ""
    audience: str = ""
    caller_named: bool = False


NOTHING_ASKED = Asked()


def read_renewal(reply: Reply, asked: Asked = NOTHING_ASKED) -> Renewal:
    """What a success said. Raises Failed for any other answer, and for a success without tokens."""
    answer = reply.json() if 200 <= reply.status < 300 else None
    if answer is None or not _has_token(answer):
        raise Failed(_failure(reply, asked))
    defect = _defect(answer, reply, asked)
    return Renewal(
        sent=reply.sent,
        refresh_token=_refresh_token(answer),
        access_token=None if defect else Secret(answer["access_token"]),
        scope=_scope(answer, asked),
        lifetime=_lifetime(answer),
        refresh_in=_positive(answer, "refresh_in"),
        refresh_lifetime=_positive(answer, "refresh_expires_in", "refresh_token_expires_in"),
        defect=defect,
    )


def is_printable(text: str) -> bool:
    """Whether `text` is a secret that a form or a header line can carry: ASCII without spaces."""
    return len(text) <= LONGEST_TOKEN and _REFRESH.fullmatch(text) is not None


def is_scope(text: str) -> bool:
    """Whether `text` is a list of scopes as RFC 6749 3.3 writes them."""
    return len(text) <= LONGEST_SCOPE and _SCOPE.fullmatch(text) is not None


def _failure(reply: Reply, asked: Asked) -> Failure:
    failure = judge_reply(reply, caller_named=asked.caller_named)
    if reply.status < 300 and failure.reason == "unknown_error_code":
        # Any web service may say {"error": …} with a 200; only a registered code is definite.
        return Failure(Kind.AMBIGUOUS, "no_oauth_answer")
    return failure


def _has_token(answer: Mapping[str, Any]) -> bool:
    return isinstance(answer.get("access_token"), str) or _refresh_token(answer) is not None


def _refresh_token(answer: Mapping[str, Any]) -> Secret | None:
    token = answer.get("refresh_token")
    return Secret(token) if isinstance(token, str) and is_printable(token) else None


def _defect(answer: Mapping[str, Any], reply: Reply, asked: Asked) -> str:
    """The first thing that makes this access token unusable, or ""."""
    token = answer.get("access_token")
    if not isinstance(token, str) or len(token) > LONGEST_TOKEN or not _BEARER.fullmatch(token):
        return "bad_access_token"
    if not _is_bearer(answer.get("token_type")):
        return "wrong_token_type"
    said = claims.peek(token)
    if asked.audience and said and asked.audience not in claims.audiences(said):
        return "wrong_audience"
    lifetime = _lifetime(answer)
    is_over = (lifetime is not None and lifetime <= 0) or claims.has_expired(said, reply)
    return "expired_on_arrival" if is_over else ""


def _is_bearer(token_type: object) -> bool:
    # A missing token_type breaks RFC 6749 5.1, yet every such issuer means bearer.
    return token_type is None or (isinstance(token_type, str) and token_type.lower() == "bearer")


def _lifetime(answer: Mapping[str, Any]) -> float | None:
    """Seconds: `expires_in`, else exp - iat of the JWT, else None."""
    said = _seconds(answer.get("expires_in"))
    if said is not None:
        return said
    inside = claims.peek(answer.get("access_token"))
    start, end = claims.number(inside.get("iat")), claims.number(inside.get("exp"))
    return _seconds(end - start) if start is not None and end is not None else None


def _seconds(value: object) -> float | None:
    """A length of time that is a number or the text of one (some issuers send "3600")."""
    if isinstance(value, str) and _SECONDS.fullmatch(value.strip()):
        value = float(value)
    seconds = claims.number(value)
    return None if seconds is None or seconds > LONGEST_LIFETIME else seconds


def _positive(answer: Mapping[str, Any], *names: str) -> float | None:
    """The first of these that is above 0: Keycloak writes "never" as 0, others as -1."""
    found = (_seconds(answer.get(name)) for name in names)
    return next((one for one in found if one is not None and one > 0), None)


def _scope(answer: Mapping[str, Any], asked: Asked) -> str:
    said = answer.get("scope")
    if not isinstance(said, str) or not is_scope(said.strip(" ")):
        return asked.scope
    return " ".join(said.split())
