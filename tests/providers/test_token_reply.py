"""Every way in which a token endpoint's reply can be broken, and what is saved from it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credd.core.conversation import Renewal, Reply
from credd.core.failures import Failed, Kind
from credd.core.instant import Instant
from credd.providers.token_reply import NOTHING_ASKED, Asked, read_renewal

SENT = Instant(1_750_000_000.0, 1000.0, "boot-1")
GOOD = {
    "access_token": "at-1", "token_type": "Bearer", "expires_in": 300, "scope": "openid metrics",
    "refresh_token": "rt-CANARY-new",
}  # fmt: skip
ABSENT = object()


def reply(body: object, status: int = 200, **headers: str) -> Reply:
    """A reply of the token endpoint; bytes go as they are."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, headers, raw, SENT)


def read(changes: Mapping[str, Any], asked: Asked = NOTHING_ASKED, **headers: str) -> Renewal:
    """What is made of the good reply with these changes."""
    changed = {**GOOD, **changes}
    kept = {name: value for name, value in changed.items() if value is not ABSENT}
    return read_renewal(reply(kept, **headers), asked)


def jwt(**claims: Any) -> str:
    """An unsigned JWT with these claims."""
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJub25lIn0.{middle}.c2ln"


def test_a_good_reply_is_taken_whole() -> None:
    """Both tokens, the scope, and the lifetimes."""
    got = read({"refresh_in": 100, "refresh_expires_in": 1800})
    assert got.access_token is not None
    assert got.refresh_token is not None
    assert (got.access_token.reveal(), got.refresh_token.reveal()) == ("at-1", "rt-CANARY-new")
    assert (got.scope, got.lifetime, got.defect) == ("openid metrics", 300.0, "")
    assert (got.refresh_in, got.refresh_lifetime, got.sent) == (100.0, 1800.0, SENT)
    assert "CANARY" not in repr(got)


@pytest.mark.parametrize(
    ("changes", "defect"),
    [
        ({"access_token": None}, "bad_access_token"),
        ({"access_token": ABSENT}, "bad_access_token"),
        ({"access_token": ""}, "bad_access_token"),
        ({"access_token": 5}, "bad_access_token"),
        ({"access_token": ["at-1"]}, "bad_access_token"),
        ({"access_token": "at 1"}, "bad_access_token"),
        ({"access_token": "at-1\r\nX-Evil: 1"}, "bad_access_token"),
        ({"access_token": "at-1\n"}, "bad_access_token"),
        ({"access_token": "at\x00"}, "bad_access_token"),
        ({"access_token": "ät-1"}, "bad_access_token"),
        ({"access_token": "\ud800"}, "bad_access_token"),
        ({"access_token": "a=b"}, "bad_access_token"),
        ({"access_token": "a" * 65537}, "bad_access_token"),
        ({"token_type": "DPoP"}, "wrong_token_type"),
        ({"token_type": "mac"}, "wrong_token_type"),
        ({"token_type": 5}, "wrong_token_type"),
        ({"token_type": ""}, "wrong_token_type"),
        ({"expires_in": 0}, "expired_on_arrival"),
        ({"expires_in": -1}, "expired_on_arrival"),
        ({"expires_in": "-1"}, "expired_on_arrival"),
        ({"expires_in": ABSENT, "access_token": jwt(iat=10, exp=10)}, "expired_on_arrival"),
        ({"expires_in": ABSENT, "access_token": jwt(iat=10, exp=5)}, "expired_on_arrival"),
        ({"access_token": jwt(exp=SENT.wall - 3600)}, "expired_on_arrival"),
    ],
)
def test_t82_a_broken_rest_never_costs_the_refresh_token(
    changes: Mapping[str, Any], defect: str
) -> None:
    """The issuer has burnt the old one: the new one is kept, the rest is judged beside it."""
    got = read(changes)
    assert got.defect == defect
    assert got.access_token is None
    assert got.refresh_token is not None
    assert got.refresh_token.reveal() == "rt-CANARY-new"


def test_t35_a_token_with_a_line_break_never_gets_in() -> None:
    """Only RFC 6750's characters are a bearer token: no header can be smuggled in by one."""
    assert read({"access_token": "at-1\r\nCookie: x", "refresh_token": ABSENT}).access_token is None
    good = "aZ09-._~+/abc=="
    got = read({"access_token": good})
    assert got.access_token is not None
    assert got.access_token.reveal() == good


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        (3600, 3600.0), (3600.5, 3600.5), ("3600", 3600.0), (" 3600 ", 3600.0), (1e9, 1e9),
        (1e99, None), (2e9, None), ("1e99", None), (10**400, None), (None, None), (ABSENT, None),
        (True, None), (False, None), ("", None), ("soon", None), ("٣", None), ([], None),
        ({}, None),
    ],
)  # fmt: skip
def test_t49_a_strange_lifetime_is_understood_or_counts_as_unsaid(
    expires_in: object, lifetime: float | None
) -> None:
    """A number, or the text of one; what is no believable number says nothing."""
    got = read({"expires_in": expires_in})
    assert (got.lifetime, got.defect) == (lifetime, "")


