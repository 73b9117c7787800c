"""What an answer means: failures sorted by what happens next, not by where they came from.

Rules: every failure of a request to an issuer ends in one of six kinds. The hard thing is the line
between *transient* (the refresh token was certainly not spent) and *ambiguous* (it may have been):
nothing sent is transient, and so is a definite "not now"; a byte sent without a definite OAuth
answer is ambiguous. Texts are our own; of an issuer's words only known error codes are kept.
"""

from __future__ import annotations

import email.utils
from dataclasses import dataclass
from enum import StrEnum

from credd.core.conversation import NeverSent, Reply, ReplyLost


class Kind(StrEnum):
    """What happens next."""

    TRANSIENT = "transient"  # try again with the same token; it was not spent
    AMBIGUOUS = "ambiguous"  # a reply may have been lost; the same token is posted until one comes
    REFUSED = "refused"  # the issuer does not accept this grant; a person must log in
    MISCONFIGURED = "misconfigured"  # can't work before somebody changes a setting
    CALLER = "caller"  # the caller's own scope or audience was refused; nobody else is touched
    LOCAL = "local"  # our own disk or key; the refresh token was not spent


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt. `reason` is one word of ours or a registered OAuth error code;
    `retry_after` is in seconds, where the issuer asked for a pause."""

    kind: Kind
    reason: str
    retry_after: float | None = None


class Failed(Exception):
    """A provider's attempt failed in a way that it could judge."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


# RFC 6749 5.2, RFC 8707 2, OpenID Connect Core 3.1.2.6, RFC 8628 3.5.
BY_CODE: dict[str, Kind] = {
    "temporarily_unavailable": Kind.TRANSIENT,
    "server_error": Kind.TRANSIENT,
    "slow_down": Kind.TRANSIENT,
    "invalid_grant": Kind.REFUSED,
    "interaction_required": Kind.REFUSED,
    "login_required": Kind.REFUSED,
    "consent_required": Kind.REFUSED,
    "account_selection_required": Kind.REFUSED,
    "access_denied": Kind.REFUSED,
    "expired_token": Kind.REFUSED,
    "invalid_client": Kind.MISCONFIGURED,
    "unauthorized_client": Kind.MISCONFIGURED,
    "unsupported_grant_type": Kind.MISCONFIGURED,
    "invalid_request": Kind.MISCONFIGURED,
    "invalid_scope": Kind.CALLER,
    "invalid_target": Kind.CALLER,
}

ABOUT_WHAT_WAS_ASKED = frozenset(
    {"interaction_required", "consent_required", "account_selection_required"}
)
"""Refusals that concern the scope or audience where the caller named one: nobody has consented to
*that* resource. Taken for the whole grant's, one caller's wish would end everybody's login."""

NOT_NOW = frozenset({407, 408, 425, 429})
"""Statuses that say, definitely, "not processed, come again" (RFC 9110, RFC 8470, RFC 6585)."""

LONGEST_PAUSE = 3600.0
"""Seconds; a Retry-After beyond an hour is believed for an hour: jobs wait behind it."""

DETAIL: dict[str, str] = {
    "dns": "the issuer's name could not be looked up",
    "connect": "no connection to the issuer",
    "tls": "the TLS handshake with the issuer failed",
    "proxy": "the proxy did not let the request through",
    "proxy_login": "the proxy wants a login of its own (407), which credd has none for",
    "ca_file": "ca_file can't be read, or holds no certificates",
    "time_out": "the issuer did not answer in time",
    "reset": "the connection to the issuer broke before an answer came",
    "too_large": "the issuer's answer was far too large",
    "no_oauth_answer": "the answer was not the issuer's (a captive portal?)",
    "reply_lost": "a reply of the issuer was lost",
    "redirect": "the token endpoint answered with a redirect, which is not followed",
    "not_found": "the token endpoint is not there (404)",
    "other_origin": "the issuer now names a token endpoint at another origin than at login",
    "other_issuer": "the discovery document names another issuer than the configured one",
    "bad_access_token": "the issuer's access token was unusable",
    "expired_on_arrival": "the issuer's access token had expired on arrival",
    "wrong_token_type": "the issuer's token is of a type that credd can't serve",
    "wrong_audience": "the issuer's access token is for another audience than asked",
    "invalid_grant": "the issuer refused the refresh token (invalid_grant)",
    "invalid_client": "the issuer does not accept this client (invalid_client)",
    "unauthorized_client": "this client may not do that (unauthorized_client)",
    "unsupported_grant_type": "the issuer does not offer this way to log in",
    "invalid_request": "the issuer found the request malformed (invalid_request)",
    "invalid_scope": "the issuer does not grant this scope (invalid_scope)",
    "invalid_target": "the issuer does not issue tokens for this audience (invalid_target)",
    "access_denied": "the login was denied",
    "expired_token": "the code expired before anyone approved it",
    "read_only": "the vault can't be written (read-only)",
    "disk_full": "the vault can't be written (disk full)",
    "io": "the vault can't be written (I/O error)",
    "locked": "the vault is locked",
    "record_damaged": "the sealed record was damaged; it is kept aside",
    "max_age": "the login is older than max_age in the configuration allows",
    "other_identity": "the configuration now names another issuer, client or account",
    "too_many_requests": "the issuer asks for a pause (429)",
    "temporarily_unavailable": "the issuer is not available for now (temporarily_unavailable)",
    "server_error": "the issuer met an error of its own (server_error)",
    "unknown_error_code": "the issuer refused with an error that no standard names",
    "scope_refused": "the issuer refuses this scope or audience, though it accepts the login",
    "interaction_required": "the issuer wants to see a person (interaction_required)",
    "login_required": "the issuer wants a person to log in (login_required)",
    "consent_required": "the issuer wants a person's consent (consent_required)",
    "bad_discovery": "the issuer's discovery document makes no sense",
    "bad_device_reply": "the issuer's answer to the device login makes no sense",
    "bad_authorization_reply": "the issuer sent the browser back with a code that makes no sense",
    "code_refused": "the issuer refused the code that it had just given",
    "port_taken": "another program has the port of redirect_uri",
    "cannot_listen": "credd can't listen on this machine's loopback address",
    "bad_redirect_uri": "redirect_uri is no http address on 127.0.0.1, [::1] or localhost",
    "bad_client_key": "that is no private key that can sign (RSA or P-256, PEM, no passphrase)",
    "bad_subject_token": "that is no token that a request could carry",
    "subject_token_refused": "the issuer does not take the token that was to be exchanged",
    "file_unreadable": "subject_token_file can't be read, or is empty",
    "file_unsafe": "subject_token_file is not a small file that only its owner, this user, writes",
    "bad_id_token": "the issuer's id token is not for this login",
    "bad_client_secret": "that is no client secret that a request could carry",
    "no_client_secret": "this way to log in needs a client secret",
    "no_refresh_token": "this login has no refresh token, so nothing can renew it",
    "static_key": "a static key can't be renewed, only replaced",
    "bad_key": "that is no key that a request could carry",
    "bad_refresh_token": "that is no refresh token that a request could carry",
    "key_expired": "this key has expired already",
    "unsupported_token_type": "the issuer can't revoke tokens of this kind",
    "refused_url": "the issuer's address is not one that credd talks to",
    "refused_header": "the request could not be written safely",
    "encoded": "the issuer's answer was compressed, though that was not asked for",
    "malformed": "the issuer's answer was no HTTP",
    "closed": "credd is stopping",
    "internal": "the refresh broke inside credd; the log names the error",
}


