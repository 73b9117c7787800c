"""What is believed of an issuer's discovery document."""

from __future__ import annotations

from typing import Any

import pytest

from credd.core.conversation import NeverSent, ReplyLost
from credd.core.failures import Failed, Kind
from credd.providers.discovery import Endpoints, discover, document_of
from tests.fakes.conversation import ScriptedConversation, get

ISSUER = "https://login.example.org/realms/lab"
DOCUMENT = {
    "issuer": ISSUER, "token_endpoint": f"{ISSUER}/token", "jwks_uri": f"{ISSUER}/certs",
    "device_authorization_endpoint": f"{ISSUER}/device", "revocation_endpoint": f"{ISSUER}/revoke",
    "scopes_supported": ["openid", "offline_access", 5],
}  # fmt: skip


async def found(document: object, status: int = 200, issuer: str = ISSUER) -> Endpoints:
    """What is made of this document."""
    step = get("/.well-known/openid-configuration", document, status)
    async with ScriptedConversation(step) as talk:
        return await discover(talk, issuer)


async def test_an_honest_document_is_believed() -> None:
    """Its endpoints, and the scopes that are text."""
    assert await found(DOCUMENT) == Endpoints(
        f"{ISSUER}/token", "", f"{ISSUER}/device", f"{ISSUER}/revoke", f"{ISSUER}/certs",
        frozenset({"openid", "offline_access"}),
    )  # fmt: skip


CODE = {"authorization_endpoint": f"{ISSUER}/auth"}


@pytest.mark.parametrize(
    ("more", "endpoint"),
    [
        (CODE, f"{ISSUER}/auth"),
        ({**CODE, "response_types_supported": ["code", "id_token"]}, f"{ISSUER}/auth"),
        ({**CODE, "response_types_supported": ["id_token"]}, ""),
        ({**CODE, "response_types_supported": []}, ""),
        ({**CODE, "response_types_supported": "code"}, ""),
        ({"authorization_endpoint": f"{ISSUER}/auth?tenant=a"}, f"{ISSUER}/auth?tenant=a"),
    ],
)
async def test_an_authorization_endpoint_counts_where_it_gives_codes(
    more: dict[str, Any], endpoint: str
) -> None:
    """Nobody's browser is sent where only other answers are to be had."""
    assert (await found({**DOCUMENT, **more})).authorization == endpoint


@pytest.mark.parametrize(
    "address",
    [
        "http://login.example.org/auth", "http://127.0.0.1/auth", "file:///etc/passwd",
        "javascript:alert(1)", "https://a.example/$(id)", "https://a.example/`id`", "-oProxy=x",
        "https://a.example/a b", 'https://a.example/"', "https://a.example/'", "data:text/html,x",
        "https://user:pw@a.example/auth", "https://a.example/auth#x", "https:///auth", 5, None,
    ],
)  # fmt: skip
async def test_t45_no_browser_is_sent_to_an_odd_address(address: object) -> None:
    """Whatever a document calls its authorization endpoint."""
    assert (await found({**DOCUMENT, "authorization_endpoint": address})).authorization == ""


@pytest.mark.parametrize(("said", "must"), [(True, True), (False, False), ("true", False)])
async def test_t43_an_issuer_that_advertises_iss_has_to_send_it(said: object, must: bool) -> None:
    """RFC 9207 3: false where the document does not say true."""
    name = "authorization_response_iss_parameter_supported"
    assert (await found({**DOCUMENT, name: said})).names_itself is must
    assert (await found(DOCUMENT)).names_itself is False


async def test_endpoints_may_live_at_another_origin() -> None:
    """Google's do; which origin it was is sealed at login."""
    far = await found({**DOCUMENT, "token_endpoint": "https://oauth2.example.com/token"})
    assert far.token == "https://oauth2.example.com/token"