@pytest.mark.parametrize("word", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_t49_a_lifetime_that_json_does_not_know_counts_as_unsaid(word: bytes) -> None:
    """Python's parser accepts these words; no clock does."""
    got = read_renewal(reply(b'{"access_token": "a", "expires_in": ' + word + b"}"))
    assert (got.lifetime, got.defect) == (None, "")


def test_the_lifetime_of_a_jwt_stands_in() -> None:
    """Where the reply says nothing, exp - iat does; a claim that is no number says nothing too."""
    at = SENT.wall
    inside = {"expires_in": ABSENT, "access_token": jwt(iat=at, exp=at + 60)}
    assert read(inside).lifetime == 60.0
    for claims in (
        {"exp": at + 9},
        {"iat": at},
        {"iat": "x", "exp": []},
        {"iat": True, "exp": 9e9},
    ):
        assert read({"expires_in": ABSENT, "access_token": jwt(**claims)}).lifetime is None


def test_t60_the_issuers_clock_judges_its_own_tokens() -> None:
    """Ten minutes between two clocks are no reason to refuse a token; Date says what time it is."""
    slow = jwt(iat=SENT.wall - 590, exp=SENT.wall - 290)
    assert read({"access_token": slow}).defect == ""
    date = "Sun, 15 Jun 2025 15:06:40 GMT"  # SENT
    assert read({"access_token": slow}, date=date).defect == "expired_on_arrival"
    fresh = jwt(iat=SENT.wall, exp=SENT.wall + 1)
    assert read({"access_token": fresh}, date=date).defect == ""
    assert read({"access_token": fresh}, date="yesterday").defect == ""


@pytest.mark.parametrize("token_type", ["bearer", "BEARER", "Bearer", None, ABSENT])
def test_t49_bearer_is_bearer_in_any_case(token_type: object) -> None:
    """RFC 6749 5.1: the value is case-insensitive; where it is missing, bearer is meant."""
    got = read({"token_type": token_type})
    assert (got.defect, got.token_type) == ("", "Bearer")


@pytest.mark.parametrize(
    "token", [None, "", 5, ["rt"], "rt 1", "rt\n", "rt\x7f", "rté", "r" * 65537, "\ud800"]
)
def test_t50_a_reply_without_a_good_refresh_token_has_none(token: object) -> None:
    """Then the old one is kept; nothing unprintable ever takes its place."""
    got = read({"refresh_token": token})
    assert got.refresh_token is None
    assert got.access_token is not None


def test_t51_the_same_refresh_token_again_is_fine() -> None:
    """An issuer may answer with the one it was sent; it is kept like any other."""
    got = read({"refresh_token": "!#$%&'()*+,-./:;<=>?@[]^_`{|}~"})
    assert got.refresh_token is not None


@pytest.mark.parametrize(
    ("aud", "defect"),
    [
        ("https://a.example", ""),
        (["https://b.example", "https://a.example"], ""),
        ("https://b.example", "wrong_audience"),
        (["https://b.example"], "wrong_audience"),
        ([], "wrong_audience"),
        (None, "wrong_audience"),
        ({"https://a.example": 1}, "wrong_audience"),
    ],
)
def test_t12_a_token_for_another_audience_is_not_served(aud: object, defect: str) -> None:
    """An issuer that ignores what was asked is found out, where its token can be read."""
    asked = Asked(audience="https://a.example")
    claims = {"sub": "x", **({} if aud is None else {"aud": aud})}
    assert read({"access_token": jwt(**claims)}, asked).defect == defect


def test_an_opaque_token_is_taken_at_its_issuers_word() -> None:
    """There is nothing to read in it; the resource server will judge."""
    assert read({"access_token": "opaque"}, Asked(audience="https://a.example")).defect == ""


@pytest.mark.parametrize(
    ("said", "scope"),
    [
        ("a b", "a b"), (" a  b ", "a b"), ("a  b", "a b"), (None, "asked"), ("", "asked"),
        (5, "asked"), ("a\nb", "asked"), ('a"b', "asked"), ("é", "asked"), ("a " * 3000, "asked"),
    ],
)  # fmt: skip
def test_what_was_asked_is_granted_where_the_reply_does_not_say(said: object, scope: str) -> None:
    """RFC 6749 5.1; and what no scope may contain (3.3) is not repeated."""
    assert read({"scope": said}, Asked(scope="asked")).scope == scope


@pytest.mark.parametrize(
    ("changes", "lifetime"),
    [
        ({"refresh_expires_in": 0}, None), ({"refresh_expires_in": -1}, None),
        ({"refresh_expires_in": 1800}, 1800.0), ({"refresh_token_expires_in": "1800"}, 1800.0),
        ({"refresh_expires_in": 0, "refresh_token_expires_in": 60}, 60.0),
        ({"refresh_expires_in": "never"}, None), ({"refresh_expires_in": 1e99}, None),
    ],
)  # fmt: skip
def test_a_refresh_token_without_a_believable_end_has_none(
    changes: Mapping[str, Any], lifetime: float | None
) -> None:
    """Keycloak writes 0 for an offline token: that is no end, it is none known."""
    assert read(changes).refresh_lifetime == lifetime
    assert read({"refresh_in": 0}).refresh_in is None


@pytest.mark.parametrize(
    "body",
    [
        b"<!doctype html><title>Welcome</title>", b"", b"[]", b"{}", b"null", b'"x"', b"\xff\xfe",
        b'{"access_token": null}', b'{"access_token": null, "refresh_token": null}',
        b'{"access_token": 5, "refresh_token": "a\\nb"}', b'{"error": null}',
        b'{"error": "portal"}',
        b'{"a":' * 100_000, b'{"expires_in": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: body[:30].decode("latin-1"),
)  # fmt: skip
def test_t49_a_success_that_brings_nothing_is_ambiguous(body: bytes) -> None:
    """A captive portal, or a reply gone wrong: the refresh token may be spent, and it is kept."""
    with pytest.raises(Failed) as caught:
        read_renewal(reply(body))
    assert caught.value.failure.kind is Kind.AMBIGUOUS
    assert caught.value.failure.reason == "no_oauth_answer"


@pytest.mark.parametrize(
    ("body", "status", "kind", "reason"),
    [
        ({"error": "invalid_grant"}, 400, Kind.REFUSED, "invalid_grant"),
        ({"error": "invalid_grant"}, 200, Kind.REFUSED, "invalid_grant"),  # some say 200
        ({"error": "invalid_client"}, 401, Kind.MISCONFIGURED, "invalid_client"),
        ({"error": "invalid_scope"}, 400, Kind.CALLER, "invalid_scope"),
        ({"error": "temporarily_unavailable"}, 503, Kind.TRANSIENT, "temporarily_unavailable"),
        (b"proxy", 407, Kind.TRANSIENT, "http_407"),
        (b"slow", 429, Kind.TRANSIENT, "too_many_requests"),
        (b"moved", 302, Kind.TRANSIENT, "redirect"),
        (b"moved", 308, Kind.TRANSIENT, "redirect"),
        (b"oops", 500, Kind.AMBIGUOUS, "no_oauth_answer"),
        ({**GOOD}, 500, Kind.AMBIGUOUS, "no_oauth_answer"),
    ],
)
def test_t47_t48_an_answer_that_is_no_success_is_sorted_by_what_happens_next(
    body: object, status: int, kind: Kind, reason: str
) -> None:
    """Redirects are not followed, a proxy's 407 is transient, an OAuth error is definite."""
    with pytest.raises(Failed) as caught:
        read_renewal(reply(body, status), Asked(caller_named=True))
    assert (caught.value.failure.kind, caught.value.failure.reason) == (kind, reason)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner,
                                                               max_size=2),
    max_leaves=4,
)  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(
            ["access_token", "refresh_token", "token_type", "expires_in", "scope", "error",
             "refresh_expires_in", "refresh_in", "id_token"]
        ),
        JSON | st.just("at-1") | st.just(jwt(exp=1, iat=0, aud=[])),
    )
)  # fmt: skip
@settings(max_examples=400, deadline=None)  # the machine may be busy
def test_t37_whatever_a_reply_holds_it_is_a_renewal_or_a_failure(body: dict[str, Any]) -> None:
    """No JSON at all makes anything else; and a token that is served is always a usable one."""
    try:
        got = read_renewal(reply(body), Asked(audience="x"))
    except Failed:
        return
    assert (got.access_token is None) == bool(got.defect)
    assert got.access_token is not None or got.refresh_token is not None or got.defect
