"""Promises about failures: every answer means one thing, and the policy's table says which."""

from __future__ import annotations

import email.utils
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credd.core.conversation import NeverSent, Reply, ReplyLost
from credd.core.failures import (
    BY_CODE,
    DETAIL,
    LONGEST_PAUSE,
    Failed,
    Failure,
    Kind,
    detail_of,
    judge_defect,
    judge_exception,
    judge_reply,
    retry_after_of,
)
from tests.core.facts import NOW, WALL, modest

HOSTILE = "\x1b]0;owned\x07<script>rt-CANARY-x"


def reply(status: int = 400, body: object = None, **headers: str) -> Reply:
    """An answer of a token endpoint."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, named, raw, NOW)


def error(code: str, status: int = 400) -> Reply:
    """An OAuth error (RFC 6749, 5.2)."""
    return reply(status, {"error": code})


THE_POLICYS_TABLE = {
    Kind.TRANSIENT: ["temporarily_unavailable", "server_error", "slow_down"],
    Kind.REFUSED: ["invalid_grant", "interaction_required", "login_required", "consent_required"],
    Kind.MISCONFIGURED: ["invalid_client", "unauthorized_client", "unsupported_grant_type"],
}


@pytest.mark.parametrize(
    ("kind", "code"), [(kind, code) for kind, codes in THE_POLICYS_TABLE.items() for code in codes]
)
@pytest.mark.parametrize("status", [400, 401, 403, 500, 503])
def test_an_error_code_means_what_the_policy_says(kind: Kind, code: str, status: int) -> None:
    """Whatever status it comes with: the code is the definite part."""
    assert judge_reply(error(code, status), caller_named=False) == Failure(kind, code)


@pytest.mark.parametrize("code", ["invalid_scope", "invalid_target"])
def test_a_refused_wish_is_its_callers_own(code: str) -> None:
    """And everybody's where nobody named anything: then the configuration asks for it."""
    assert judge_reply(error(code), caller_named=True).kind is Kind.CALLER
    assert judge_reply(error(code), caller_named=False).kind is Kind.MISCONFIGURED


@pytest.mark.parametrize(
    "code", ["interaction_required", "consent_required", "account_selection_required"]
)
def test_a_missing_consent_for_a_wish_ends_nobodys_login(code: str) -> None:
    """Conditional access and unconsented resources are refused per resource."""
    assert judge_reply(error(code), caller_named=True).kind is Kind.CALLER


@pytest.mark.parametrize("code", ["invalid_grant", "login_required", "invalid_client"])
def test_a_refusal_of_the_login_stays_one_for_a_named_scope(code: str) -> None:
    """The broker finds out with the grant's own scopes whether it was the scope."""
    named, unnamed = (judge_reply(error(code), caller_named=one) for one in (True, False))
    assert named == unnamed


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (301, Kind.TRANSIENT, "redirect"),
        (302, Kind.TRANSIENT, "redirect"),
        (307, Kind.TRANSIENT, "redirect"),
        (308, Kind.TRANSIENT, "redirect"),
        (407, Kind.TRANSIENT, "http_407"),
        (408, Kind.TRANSIENT, "http_408"),
        (425, Kind.TRANSIENT, "http_425"),
        (429, Kind.TRANSIENT, "too_many_requests"),
        (404, Kind.TRANSIENT, "not_found"),
        (200, Kind.AMBIGUOUS, "no_oauth_answer"),
        (400, Kind.AMBIGUOUS, "no_oauth_answer"),
        (403, Kind.AMBIGUOUS, "no_oauth_answer"),
        (500, Kind.AMBIGUOUS, "no_oauth_answer"),
        (502, Kind.AMBIGUOUS, "no_oauth_answer"),
        (503, Kind.AMBIGUOUS, "no_oauth_answer"),
        (504, Kind.AMBIGUOUS, "no_oauth_answer"),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"<html>sign in to the wifi</html>", b"[]", b"null", b"{}", b'{"error": 7}',
             b'{"message": "Forbidden"}', b"\xff\xfe", b"[" * 100_000]
)  # fmt: skip
def test_a_status_without_an_oauth_answer(
    status: int, kind: Kind, reason: str, body: bytes
) -> None:
    """A definite "not now" spends nothing; anything else may have, whatever page came with it."""
    failure = judge_reply(reply(status, body), caller_named=False)
    assert (failure.kind, failure.reason) == (kind, reason)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Kind.MISCONFIGURED),
        (401, Kind.MISCONFIGURED),
        (403, Kind.MISCONFIGURED),
        (404, Kind.TRANSIENT),
        (429, Kind.TRANSIENT),
        (408, Kind.TRANSIENT),
        (302, Kind.TRANSIENT),
        (200, Kind.AMBIGUOUS),
        (500, Kind.AMBIGUOUS),
        (502, Kind.AMBIGUOUS),
        (503, Kind.AMBIGUOUS),
    ],
)
def test_an_unknown_error_counts_by_its_status(status: int, kind: Kind) -> None:
    """A gateway's `{"error": "Internal Server Error"}` is no verdict on the client: taken for one,
    it would stop refreshing for a quarter of an hour, and forget that a reply may be lost."""
    for code in ("Internal Server Error", "Realm does not exist", HOSTILE):
        failure = judge_reply(error(code, status), caller_named=False)
        assert failure.kind is kind
        assert code not in failure.reason