@pytest.mark.parametrize(
    ("issuer", "address"),
    [
        ("https://a.example", "https://a.example/.well-known/openid-configuration"),
        ("https://a.example/", "https://a.example/.well-known/openid-configuration"),
        ("https://a.example/x", "https://a.example/x/.well-known/openid-configuration"),
        ("https://a.example/x/", "https://a.example/x/.well-known/openid-configuration"),
    ],
)
def test_one_slash_is_dropped_from_the_address(issuer: str, address: str) -> None:
    """OpenID Connect Discovery 4.1."""
    assert document_of(issuer) == address


@pytest.mark.parametrize(
    "named", [f"{ISSUER}/", "https://login.example.org", ISSUER.upper(), "", None, 5, [ISSUER]]
)
async def test_t47_a_document_of_another_issuer_is_refused(named: object) -> None:
    """The name must be the configured one, to the letter (4.3): one can't speak for another."""
    with pytest.raises(Failed) as caught:
        await found({**DOCUMENT, "issuer": named})
    assert caught.value.failure.reason == "other_issuer"
    assert caught.value.failure.kind is Kind.MISCONFIGURED


async def test_an_issuer_that_ends_in_a_slash_is_named_with_it() -> None:
    """Auth0's do: the slash belongs to the name, though not to the document's address."""
    assert await found({**DOCUMENT, "issuer": f"{ISSUER}/"}, issuer=f"{ISSUER}/")


BAD = [
    None, 5, [], "", "/token", "http://login.example.org/token", "http://127.0.0.1/token",
    "https://user@login.example.org/token", f"{ISSUER}/token#x", f"{ISSUER}/to ken",
    "file:///token", f"{ISSUER}/$(id)",
]  # fmt: skip


@pytest.mark.parametrize("address", BAD)
async def test_t47_a_lie_about_the_token_endpoint_is_refused(address: object) -> None:
    """https (or loopback with a loopback issuer), no user, no fragment, no poison."""
    with pytest.raises(Failed, match="bad_discovery"):
        await found({**DOCUMENT, "token_endpoint": address})


@pytest.mark.parametrize("address", BAD)
async def test_t47_another_endpoint_that_lies_is_as_good_as_absent(address: object) -> None:
    """A login that doesn't need it goes on."""
    names = ("device_authorization_endpoint", "revocation_endpoint", "jwks_uri")
    lies: dict[str, Any] = {
        **DOCUMENT,
        **dict.fromkeys(names, address),
        "scopes_supported": address,
    }
    got = await found(lies)
    assert (got.device, got.revocation, got.keys, got.scopes) == ("", "", "", frozenset())


@pytest.mark.parametrize(
    ("document", "status", "kind", "reason"),
    [
        (b"<html>", 200, Kind.MISCONFIGURED, "bad_discovery"),
        ([], 200, Kind.MISCONFIGURED, "bad_discovery"),
        (b"", 404, Kind.MISCONFIGURED, "bad_discovery"),
        (b"", 302, Kind.MISCONFIGURED, "bad_discovery"),
        (b"", 500, Kind.TRANSIENT, "no_oauth_answer"),
        (b"", 503, Kind.TRANSIENT, "no_oauth_answer"),
        (b"", 407, Kind.TRANSIENT, "http_407"),
        (b"", 429, Kind.TRANSIENT, "too_many_requests"),
    ],
)
async def test_a_missing_document_says_whether_to_try_again(
    document: object, status: int, kind: Kind, reason: str
) -> None:
    """An issuer in trouble is tried again; one that isn't there needs a person. Never ambiguous:
    reading spends nothing."""
    with pytest.raises(Failed) as caught:
        await found(document, status)
    assert (caught.value.failure.kind, caught.value.failure.reason) == (kind, reason)


@pytest.mark.parametrize("error", [ReplyLost("time_out"), NeverSent("time_out")])
async def test_a_lost_document_is_as_good_as_unsent(error: Exception) -> None:
    """It must not look as if a refresh token had been lost on the way."""
    with pytest.raises(NeverSent, match="time_out"):
        await found(error)
