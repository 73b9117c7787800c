"""Logins by authorization code, against a strict issuer: those that succeed, and those that not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest

from credd.core.failures import Failed, Kind
from credd.core.model import Secret
from demo.issuer_settings import BASIC_CLIENT, Settings
from tests.fakes.conversation import BACK
from tests.providers.oidc_world import LASTING, Here
from tests.providers.provider_contract import grant_of

CODE = "authorization-code"


async def test_a_login_by_code_brings_a_grant_that_lasts() -> None:
    """With consent, PKCE, state and nonce; the listener has gone when the login is over."""
    here = Here()
    won = await here.login(CODE)
    assert (won.subject, won.account, won.scope) == ("ada", "ada", " ".join(LASTING))
    assert (won.renewable, won.login_lifetime) == (True, None)
    assert won.private["flow"] == CODE
    assert here.talk.notes() == []
    (event,) = here.talk.shown
    assert event["redirect_uri"] == BACK
    assert event["authorization_uri"].startswith(f"{here.core.url}/authorize?")
    assert not here.talk.is_listening
    await here.refresh(grant_of(won))
    here.assert_clean()


@pytest.mark.parametrize(
    ("near", "changes", "event"),
    [
        (True, {}, "authorization-url"),
        (False, {}, "device-code"),
        (True, {"authorization_endpoint": None}, "device-code"),
        (True, {"response_types_supported": ["id_token"]}, "device-code"),
        (False, {"device_authorization_endpoint": None}, "authorization-url"),
    ],
)
async def test_the_default_depends_on_issuer_and_browser(
    near: bool, changes: Mapping[str, Any], event: str
) -> None:
    """A code to type for who sits elsewhere; whatever is offered where only one is."""
    here = Here()
    here.talk.near = near
    here.core.faults.discovery(**changes)
    await here.login("")
    assert [one["type"] for one in here.talk.shown] == [event]
    here.assert_clean()


async def test_an_issuer_without_either_says_so_before_anybody_is_asked() -> None:
    """Nobody types a client secret for nothing."""
    here = Here(client=BASIC_CLIENT)
    here.core.faults.discovery(authorization_endpoint=None, device_authorization_endpoint=None)
    for flow in ("", CODE, "device"):
        with pytest.raises(Failed, match="unsupported_grant_type"):
            await here.login(flow)
    assert here.talk.asked == []


async def test_a_registered_address_is_the_one_that_is_listened_on() -> None:
    """Port and path of `redirect_uri`."""
    fixed = "http://localhost:8400/callback"
    here = Here({"redirect_uri": fixed})
    await here.login(CODE)
    assert here.talk.shown[0]["redirect_uri"] == fixed
    here.assert_clean()


async def test_a_client_with_a_secret_proves_itself_at_the_exchange() -> None:
    """PKCE is no proof of the client."""
    here = Here(client=BASIC_CLIENT)
    won = await here.login(CODE)
    assert won.private["client_secret"] == Secret(BASIC_CLIENT.secret)
    here.assert_clean()


async def test_keys_are_fetched_before_a_browser_is_sent() -> None:
    """Once the code is exchanged, no request stands between the grant and the vault."""
    here = Here()
    await here.login(CODE)
    paths = [url.removeprefix(here.core.url) for _, url in here.talk.requests]
    assert paths == ["/.well-known/openid-configuration", "/jwks", "/token"]


@pytest.mark.parametrize(
    "stray",
    [
        {"code": "evil"}, {"code": "evil", "state": ""}, {"code": "evil", "state": "x" * 43},
        {"error": "access_denied"}, {"error": "x", "error_description": "<script>x</script>"},
        {"code": "evil", "state": "RIGHT", "iss": "https://evil.example"},
        {"code": "evil", "state": "RIGHT"}, {"error": "access_denied", "state": "RIGHT"}, {},
    ],
)  # fmt: skip
async def test_t40_a_stray_answer_is_refused_and_the_login_goes_on(stray: dict[str, str]) -> None:
    """The rightful answer that comes after it wins. (`RIGHT` stands for this login's state.)"""
    here = Here()
    approve = here.talk.when_shown

    def stray_first(event: Mapping[str, Any]) -> None:
        approve(event)
        state = dict(part.split("=") for part in event["authorization_uri"].split("&")[1:])["state"]
        fields = {name: value.replace("RIGHT", state) for name, value in stray.items()}
        here.talk.visits.insert(0, urlencode(fields))

    here.talk.when_shown = stray_first
    assert (await here.login(CODE)).subject == "ada"
    assert len(here.talk.returning[0].refused) == 1
    here.assert_clean()


async def test_t40_an_answer_can_not_be_replayed_to_the_next_login() -> None:
    """Its state was that of a login that is over."""
    here = Here()
    await here.login(CODE)
    old = here.talk.visits[0]
    await here.login(CODE)
    assert here.talk.returning[1].refused == [old]
    here.assert_clean()


async def test_a_person_who_says_no_ends_the_login() -> None:
    """With the issuer's word for it, and without a token request."""
    here = Here()

    def deny(event: Mapping[str, Any]) -> None:
        number = here.core.endpoints.codes.visit(event["authorization_uri"].partition("?")[2])
        here.talk.visits.append(here.core.endpoints.codes.deny(number).partition("?")[2])

    here.talk.when_shown = deny
    with pytest.raises(Failed, match="access_denied") as caught:
        await here.login(CODE)
    assert caught.value.failure.kind is Kind.REFUSED
    assert here.core.record.count("token") == 0
    assert not here.talk.is_listening


@pytest.mark.parametrize("nonce", ["", "x" * 43, 5, None])
async def test_an_id_token_of_another_login_is_refused_and_the_grant_revoked(nonce: object) -> None:
    """OpenID Connect Core 3.1.3.7, 11: an answer that was stolen elsewhere ends here."""
    here = Here()
    mint = here.core.endpoints._mint_id_token
    here.core.endpoints._mint_id_token = (  # type: ignore[method-assign]
        lambda grant, now, _: mint(grant, now, nonce)  # type: ignore[arg-type]
    )
    with pytest.raises(Failed, match="bad_id_token"):
        await here.login(CODE)
    assert here.core.record.count("revocation") == 1


async def test_a_code_that_the_issuer_refuses_is_named_so() -> None:
    """`invalid_grant` means the code here, and no refresh token."""
    here = Here()
    here.core.faults.answer(400, {"error": "invalid_grant"})
    with pytest.raises(Failed, match="code_refused"):
        await here.login(CODE)
    assert here.core.record.count("token") == 1


async def test_t44_an_injected_code_is_refused_by_its_challenge() -> None:
    """A code of somebody else's visit with our state: the verifier does not fit, nobody logs in."""
    here = Here()
    approve = here.talk.when_shown

    def inject(event: Mapping[str, Any]) -> None:
        approve(event)
        address = event["authorization_uri"]
        other = re.sub("code_challenge=[^&]+", "code_challenge=" + "A" * 43, address)
        back = here.core.browse(other, here.talk.clock.wall, "mallory")
        here.talk.visits.insert(0, back.partition("?")[2])

    here.talk.when_shown = inject
    with pytest.raises(Failed, match="code_refused"):
        await here.login(CODE)
    assert here.core.record.violations == ["token: wrong code_verifier"]


async def test_a_login_without_offline_access_says_when_it_ends() -> None:
    """As with a device login; and no consent is asked for again."""
    here = Here({"scopes": ["openid"]}, issuer=Settings(id_token=True))
    won = await here.login(CODE)
    assert (won.renewable, won.login_lifetime) == (False, 10.0)
    assert "prompt" not in here.talk.shown[0]["authorization_uri"]
    here.assert_clean()
