"""What other programs leave behind is read, and nothing of it is ever repeated."""

from __future__ import annotations

import base64
import contextlib
import json
import random
from typing import Any

import pytest

from credd.foreign import LONGEST, Tokens, claims_of, parse_tokens

REPLY = {
    "access_token": "at-CANARY-1",
    "refresh_token": "rt-CANARY-1",
    "token_type": "Bearer",
    "expires_in": 300,
    "scope": "openid offline_access",
}


def jwt(**said: Any) -> str:
    """A token that says this, signed by nobody."""
    middle = base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")
    return f"e30.{middle}.c2ln"


def parts(found: Tokens) -> dict[str, str]:
    """What was found."""
    return {name: getattr(found, name) for name in Tokens.__slots__ if getattr(found, name)}


@pytest.mark.parametrize(
    "text", ["rt-CANARY-1", "  rt-CANARY-1\n", "rt-CANARY-1\r\n", "\ufeffrt-CANARY-1"]
)
def test_a_bare_token_is_what_it_is(text: str) -> None:
    """Whatever white space a file has around it."""
    assert parts(parse_tokens(text)) == {"bare": "rt-CANARY-1"}


def test_a_token_reply_is_understood() -> None:
    """As a token endpoint wrote it (RFC 6749, 5.1)."""
    assert parts(parse_tokens(json.dumps(REPLY))) == {
        "refresh_token": "rt-CANARY-1", "key": "at-CANARY-1", "scope": "openid offline_access",
    }  # fmt: skip


def test_what_an_id_token_says_becomes_settings_and_a_label() -> None:
    """Issuer, client and account; a list of audiences names no client."""
    said = jwt(iss="https://login.example.org", aud="training", sub="7", email="ada@example.org")
    found = parts(parse_tokens(json.dumps({**REPLY, "id_token": said})))
    assert found["issuer"] == "https://login.example.org"
    assert (found["client_id"], found["account"]) == ("training", "ada@example.org")
    many = json.dumps({**REPLY, "id_token": jwt(aud=["a", "b"], sub="7")})
    assert parse_tokens(many).client_id == ""
    assert parse_tokens(many).account == "7"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"refreshToken": "rt", "clientId": "c", "scopes": ["a", 3, "b"]},
         {"refresh_token": "rt", "client_id": "c", "scope": "a b"}),
        ({"client_id": "c", "client_secret": "s", "refresh_token": "rt", "type": "authorized_user"},
         {"refresh_token": "rt", "client_id": "c", "client_secret": "s"}),
        ({"api_key": "k", "username": "ada"}, {"key": "k", "account": "ada"}),
        ({"refresh_token": "rt", "id_token": "no.jwt", "access_token": None},
         {"refresh_token": "rt"}),
    ],
)  # fmt: skip
def test_other_spellings_are_understood(value: Any, expected: dict[str, str]) -> None:
    """camelCase, lists of scopes, what common programs write."""
    assert parts(parse_tokens(json.dumps(value))) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("two CANARY words", "neither one token nor JSON"),
        ("TOKEN=CANARY\nOTHER=x", "neither one token nor JSON"),
        ("c\u00e4nary", "neither one token nor JSON"),
        ('{"refresh_token": "CANARY', "none"),
        ("[1, 2]", "no object"),
        ('{"CANARY": 1}', "neither a refresh_token nor a key"),
        ('{"refresh_token": "CANARY with spaces"}', "no request can carry"),
        ("[" * 100_000, "none"),
        ("x" * (LONGEST + 1), "far too long"),
    ],
)
def test_what_is_not_understood_is_not_repeated(text: str, said: str) -> None:
    """The sentence says what it is not; the text may be a secret all the same."""
    with pytest.raises(ValueError, match=said) as raised:
        parse_tokens(text)
    assert "CANARY" not in str(raised.value)
    assert "CANARY" not in repr(raised.value.__context__ or "") or raised.value.__suppress_context__


def test_no_repr_shows_a_secret() -> None:
    """The parts alone."""
    shown = repr(parse_tokens(json.dumps({**REPLY, "client_secret": "CANARY"})))
    assert "CANARY" not in shown
    assert "refresh_token" in shown
    assert repr(Tokens()) == "<Tokens with nothing>"


def test_whatever_comes_is_read_or_refused() -> None:
    """No text makes a parser break in any other way."""
    dice = random.Random(4)
    whole = json.dumps({**REPLY, "id_token": jwt(iss="i", aud="a", sub=7)})
    for _ in range(2000):
        cut = dice.randrange(len(whole))
        text = whole[:cut] + chr(dice.randrange(1, 0x2FF)) + whole[cut + dice.randrange(3) :]
        with contextlib.suppress(ValueError):
            parse_tokens(text)
        claims_of(text[: dice.randrange(200)])
