"""How a client says who it is."""

from __future__ import annotations

import base64

import pytest

from credd.core.model import Secret
from credd.providers.oauth import Client, narrowed
from tests.fakes.conversation import ScriptedConversation

TALK = ScriptedConversation()
URL = "https://login.example.org/token"


@pytest.mark.parametrize(
    ("client_id", "secret", "pair"),
    [
        ("lab", "s3cret", "lab:s3cret"),
        ("https://app.example/a b", "a+b%c:d", "https%3A%2F%2Fapp.example%2Fa+b:a%2Bb%25c%3Ad"),
    ],
)
def test_both_halves_of_basic_are_encoded(client_id: str, secret: str, pair: str) -> None:
    """RFC 6749 2.3.1: form-encoded first, so that a colon in either half is no border."""
    client = Client(client_id, "client_secret_basic", Secret(secret))
    header = client.headers()["Authorization"]
    assert isinstance(header, Secret)
    scheme, _, encoded = header.reveal().partition(" ")
    assert (scheme, base64.b64decode(encoded).decode()) == ("Basic", pair)
    assert client.body(TALK, URL) == {}


def test_a_secret_in_the_body_has_no_header_beside_it() -> None:
    """RFC 6749 2.3: one way at a time."""
    client = Client("lab", "client_secret_post", Secret("s"))
    body = {"client_id": "lab", "client_secret": Secret("s")}
    assert client.body(TALK, URL) == body
    assert client.headers() == {}


def test_a_public_client_says_its_name_alone() -> None:
    """Even where a secret lies about."""
    client = Client("lab", "none", Secret("s"))
    assert (client.body(TALK, URL), client.headers()) == ({"client_id": "lab"}, {})
    assert "s3" not in repr(Client("lab", "none", Secret("s3")))


def test_what_is_not_asked_is_not_sent() -> None:
    """An empty scope would mean something else than none."""
    assert narrowed({"a": "b"}, "", "") == {"a": "b"}
    assert narrowed({}, "x", "y") == {"scope": "x", "resource": "y"}
    assert narrowed({}, "", "y", "audience") == {"audience": "y"}
