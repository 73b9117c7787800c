"""The strict issuer's authorization endpoint: what it takes, and what it writes down."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from demo.issuer_core import IssuerCore
from demo.issuer_request import Reply

NOW = 1_700_000_000.0
BACK = "http://127.0.0.1:41234/callback"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=")
RIGHT = {
    "response_type": "code", "client_id": "demo-training", "redirect_uri": BACK,
    "scope": "openid offline_access metrics", "state": "s" * 43, "nonce": "n" * 43,
    "code_challenge": CHALLENGE.decode(), "code_challenge_method": "S256", "prompt": "consent",
}  # fmt: skip


def visit(core: IssuerCore, **changes: str | None) -> Reply:
    """A browser's visit."""
    form = {name: value for name, value in {**RIGHT, **changes}.items() if value is not None}
    return core.handle("GET", f"/authorize?{urlencode(form)}", {}, {}, NOW)


def came_back(reply: Reply) -> dict[str, str]:
    """What the redirect tells."""
    assert reply.status == 303
    location = reply.headers["Location"]
    assert location.startswith(BACK + "?")
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


def decide(core: IssuerCore, page: Reply, verdict: str = "approve") -> dict[str, str]:
    number = page.body.decode().partition('value="')[2].partition('"')[0]
    return came_back(core.handle("POST", f"/authorize/{verdict}", {}, {"visit": number}, NOW))


def exchange(core: IssuerCore, code: str, now: float = NOW, **changes: str) -> Reply:
    form = {
        "grant_type": "authorization_code", "client_id": "demo-training", "code": code,
        "redirect_uri": BACK, "code_verifier": VERIFIER,
    }  # fmt: skip
    return core.handle("POST", "/token", {}, form | changes, now)


def code_of(core: IssuerCore) -> str:
    return decide(core, visit(core))["code"]


def test_a_code_is_approved_by_a_person_and_exchanged_once() -> None:
    """With the state as it came, the issuer's name, and the nonce in the id token."""
    core = IssuerCore()
    answer = decide(core, visit(core))
    assert answer == {"code": answer["code"], "state": "s" * 43, "iss": core.url}
    tokens: dict[str, Any] = exchange(core, answer["code"]).json()
    assert tokens["refresh_token"]
    claims = core.endpoints.signer.read(tokens["id_token"])
    assert claims is not None
    assert claims["nonce"] == "n" * 43
    assert core.record.violations == []


def test_a_person_may_say_no() -> None:
    """access_denied, with state and iss."""
    core = IssuerCore()
    answer = decide(core, visit(core), "deny")
    assert answer == {"error": "access_denied", "state": "s" * 43, "iss": core.url}


def test_offline_access_needs_consent() -> None:
    """OpenID Connect Core 11: without the prompt the scope is dropped in silence."""
    core = IssuerCore()
    tokens = exchange(core, decide(core, visit(core, prompt=None))["code"]).json()
    assert "refresh_token" not in tokens


@pytest.mark.parametrize(
    ("changes", "breach"),
    [
        ({"code_challenge": None}, "no PKCE challenge"),
        ({"code_challenge_method": "plain"}, "PKCE without S256"),
        ({"code_challenge_method": None}, "PKCE without S256"),
        ({"state": None}, "no state, or one that can be guessed"),
        ({"state": "1234"}, "no state, or one that can be guessed"),
        ({"nonce": None}, "no nonce"),
        ({"response_type": "token"}, "response_type is not code"),
        ({"login_hint": ""}, "parameter login_hint is empty"),
        ({"foo": "bar"}, "unknown parameter foo"),
    ],
)
def test_a_careless_visit_is_refused_and_written_down(
    changes: dict[str, str | None], breach: str
) -> None:
    """As an error that the client is told, and a violation that fails its test."""
    core = IssuerCore()
    assert came_back(visit(core, **changes))["error"] == "invalid_request"
    assert f"authorization: {breach}" in core.record.violations


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "http://127.0.0.1:1/other"}, {"redirect_uri": "https://127.0.0.1:1/callback"},
        {"redirect_uri": "http://evil.example:1/callback"}, {"redirect_uri": BACK + "?a=b"},
        {"redirect_uri": None}, {"client_id": "nobody"}, {"client_id": None},
    ],
)  # fmt: skip
def test_a_browser_is_sent_nowhere_that_is_not_registered(changes: dict[str, str | None]) -> None:
    """RFC 6749 4.1.2.1: the person is told, and nobody else."""
    core = IssuerCore()
    reply = visit(core, **changes)
    assert (reply.status, "Location" in reply.headers) == (400, False)
    assert core.record.violations


@pytest.mark.parametrize(
    ("changes", "breach"),
    [
        ({"code_verifier": "w" * 43}, "token: wrong code_verifier"),
        ({"redirect_uri": BACK.replace("41234", "41235")}, "token: redirect_uri differs"),
    ],
)
def test_a_code_is_worth_nothing_without_what_it_was_given_for(
    changes: dict[str, str], breach: str
) -> None:
    """invalid_grant, and a violation."""
    core = IssuerCore()
    reply = exchange(core, code_of(core), **changes)
    assert reply.json()["error"] == "invalid_grant"
    assert core.record.violations[0].startswith(breach)


def test_a_code_that_comes_twice_ends_its_grant() -> None:
    """RFC 6749 4.1.2: nobody can tell the thief from the owner."""
    core = IssuerCore()
    code = code_of(core)
    token = exchange(core, code).json()["refresh_token"]
    assert exchange(core, code).json()["error"] == "invalid_grant"
    grant = core.endpoints.grants.find(token)
    assert grant is not None
    assert grant.ended
    assert core.record.violations == ["authorization code posted twice"]


def test_a_code_expires_in_a_minute() -> None:
    """And one of nobody is unknown."""
    core = IssuerCore()
    assert exchange(core, code_of(core), NOW + 61).json()["error"] == "invalid_grant"
    assert exchange(core, "made-up").json()["error"] == "invalid_grant"