def detail_of(reason: str) -> str:
    """A sentence of ours for a failure's `reason`."""
    return DETAIL.get(reason, f"the issuer answered {reason}")


def judge_exception(error: NeverSent | ReplyLost | Failed) -> Failure:
    """The failure that an exception of a conversation stands for."""
    if isinstance(error, Failed):
        return error.failure
    kind = Kind.TRANSIENT if isinstance(error, NeverSent) else Kind.AMBIGUOUS
    return Failure(kind, error.reason)


def judge_reply(reply: Reply, *, caller_named: bool) -> Failure:
    """The failure in a token endpoint's answer that is no success.

    `caller_named`: the caller asked for this scope or audience, so its refusal is theirs alone.
    """
    answer = reply.json()
    code = answer.get("error") if answer is not None else None
    if isinstance(code, str):
        return _judge_code(code, reply, caller_named)
    return _judge_status(reply)


def _judge_code(code: str, reply: Reply, caller_named: bool) -> Failure:
    kind = BY_CODE.get(code)
    if reply.status == 429:
        return Failure(Kind.TRANSIENT, "too_many_requests", retry_after_of(reply))
    if kind is None:
        return _judge_unknown_code(reply)
    if kind is Kind.CALLER and not caller_named:
        kind = Kind.MISCONFIGURED
    if caller_named and code in ABOUT_WHAT_WAS_ASKED:
        kind = Kind.CALLER
    return Failure(kind, code, retry_after_of(reply))


def _judge_unknown_code(reply: Reply) -> Failure:
    """An `error` that no standard names is never echoed: it is an issuer's free text.

    Only a 4xx makes it an answer. Gateways and frameworks put an `error` into their 502s and 500s
    too ("Internal Server Error"), and those say nothing about the refresh token.
    """
    if 400 <= reply.status < 500 and reply.status not in NOT_NOW | {404}:
        return Failure(Kind.MISCONFIGURED, "unknown_error_code")
    return _judge_status(reply)


def _judge_status(reply: Reply) -> Failure:
    if 300 <= reply.status < 400:
        return Failure(Kind.TRANSIENT, "redirect")
    if reply.status in NOT_NOW:
        reason = "too_many_requests" if reply.status == 429 else f"http_{reply.status}"
        return Failure(Kind.TRANSIENT, reason, retry_after_of(reply))
    if reply.status == 404:
        return Failure(Kind.TRANSIENT, "not_found")
    return Failure(Kind.AMBIGUOUS, "no_oauth_answer", retry_after_of(reply))


def judge_defect(defect: str, *, caller_named: bool) -> Failure:
    """The failure of a success whose access token was unusable; its refresh token is kept."""
    if defect == "wrong_token_type":
        return Failure(Kind.MISCONFIGURED, defect)
    if defect == "wrong_audience":
        return Failure(Kind.CALLER if caller_named else Kind.MISCONFIGURED, defect)
    return Failure(Kind.TRANSIENT, defect)


def retry_after_of(reply: Reply) -> float | None:
    """Seconds of Retry-After (RFC 9110, 10.2.3), at most an hour; None for garbage and negatives.

    A date is read against the reply's own Date, so that the issuer's clock cancels out.
    """
    text = reply.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), LONGEST_PAUSE)
    at, base = _http_date(text), _http_date(reply.headers.get("date", ""))
    if at is None:
        return None
    pause = at - (base if base is not None else reply.sent.wall)
    return min(pause, LONGEST_PAUSE) if pause > 0 else None


def _http_date(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError, OSError):
        return None