@modest
@given(st.integers(100, 599), st.binary(max_size=60) | st.text(max_size=20), st.booleans())
def test_every_answer_means_something_and_quotes_nothing(
    status: int, body: bytes | str, named: bool
) -> None:
    """No reply raises, and of an issuer's words only registered codes are kept."""
    text = body if isinstance(body, str) else ""
    answer = error(text, status) if text else reply(status, body)
    failure = judge_reply(answer, caller_named=named)
    assert failure.kind in Kind
    assert failure.reason in {*BY_CODE, *DETAIL} or failure.reason == f"http_{status}"
    assert detail_of(failure.reason)


def test_never_sent_and_no_reply_are_told_apart() -> None:
    """The one line that decides whether a refresh token may be burnt."""
    assert judge_exception(NeverSent("dns")) == Failure(Kind.TRANSIENT, "dns")
    assert judge_exception(ReplyLost("reset")) == Failure(Kind.AMBIGUOUS, "reset")
    own = Failure(Kind.REFUSED, "invalid_grant")
    assert judge_exception(Failed(own)) is own


@pytest.mark.parametrize(
    ("defect", "named", "kind"),
    [
        ("bad_access_token", False, Kind.TRANSIENT),
        ("expired_on_arrival", True, Kind.TRANSIENT),
        ("bad_id_token", False, Kind.TRANSIENT),
        ("wrong_token_type", True, Kind.MISCONFIGURED),
        ("wrong_audience", False, Kind.MISCONFIGURED),
        ("wrong_audience", True, Kind.CALLER),
    ],
)
def test_a_broken_access_token_is_judged_by_itself(defect: str, named: bool, kind: Kind) -> None:
    """None of these is ambiguous or refused: the refresh token beside it lives."""
    assert judge_defect(defect, caller_named=named) == Failure(kind, defect)


# --- Retry-After (RFC 9110, 10.2.3) -------------------------------------------------------------


def at(seconds: float) -> str:
    """An HTTP date, this many seconds from now."""
    return email.utils.formatdate(WALL + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("said", "pause"),
    [
        ("0", 0.0),
        ("40", 40.0),
        (" 40 ", 40.0),
        ("3600", 3600.0),
        ("3601", LONGEST_PAUSE),
        ("315360000", LONGEST_PAUSE),  # ten years
        ("9" * 4000, LONGEST_PAUSE),
        (at(40), 40.0),
        (at(10 * 365 * 86400), LONGEST_PAUSE),
        (at(0), None),
        (at(-40), None),
        ("-1", None),
        ("-40", None),
        ("1.5", None),
        ("1e3", None),
        ("0x10", None),
        ("١٢", None),  # digits, but not ours
        ("", None),
        ("soon", None),
        ("Thu, 32 Foo 2026 99:99:99 GMT", None),
        ("Mon, 01 Jan 99999 00:00:00 GMT", None),
    ],
)
def test_a_pause_is_honoured_up_to_an_hour(said: str, pause: float | None) -> None:
    """Seconds, dates, the past, ten years, garbage."""
    assert retry_after_of(reply(429, b"", retry_after=said)) == pause


def test_a_date_is_read_against_the_issuers_own_clock() -> None:
    """The issuer's clock is an hour behind ours: its pause of 40 s is a pause of 40 s."""
    answer = reply(503, b"", retry_after=at(-3600 + 40), date=at(-3600))
    assert retry_after_of(answer) == 40


@modest
@given(st.text(max_size=40), st.text(max_size=40))
def test_no_header_raises_or_asks_for_more_than_an_hour(said: str, date: str) -> None:
    """Whatever it says, a pause is from 0 to 3600 s, or none."""
    pause = retry_after_of(reply(429, b"", retry_after=said, date=date))
    assert pause is None or 0 <= pause <= LONGEST_PAUSE


@pytest.mark.parametrize("status", [400, 429, 500, 503])
@pytest.mark.parametrize("body", [b"", b'{"error": "temporarily_unavailable"}'])
def test_every_not_now_carries_its_pause(status: int, body: bytes) -> None:
    """With an error code or without one."""
    failure = judge_reply(reply(status, body, retry_after="40"), caller_named=False)
    assert failure.retry_after == 40


# --- what people read ---------------------------------------------------------------------------


def test_every_sentence_is_ours_and_complete() -> None:
    """One line, no full stop (they are joined), no placeholder."""
    for reason, sentence in DETAIL.items():
        assert sentence == sentence.strip()
        assert "\n" not in sentence
        assert not sentence.endswith(".")
        assert reason.replace("_", "").isalnum()


@pytest.mark.parametrize("reason", ["internal", "static_key", "refused_url", "locked", "io"])
def test_what_the_issuer_never_said_is_not_put_into_its_mouth(reason: str) -> None:
    """Only codes of the standards may fall back to "the issuer answered ..."."""
    assert "issuer answered" not in detail_of(reason)
